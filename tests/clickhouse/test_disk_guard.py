"""Room on the disk of an embedded database."""

import logging
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
from clickhouse_connect.driver import exceptions

from candlewax.clickhouse import disk_guard
from candlewax.clickhouse.client import Database, DatabaseError, open_tables
from candlewax.clickhouse.disk_guard import FULL_BYTES, LOW_SPACE_BYTES, DiskGuard
from tests.faults import disk as disks
from tests.support.kafka.reading import until

MERGES = ["SYSTEM STOP MERGES"]


class Disk:
    """A disk with so many bytes free, at a folder; others are as they are."""

    def __init__(self, folder: Path) -> None:
        self.free = 10 * LOW_SPACE_BYTES
        self._folder = folder
        self._real = disk_guard.free_bytes

    def __call__(self, folder: Path) -> int:
        return self.free if folder.is_relative_to(self._folder) else self._real(folder)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Disk:
    """What is free is told by the test."""
    made = Disk(tmp_path)
    monkeypatch.setattr(disk_guard, "free_bytes", made)
    return made


def test_with_little_room_nothing_is_merged(disk: Disk, tmp_path: Path) -> None:
    """Until there is more again; each is said once."""
    said: list[str] = []
    looking = DiskGuard(tmp_path, said.append)
    looking.check()
    assert said == []
    disk.free = LOW_SPACE_BYTES - 1
    looking.check()
    looking.check()
    assert said == MERGES
    disk.free = 2 * LOW_SPACE_BYTES - 1
    looking.check()
    assert said == MERGES
    disk.free = 2 * LOW_SPACE_BYTES
    looking.check()
    looking.check()
    assert said == [*MERGES, "SYSTEM START MERGES"]
    assert looking.has_space()


