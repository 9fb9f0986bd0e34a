"""Daily manifests of the archive: their format, and reading them.

docs/archive-manifest.md describes the format. This module needs neither ClickHouse nor PyIceberg.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final, NamedTuple

from pyarrow.fs import FileSelector, FileSystem, FileType

from candlewax.runtime.times import parse_time_or_utc

FORMAT: Final = 1
"""Version of the format."""

SUFFIX: Final = ".json"
SIGNATURE_SUFFIX: Final = ".sig"
PUBLIC_KEY: Final = "seal.pub"


class ManifestError(RuntimeError):
    """A manifest that cannot be read; the message says why."""


class UnitKey(NamedTuple):
    """A unit as manifests name it."""

    layer: str
    exchange: str
    begin: str

    def __str__(self) -> str:
        return " ".join(self)


@dataclass(frozen=True)
class Manifest:
    """A manifest: its file name, its bytes, and what they say."""

    name: str
    content: bytes
    document: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """SHA-256 of the file, as 64 hexadecimal digits."""
        return hashlib.sha256(self.content).hexdigest()

    @property
    def previous(self) -> tuple[str, str] | None:
        """Name and SHA-256 of the manifest before; None if this is the first."""
        found = self.document["previous"]
        return (found["name"], found["sha256"]) if found else None

    def units(self) -> Iterator[tuple[UnitKey, Mapping[str, Any]]]:
        """Yield the entries of units."""
        for unit in self.document["units"]:
            yield UnitKey(unit["layer"], unit["exchange"], unit["begin"]), unit

    def files(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the entries of files by their paths."""
        for file in self.document["files"]:
            yield file["path"], file


def name_of(day: date) -> str:
    """Return the file name of the manifest of a day."""
    return f"{day:%Y-%m-%d}{SUFFIX}"


def canonical(document: Mapping[str, Any]) -> bytes:
    """Return the one form of a document: keys in order, no spaces, UTF-8."""
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def format_time(time: datetime) -> str:
    """Return a time as manifests hold it: UTC, to the second."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def parse(name: str, content: bytes) -> Manifest:
    """Read a manifest. Raise ManifestError if it is not in canonical form, or not complete."""
    try:
        document = json.loads(content)
        if document["format"] != FORMAT:
            raise ManifestError(f"has format {document['format']}, this version reads {FORMAT}")
        if name != document["date"] + SUFFIX:
            raise ManifestError(f"is of {document['date']}, as it says itself")
        manifest = Manifest(name, content, document)
        for _, unit in manifest.units():
            _ = unit["rows"] + 0, unit["content"], unit["end"], list(unit["files"])
        for _, file in manifest.files():
            _ = file["size"] + 0, file["sha256"], file["rows"] + 0, list(file["units"])
        _ = manifest.previous
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ManifestError(f"is no manifest: {type(error).__name__}: {error}") from error
    if canonical(document) != content:
        raise ManifestError("is not in canonical form")
    return manifest


def list_names(filesystem: FileSystem, folder: str) -> list[str]:
    """Return the file names of the manifests in a folder, the earliest first."""
    found = filesystem.get_file_info(FileSelector(folder, allow_not_found=True))
    return sorted(
        one.base_name for one in found if one.type == FileType.File and _is_name(one.base_name)
    )


def _is_name(name: str) -> bool:
    try:
        return name == name_of(parse_time_or_utc(name.removesuffix(SUFFIX)).date())
    except ValueError:
        return False


def read_bytes(filesystem: FileSystem, path: str) -> bytes | None:
    """Return the content of a file; None if it is not there."""
    if filesystem.get_file_info(path).type != FileType.File:
        return None
    with filesystem.open_input_stream(path) as stream:
        return bytes(stream.read())
