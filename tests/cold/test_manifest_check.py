"""Check by manifests: an archive that is whole passes, and each damage is named."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
import pytest
from pyarrow.fs import LocalFileSystem

from candlewax.clickhouse.client import Database
from candlewax.cold import manifest_check as check
from candlewax.cold.layers import LAYERS
from candlewax.cold.maintenance.compact import compact, find_merges
from candlewax.cold.manifest_check import CheckResult
from candlewax.cold.seal import make_manifest
from candlewax.cold.signature import KeyFileError
from tests.support import cold_tables, seal_keys
from tests.support.cold_tables import FIRST_HOUR, offload
from tests.support.seal_keys import SEALED_AT

DAY = timedelta(days=1)


class Copy(NamedTuple):
    """An archive to damage, as somebody else has got it: files, and a public key."""

    folder: Path
    public_key: Path

    def check(self, **names: Any) -> CheckResult:
        given = {"public_key": self.public_key, **names}
        return check.check(
            str(self.folder / "manifests"),
            str(self.folder / "warehouse"),
            LocalFileSystem(),
            **given,
        )

    def problems(self, **names: Any) -> list[tuple[str, str]]:
        return [(one.kind, one.name) for one in self.check(**names).problems]

    def manifest(self, day: int) -> Path:
        return self.folder / "manifests" / f"2026-03-0{day}.json"

    def data_files(self) -> list[str]:
        """The files that the newest entries name, by their paths in the warehouse."""
        document = json.loads(self.manifest(3).read_bytes())
        return sorted(file["path"] for file in document["files"])

    def change(self, day: int, change: Any) -> None:
        """Change a manifest and write it in canonical form, without the key."""
        document = json.loads(self.manifest(day).read_bytes())
        change(document)
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        self.manifest(day).write_text(text, "utf-8")


@pytest.fixture(scope="module")
def sealed(played: Database, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    """Archive with three manifests: hourly files, dead letters, and the compacted day."""
    folder = tmp_path_factory.mktemp("sealed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for table in ("cold_units", "cold_releases", "cold_marks"):
            played.command(f"TRUNCATE TABLE {table} SYNC")
        key = seal_keys.new_key(folder)[1]
        tier = seal_keys.with_key(cold_tables.open_local(folder / "cold", played), key)
        offload(tier, "silver.trades")
        make_manifest(tier, SEALED_AT)
        offload(tier, "raw.dead_letters")
        make_manifest(tier, SEALED_AT + DAY)
        compact(tier, find_merges(tier, LAYERS["silver.trades"], SEALED_AT))
        make_manifest(tier, SEALED_AT + 2 * DAY)
        yield Copy(folder / "cold", seal_keys.public_file(key))


@pytest.fixture
def copy(sealed: Copy, tmp_path: Path) -> Copy:
    """Copy of the archive."""
    shutil.copytree(sealed.folder, tmp_path / "copy")
    return Copy(tmp_path / "copy", sealed.public_key)


def test_whole_archive_has_no_problem(sealed: Copy) -> None:
    seen: list[tuple[int, int]] = []
    result = sealed.check(on_progress=lambda *counts: seen.append(counts))
    assert result.problems == ()
    assert result.is_sound
    # 82 trades in 6 hours and 2 files; one dead letter.
    assert (result.manifests, result.units, result.files, result.rows) == (3, 7, 3, 83)
    assert result.unsigned == ()
    sha256 = hashlib.sha256(sealed.manifest(3).read_bytes()).hexdigest()
    assert result.last == ("2026-03-03.json", sha256)
    assert len(seen) == 3
    assert seen[-1] == (result.bytes, result.bytes)


def test_check_needs_neither_clickhouse_nor_pyiceberg() -> None:
    program = (
        "import sys, candlewax.cold.manifest_check\n"
        "names = {name.partition('.')[0] for name in sys.modules}\n"
        "print(names & {'pyiceberg', 'chdb', 'clickhouse_connect', 'sqlalchemy', 'polars'})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == "set()\n"


def test_without_a_key_the_chain_is_checked_and_all_is_called_unsigned(sealed: Copy) -> None:
    result = sealed.check(public_key=None)
    assert result.is_sound
    assert result.unsigned == ("2026-03-01.json", "2026-03-02.json", "2026-03-03.json")


def test_changed_byte_is_found(copy: Copy) -> None:
    name = copy.data_files()[0]
    path = copy.folder / "warehouse" / name
    chunk = pq.read_metadata(path).row_group(0).column(5)
    content = bytearray(path.read_bytes())
    content[chunk.file_offset + chunk.total_compressed_size // 2] ^= 1
    path.write_bytes(content)
    assert copy.problems() == [(check.CHANGED_FILE, name)]


def test_shorter_file_is_found(copy: Copy) -> None:
    name = copy.data_files()[1]
    path = copy.folder / "warehouse" / name
    path.write_bytes(path.read_bytes()[:-1])
    assert copy.problems() == [(check.CHANGED_FILE, name)]


def test_missing_file_is_found(copy: Copy) -> None:
    name = copy.data_files()[0]
    (copy.folder / "warehouse" / name).unlink()
    assert copy.problems() == [(check.MISSING_FILE, name)]


def test_file_that_a_later_entry_replaced_may_be_gone(copy: Copy) -> None:
    document = json.loads(copy.manifest(1).read_bytes())
    for file in document["files"]:
        (copy.folder / "warehouse" / file["path"]).unlink()
    assert copy.problems() == []


def test_deleted_manifest_is_named_by_the_next_one(copy: Copy) -> None:
    copy.manifest(2).unlink()
    assert (check.MISSING_MANIFEST, "2026-03-02.json") in copy.problems()


def test_deleted_first_manifest_is_named(copy: Copy) -> None:
    copy.manifest(1).unlink()
    assert copy.problems() == [(check.MISSING_MANIFEST, "2026-03-01.json")]


def test_changed_manifest_breaks_the_chain_and_its_signature(copy: Copy) -> None:
    copy.change(2, lambda document: document["units"][0].update(rows=2))
    problems = copy.problems()
    assert (check.BROKEN_CHAIN, "2026-03-03.json") in problems
    assert (check.WRONG_SIGNATURE, "2026-03-02.json") in problems
    # The footer of the file says how many rows there are.
    assert check.WRONG_CONTENT in {kind for kind, _ in problems}


def test_chain_made_anew_after_a_change_lacks_the_signatures(copy: Copy) -> None:
    copy.change(2, lambda document: document.update(candlewax="9"))
    digest = hashlib.sha256(copy.manifest(2).read_bytes()).hexdigest()
    copy.change(3, lambda document: document["previous"].update(sha256=digest))
    assert copy.problems() == [
        (check.WRONG_SIGNATURE, "2026-03-02.json"),
        (check.WRONG_SIGNATURE, "2026-03-03.json"),
    ]
    assert copy.check(public_key=None).is_sound


def test_signature_covers_the_manifests_before_it_and_none_after(copy: Copy) -> None:
    for day in (1, 3):
        copy.manifest(day).with_name(f"2026-03-0{day}.json.sig").unlink()
    result = copy.check()
    assert [(one.kind, one.name) for one in result.problems] == [
        (check.UNSIGNED, "2026-03-03.json")
    ]
    assert result.unsigned == ("2026-03-03.json",)


def test_key_of_somebody_else_proves_nothing(sealed: Copy, tmp_path: Path) -> None:
    other = seal_keys.public_file(seal_keys.new_key(tmp_path)[1])
    assert {kind for kind, _ in sealed.problems(public_key=other)} == {check.WRONG_SIGNATURE}


def test_file_that_is_no_public_key_is_refused(sealed: Copy, tmp_path: Path) -> None:
    private = seal_keys.new_key(tmp_path)[1]
    with pytest.raises(KeyFileError, match="takes an Ed25519 public key in PEM"):
        sealed.check(public_key=private)


def test_manifest_put_between_others_is_found(copy: Copy) -> None:
    copied = copy.folder / "manifests" / "2026-02-01.json"
    document = json.loads(copy.manifest(1).read_bytes())
    document["date"] = "2026-02-01"
    copied.write_text(json.dumps(document, sort_keys=True, separators=(",", ":")), "utf-8")
    assert copy.problems() == [(check.BROKEN_CHAIN, "2026-03-01.json")]


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"[]", b"{}", b'{"format":99}', b'{"format": 1}'],
    ids=["empty", "no text", "list", "nothing", "newer", "spaces"],
)
def test_file_that_is_no_manifest_is_named(copy: Copy, content: bytes) -> None:
    copy.manifest(3).write_bytes(content)
    assert (check.DAMAGED_MANIFEST, "2026-03-03.json") in copy.problems()


def test_other_spelling_of_a_manifest_is_named(copy: Copy) -> None:
    document = json.loads(copy.manifest(3).read_bytes())
    copy.manifest(3).write_text(json.dumps(document), "utf-8")
    assert (check.DAMAGED_MANIFEST, "2026-03-03.json") in copy.problems(public_key=None)


def test_unit_whose_entry_differs_from_that_of_its_file_is_named(copy: Copy) -> None:
    copy.change(3, lambda document: document["units"][0].update(content="0" * 32))
    begin = f"{FIRST_HOUR:%Y-%m-%dT%H}:00:00Z"
    assert copy.problems(public_key=None) == [
        (check.WRONG_CONTENT, f"silver.trades binance {begin}")
    ]


def test_file_whose_entry_differs_from_its_footer_is_named(copy: Copy) -> None:
    def add_a_row(document: Any) -> None:
        document["units"][0]["rows"] += 1
        document["files"][0]["rows"] += 1
        document["files"][0]["units"][0]["rows"] += 1

    copy.change(3, add_a_row)
    assert {kind for kind, _ in copy.problems(public_key=None)} == {check.WRONG_CONTENT}


def test_one_day_is_checked_alone(copy: Copy) -> None:
    result = copy.check(day=FIRST_HOUR.date())
    assert (result.units, result.files, result.problems) == (7, 3, ())
    other = copy.check(day=date(2024, 2, 29))
    assert [one.kind for one in other.problems] == [check.NOTHING_SEALED]
    assert (other.units, other.files) == (0, 0)


def test_folder_without_manifests_proves_nothing(tmp_path: Path) -> None:
    result = check.check(str(tmp_path / "none"), str(tmp_path), LocalFileSystem())
    assert [one.kind for one in result.problems] == [check.NO_MANIFEST]
