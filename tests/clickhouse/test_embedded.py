"""Rows into an embedded engine, beside their statement or by way of a file."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pyarrow as pa
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError

from candlewax.clickhouse import embedded as _inserts
from candlewax.clickhouse import engine
from candlewax.clickhouse.client import Database
from candlewax.clickhouse.disk_guard import free_bytes
from candlewax.clickhouse.embedded import INLINE_MAX_BYTES, EmbeddedInserter


@pytest.fixture
def ways(tables: Database, engine_path: Path) -> Iterator[tuple[EmbeddedInserter, list[str]]]:
    """Inserts into a table `texts`, and the statements that went by way of the client."""
    tables.client.command(
        "CREATE TABLE texts (n UInt32, text String) ENGINE = MergeTree ORDER BY n"
    )
    told: list[str] = []

    def run(sql: str) -> None:
        told.append(sql)
        tables.client.raw_query(sql)

    made = EmbeddedInserter(engine_path, str(tables.client.database), run)
    yield made, told
    made.close()
    tables.client.command("DROP TABLE texts SYNC")


def rows(*texts: str, first: int = 0) -> pa.Table:
    numbers = pl.Series("n", range(first, first + len(texts)), pl.UInt32)
    return pl.DataFrame([numbers, pl.Series("text", texts)]).to_arrow()


def stored(tables: Database) -> list[tuple[int, str]]:
    return tables.query("SELECT n, text FROM texts ORDER BY n").rows()


def test_a_few_rows_stand_beside_their_statement(
    tables: Database, ways: tuple[EmbeddedInserter, list[str]]
) -> None:
    """Whatever is in them, as long as no line of it is empty."""
    inserts, told = ways
    texts = ["'", '";\n', "INSERT INTO texts FORMAT CSV\n", "\0\n \n", "-- ", "/*", "\r\n", "ü", ""]
    inserts.insert("texts", rows(*texts), {"async_insert": 0})
    assert stored(tables) == list(enumerate(texts))
    assert told == []


@pytest.mark.parametrize(
    "text",
    ["a\n\nb", "\n\n", "x" * (INLINE_MAX_BYTES + 1)],
    ids=["an empty line", "only that", "many bytes"],
)
def test_others_come_by_way_of_a_file(
    tables: Database, ways: tuple[EmbeddedInserter, list[str]], text: str
) -> None:
    """The engine would take an empty line for the end of them. Again and again, also where
    fewer follow more.
    """
    inserts, told = ways
    inserts.insert("texts", rows(text, text, "z"), {})
    inserts.insert("texts", rows(text, first=3), {})
    assert stored(tables) == list(enumerate([text, text, "z", text]))
    assert len(told) == 2


@pytest.mark.usefixtures("ways")
def test_the_file_has_a_name_where_open_files_have_none(
    tables: Database, engine_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS; it goes when it is let go of."""
    monkeypatch.setattr(_inserts, "_OPEN_FILES", Path("/nowhere"))
    told: list[str] = []

    def run(sql: str) -> None:
        told.append(sql)
        tables.client.raw_query(sql)

    inserts = EmbeddedInserter(engine_path, str(tables.client.database), run)
    inserts.insert("texts", rows("x" * (INLINE_MAX_BYTES + 1)), {})
    (statement,) = told
    name = Path(statement.split("INFILE '")[1].split("'")[0])
    assert name.is_file()
    inserts.close()
    assert not name.exists()
    assert [len(text) for _, text in stored(tables)] == [INLINE_MAX_BYTES + 1]


def test_settings_go_with_the_rows(
    tables: Database, ways: tuple[EmbeddedInserter, list[str]]
) -> None:
    """The engine refuses what it is told to refuse, in its own words, and takes nothing."""
    inserts, _ = ways
    with pytest.raises(DatabaseError, match="NOT_ENOUGH_SPACE"):
        inserts.insert(
            "texts", rows("a"), {"min_free_disk_bytes_to_perform_insert": 2 * free_bytes(Path("/"))}
        )
    with pytest.raises(DatabaseError, match="nowhere"):
        inserts.insert("nowhere", rows("a"), {})
    assert stored(tables) == []


def test_rows_that_the_engine_leaves_are_told(
    ways: tuple[EmbeddedInserter, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it says it has written is counted."""
    inserts, _ = ways
    lazy = SimpleNamespace(
        query=lambda *_: SimpleNamespace(rows_written=lambda: 1), close=lambda: None
    )
    monkeypatch.setattr(engine, "connect", lambda _: lazy)
    with pytest.raises(DatabaseError, match="of 2 rows the engine took 1"):
        inserts.insert("texts", rows("a", "b"), {})


def script(folder: Path, *lines: str, **settings: str) -> "subprocess.CompletedProcess[bytes]":
    """What a process does that is told these lines, and given a directory for its tables."""
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines), str(folder / "clickhouse")],
        check=False, capture_output=True, timeout=120, env={**os.environ, **settings},
    )  # fmt: skip


def test_a_process_ends_well_that_lets_go_of_nothing(tmp_path: Path) -> None:
    """The engine would end it with a signal."""
    lines = (
        "import sys, threading",
        "from pathlib import Path",
        "import polars as pl",
        "from candlewax.clickhouse.client import open_tables",
        "kept = open_tables(Path(sys.argv[1]), 'market')",
        "kept.client.command('CREATE TABLE texts (text String) ENGINE = Memory')",
        "kept.insert('texts', pl.DataFrame({'text': ['a']}).to_arrow(), 'token')",
        "wait = lambda: threading.Event().wait(kept and 600)",
        "threading.Thread(target=wait, daemon=True).start()",
    )
    done = script(tmp_path, *lines)
    assert done.returncode == 0, done.stderr


def test_a_process_that_is_killed_leaves_no_file(tmp_path: Path) -> None:
    """Nor what it has written into one."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    lines = (
        "import os, signal, sys",
        "from pathlib import Path",
        "import polars as pl",
        "from candlewax.clickhouse.embedded import INLINE_MAX_BYTES",
        "from candlewax.clickhouse.client import open_tables",
        "tables = open_tables(Path(sys.argv[1]), 'market')",
        "tables.client.command('CREATE TABLE texts (text String) ENGINE = Memory')",
        "rows = pl.DataFrame({'text': ['a' * INLINE_MAX_BYTES]}).to_arrow()",
        "tables.insert('texts', rows, 'token')",
        "print(tables.query('SELECT length(text) FROM texts').item(), flush=True)",
        "os.kill(os.getpid(), signal.SIGKILL)",
    )
    done = script(tmp_path, *lines, TMPDIR=str(temporary))
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, f"{INLINE_MAX_BYTES}\n".encode())
    assert list(temporary.iterdir()) == []
