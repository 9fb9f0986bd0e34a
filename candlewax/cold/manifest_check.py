"""Check of the archive by its manifests, with files and a public key alone.

It needs neither a database nor the catalog: this module imports neither ClickHouse nor PyIceberg.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pyarrow.fs import FileSystem, FileType

from candlewax.cold import manifest, signature
from candlewax.cold.manifest import SIGNATURE_SUFFIX, Manifest, ManifestError, UnitKey

CHUNK_BYTES: Final = 4 << 20

NO_MANIFEST: Final = "no manifest"
DAMAGED_MANIFEST: Final = "damaged manifest"
MISSING_MANIFEST: Final = "missing manifest"
BROKEN_CHAIN: Final = "broken chain"
WRONG_SIGNATURE: Final = "wrong signature"
UNSIGNED: Final = "unsigned"
NOTHING_SEALED: Final = "nothing sealed"
MISSING_FILE: Final = "missing file"
CHANGED_FILE: Final = "changed file"
WRONG_CONTENT: Final = "wrong content"


class Problem(NamedTuple):
    """A kind of problem, the manifest, file or unit that has it, and what it is."""

    kind: str
    name: str
    detail: str

    def __str__(self) -> str:
        return f"{self.name}: {self.kind}: {self.detail}"


@dataclass(frozen=True)
class CheckResult:
    """Counts of what was checked, and every problem.

    `unsigned` are manifests that no signature covers, by name: each is itself unsigned, and so are
    all after it. Without a public key these are all. `last` is the name and SHA-256 of the newest
    manifest: kept elsewhere, they show later whether it was taken away.
    """

    manifests: int
    units: int
    files: int
    rows: int
    bytes: int
    unsigned: tuple[str, ...]
    last: tuple[str, str] | None
    problems: tuple[Problem, ...]

    @property
    def is_sound(self) -> bool:
        """True if there is no problem."""
        return not self.problems


def check(
    manifests_folder: str,
    warehouse_folder: str,
    filesystem: FileSystem,
    public_key: Path | None = None,
    day: date | None = None,
    on_progress: Callable[[int, int], object] = lambda *_: None,
) -> CheckResult:
    """Check the chain of manifests, and the files of the latest entry of each unit.

    The folders are paths in the filesystem. `day`: check files of this market day only; units that
    have no time, as gaps, are in no day. `on_progress` gets bytes read and bytes in all. Raises
    KeyFileError if the public key cannot be read.
    """
    key = signature.load_public_key(public_key) if public_key else None
    contents = {
        name: manifest.read_bytes(filesystem, f"{manifests_folder}/{name}") or b""
        for name in manifest.list_names(filesystem, manifests_folder)
    }
    chain, problems = _read_chain(contents)
    unsigned, wrong = _check_signatures(filesystem, manifests_folder, contents, key)
    problems += wrong
    entries = _latest_entries(chain, day)
    if not contents:
        problems.append(Problem(NO_MANIFEST, manifests_folder, "the folder has none"))
    elif day is not None and not entries.units:
        problems.append(Problem(NOTHING_SEALED, f"{day:%F}", "no unit of this day is sealed"))
    problems += entries.problems
    total = sum(file["size"] for file in entries.files.values())
    done = 0
    for path, file in sorted(entries.files.items()):
        problems += _check_file(filesystem, _place(warehouse_folder, path), file)
        done += file["size"]
        on_progress(done, total)
    newest = max(contents, default=None)
    return CheckResult(
        len(contents),
        len(entries.units),
        len(entries.files),
        sum(unit["rows"] for unit in entries.units.values()),
        total,
        unsigned,
        (newest, hashlib.sha256(contents[newest]).hexdigest()) if newest else None,
        tuple(problems),
    )


def _read_chain(contents: Mapping[str, bytes]) -> tuple[list[Manifest], list[Problem]]:
    """Parse the manifests, and check that each names the one before it."""
    chain: list[Manifest] = []
    problems: list[Problem] = []
    before: str | None = None
    for name, content in contents.items():
        try:
            one = manifest.parse(name, content)
        except ManifestError as error:
            problems.append(Problem(DAMAGED_MANIFEST, name, str(error)))
            before = name
            continue
        chain.append(one)
        problem = _check_link(one, before, contents)
        if problem:
            problems.append(problem)
        before = name
    return chain, problems


def _check_link(one: Manifest, before: str | None, contents: Mapping[str, bytes]) -> Problem | None:
    if one.previous is None:
        if before is None:
            return None
        return Problem(BROKEN_CHAIN, one.name, f"says that it is the first, and {before} is before")
    name, sha256 = one.previous
    if name not in contents:
        return Problem(MISSING_MANIFEST, name, f"{one.name} names it as the one before")
    if name != before:
        return Problem(BROKEN_CHAIN, one.name, f"names {name} as the one before, not {before}")
    if hashlib.sha256(contents[name]).hexdigest() != sha256:
        return Problem(BROKEN_CHAIN, one.name, f"{name} has another SHA-256 than it had")
    return None


def _check_signatures(
    filesystem: FileSystem,
    folder: str,
    contents: Mapping[str, bytes],
    key: Ed25519PublicKey | None,
) -> tuple[tuple[str, ...], list[Problem]]:
    """Return the manifests that no signature covers, and problems.

    A manifest names the one before by its hash, so a signature covers all earlier ones too.
    """
    if key is None:
        return tuple(contents), []
    uncovered: list[str] = []
    problems: list[Problem] = []
    for name, content in contents.items():
        found = manifest.read_bytes(filesystem, f"{folder}/{name}{SIGNATURE_SUFFIX}")
        if found is None:
            uncovered.append(name)
        elif signature.is_valid(key, content, found):
            uncovered = []
        else:
            uncovered.append(name)
            problems.append(Problem(WRONG_SIGNATURE, name, "the key given did not sign it"))
    wrong = {problem.name for problem in problems}
    problems += [
        Problem(UNSIGNED, name, "no signature covers it") for name in uncovered if name not in wrong
    ]
    return tuple(uncovered), problems


class _Entries(NamedTuple):
    units: Mapping[UnitKey, Mapping[str, Any]]
    files: Mapping[str, Mapping[str, Any]]
    problems: list[Problem]


def _latest_entries(chain: Iterable[Manifest], day: date | None) -> _Entries:
    """Return the latest entry of each unit, and the entries of their files."""
    units: dict[UnitKey, Mapping[str, Any]] = {}
    listed: dict[str, Mapping[str, Any]] = {}
    for one in chain:
        units.update(one.units())
        listed.update(one.files())
    if day is not None:
        units = {key: unit for key, unit in units.items() if key.begin[:10] == f"{day:%Y-%m-%d}"}
    files: dict[str, Mapping[str, Any]] = {}
    problems = []
    for key, unit in units.items():
        named = [listed[path] for path in unit["files"] if path in listed]
        files |= {file["path"]: file for file in named}
        wanted = {"exchange": key.exchange, "begin": key.begin}
        wanted |= {name: unit[name] for name in ("rows", "content")}
        has_files = len(named) == len(unit["files"]) == (1 if unit["rows"] else 0)
        if not has_files or any(wanted not in file["units"] for file in named):
            problems.append(
                Problem(WRONG_CONTENT, str(key), "its file is not listed with its rows and content")
            )
    return _Entries(units, files, problems)


def _place(warehouse_folder: str, path: str) -> str:
    """Return the path of a file in its filesystem. A whole address stands outside the warehouse."""
    _, separator, place = path.partition("://")
    return place if separator else f"{warehouse_folder}/{path}"


def _check_file(filesystem: FileSystem, path: str, entry: Mapping[str, Any]) -> list[Problem]:
    name = entry["path"]
    info = filesystem.get_file_info(path)
    if info.type != FileType.File:
        return [Problem(MISSING_FILE, name, "is not there")]
    if info.size != entry["size"]:
        return [Problem(CHANGED_FILE, name, f"has {info.size:,} bytes, not {entry['size']:,}")]
    try:
        with filesystem.open_input_file(path) as file:
            digest = hashlib.sha256()
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
            if digest.hexdigest() != entry["sha256"]:
                return [Problem(CHANGED_FILE, name, "has another SHA-256")]
            file.seek(0)
            footer = pq.read_metadata(file)
    except (OSError, pa.ArrowException) as error:
        return [Problem(CHANGED_FILE, name, f"cannot be read: {error}")]
    return _check_footer(name, footer, entry)


def _check_footer(name: str, footer: pq.FileMetaData, entry: Mapping[str, Any]) -> list[Problem]:
    problems = []
    if footer.num_rows != entry["rows"]:
        problems.append(Problem(WRONG_CONTENT, name, f"has {footer.num_rows:,} rows"))
    text = (footer.metadata or {}).get(b"candlewax", b"{}")
    units = [
        {
            "exchange": one["exchange"],
            "begin": one["begin"].replace("+00:00", "Z"),
            "rows": one["rows"],
            "content": one["content"],
        }
        for one in json.loads(text).get("units", [])
    ]
    if units != list(entry["units"]):
        problems.append(Problem(WRONG_CONTENT, name, "its footer names other units"))
    if sum(one["rows"] for one in units) != footer.num_rows:
        problems.append(Problem(WRONG_CONTENT, name, "its units have not as many rows as it has"))
    return problems