def test_once_there_was_no_room_all_stays_as_it_is(
    disk: Disk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever room there is later: what was done meanwhile may be worth nothing."""
    said: list[str] = []
    looking = DiskGuard(tmp_path, said.append)
    disk.free = FULL_BYTES
    assert looking.has_space()
    disk.free = FULL_BYTES - 1
    with caplog.at_level(logging.ERROR):
        looking.check()
    disk.free = 10 * LOW_SPACE_BYTES
    looking.check()
    assert said == [*MERGES, "SYSTEM STOP CLEANUP"]
    assert not looking.has_space()
    assert "the disk is full; make room and start again" in caplog.text


def test_what_an_insert_finds_first_is_acted_upon(disk: Disk, tmp_path: Path) -> None:
    """By the next look, also if there is room again by then."""
    said: list[str] = []
    looking = DiskGuard(tmp_path, said.append)
    disk.free = 0
    assert not looking.has_space()
    disk.free = 10 * LOW_SPACE_BYTES
    looking.check()
    looking.check()
    assert said == [*MERGES, "SYSTEM STOP CLEANUP"]


def test_an_engine_that_refuses_is_told_again(
    disk: Disk, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log has it once."""
    said: list[str] = []

    def refuse(sql: str) -> None:
        said.append(sql)
        if len(said) < 4:
            raise exceptions.DatabaseError("not now")

    looking = DiskGuard(tmp_path, refuse)
    looking.start()
    disk.free = LOW_SPACE_BYTES - 1
    until(lambda: "merges are stopped" in caplog.text)
    looking.close()
    assert said == MERGES * 4
    assert caplog.text.count("the engine refuses") == 1


@pytest.fixture
def on_it(
    disk: Disk, engine: Database, tables: Database, engine_path: Path, tmp_path: Path
) -> Iterator[Database]:
    """A database on that disk, as its path says."""
    disk.free = 10 * LOW_SPACE_BYTES
    (tmp_path / "clickhouse").symlink_to(engine_path)
    made = Database(tables.client, tmp_path / "clickhouse")
    yield made
    made.close()
    for what in ("MERGES", "CLEANUP"):
        engine.client.command(f"SYSTEM START {what}")


def test_an_insert_on_a_full_disk_is_an_error(disk: Disk, on_it: Database) -> None:
    """Nor is one tried once there was no room."""
    rows = pa.table({"exchange": ["x"], "watermark": pa.array([1], pa.timestamp("us", "UTC"))})
    on_it.insert("watermarks", rows, "a")
    disk.free = 0
    for _ in range(2):
        with pytest.raises(DatabaseError, match="the disk is full; make room and start again"):
            on_it.insert("watermarks", rows, "b")
        disk.free = 10 * LOW_SPACE_BYTES
    assert on_it.query("SELECT count() FROM watermarks").item() == 1


def test_a_database_does_not_begin_with_little_room(disk: Disk, tmp_path: Path) -> None:
    """Its tables might be empty files."""
    disk.free = LOW_SPACE_BYTES - 1
    with pytest.raises(DatabaseError, match=r"64\.0 MiB of free disk space; 64\.0 MiB are needed"):
        open_tables(tmp_path / "tables", "market")


def test_free_room_is_what_may_be_written(tmp_path: Path) -> None:
    """Of a disk that is there."""
    assert disk_guard.free_bytes(tmp_path) > 0


MERGE = """
import sys
from pathlib import Path
from clickhouse_connect.driver.exceptions import ClickHouseError
from candlewax.clickhouse import disk_guard
from candlewax.clickhouse.client import open_tables
disk_guard._CHECK_INTERVAL_S = 3600
database = open_tables(Path(sys.argv[1]), "market")
def count():
    return database.query("SELECT count(), sum(length(text)) FROM merged").row(0)
command = database.client.command
command("CREATE TABLE merged (n UInt64, text String) ENGINE MergeTree ORDER BY n")
command("SYSTEM STOP MERGES merged")
for part in range(8):
    rows = f"SELECT number * 8 + {part}, randomString(60) FROM numbers(300000)"
    command(f"INSERT INTO merged {rows}")
print(*count(), flush=True)
command("SYSTEM START MERGES merged")
sys.stdin.readline()
command("OPTIMIZE TABLE merged FINAL")
try:
    print("merged", *count(), flush=True)
except ClickHouseError:
    print("merged", "unreadable", flush=True)
database._disk_guard.check()
sys.stdin.readline()
database.close()
"""
"""Eight parts become one. The disk is looked after once the engine says that it is done."""

AGAIN = """
import sys
from pathlib import Path
from candlewax.clickhouse.client import open_tables
database = open_tables(Path(sys.argv[1]), "market")
print(*database.query("SELECT count(), sum(length(text)) FROM merged").row(0))
database.close()
"""


@pytest.mark.skipif(not disks.Disk.possible(), reason="it takes root to make a small disk")
def test_a_merge_that_met_a_full_disk_is_undone_by_the_next_start(tmp_path: Path) -> None:
    """The engine says that it is done, and shows too few rows, or none can be read: should
    it once tell the truth, less has to be looked after.
    """
    with closing(disks.Disk(tmp_path / "disk", disks.ROOMY)) as small:
        folder = str(small.folder / "tables")
        command = small.within([sys.executable, "-c", MERGE, folder])
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as merging:
            assert merging.stdin
            assert merging.stdout
            whole = merging.stdout.readline().split()
            assert whole[0] == "2400000"
            before = small.used()
            print(file=merging.stdin, flush=True)
            until(lambda: small.used() > before + (2 << 20), pause=0)
            small.fill_up()
            found = merging.stdout.readline().split()
            assert found[:1] == ["merged"]
            assert found[1:] != whole
            small.grow()
            _, complained = merging.communicate("\n")
            assert not merging.returncode, complained
        assert "the disk is full" in complained
        again = small.within([sys.executable, "-c", AGAIN, folder])
        done = subprocess.run(again, capture_output=True, text=True, check=True)
        assert done.stdout.split() == whole
