"""Inserts into an embedded engine, inline in the statement or through a file."""

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
def inserter(tables: Database, engine_path: Path) -> Iterator[tuple[EmbeddedInserter, list[str]]]:
    """An inserter for a table `texts`, and the statements that it ran through a file."""
    tables.client.command(
        "CREATE TABLE texts (n UInt32, text String) ENGINE = MergeTree ORDER BY n"
    )
    statements: list[str] = []

    def run(sql: str) -> None:
        statements.append(sql)
        tables.client.raw_query(sql)

    made = EmbeddedInserter(engine_path, str(tables.client.database), run)
    yield made, statements
    made.close()
    tables.client.command("DROP TABLE texts SYNC")


def rows(*texts: str, first: int = 0) -> pa.Table:
    numbers = pl.Series("n", range(first, first + len(texts)), pl.UInt32)
    return pl.DataFrame([numbers, pl.Series("text", texts)]).to_arrow()


def stored(tables: Database) -> list[tuple[int, str]]:
    return tables.query("SELECT n, text FROM texts ORDER BY n").rows()


def test_few_rows_are_inserted_inline(
    tables: Database, inserter: tuple[EmbeddedInserter, list[str]]
) -> None:
    """With any text that has no empty line."""
    inserts, statements = inserter
    texts = ["'", '";\n', "INSERT INTO texts FORMAT CSV\n", "\0\n \n", "-- ", "/*", "\r\n", "ü", ""]
    inserts.insert("texts", rows(*texts), {"async_insert": 0})
    assert stored(tables) == list(enumerate(texts))
    assert statements == []


@pytest.mark.parametrize(
    "text",
    ["a\n\nb", "\n\n", "x" * (INLINE_MAX_BYTES + 1)],
    ids=["an empty line", "only that", "many bytes"],
)
def test_large_rows_and_empty_lines_are_inserted_through_a_file(
    tables: Database, inserter: tuple[EmbeddedInserter, list[str]], text: str
) -> None:
    """The engine takes an empty line for the end of inline rows. The file is used again for a
    shorter insert.
    """
    inserts, statements = inserter
    inserts.insert("texts", rows(text, text, "z"), {})
    inserts.insert("texts", rows(text, first=3), {})
    assert stored(tables) == list(enumerate([text, text, "z", text]))
    assert len(statements) == 2


@pytest.mark.usefixtures("inserter")
def test_file_has_a_name_where_open_files_cannot_be_addressed(
    tables: Database, engine_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on macOS. It is deleted when the inserter is closed."""
    monkeypatch.setattr(_inserts, "_OPEN_FILES", Path("/nowhere"))
    statements: list[str] = []

    def run(sql: str) -> None:
        statements.append(sql)
        tables.client.raw_query(sql)

    inserts = EmbeddedInserter(engine_path, str(tables.client.database), run)
    inserts.insert("texts", rows("x" * (INLINE_MAX_BYTES + 1)), {})
    (statement,) = statements
    name = Path(statement.split("INFILE '")[1].split("'")[0])
    assert name.is_file()
    inserts.close()
    assert not name.exists()
    assert [len(text) for _, text in stored(tables)] == [INLINE_MAX_BYTES + 1]


def test_insert_applies_its_settings(
    tables: Database, inserter: tuple[EmbeddedInserter, list[str]]
) -> None:
    """The engine refuses the insert with its own message and stores no row."""
    inserts, _ = inserter
    with pytest.raises(DatabaseError, match="NOT_ENOUGH_SPACE"):
        inserts.insert(
            "texts", rows("a"), {"min_free_disk_bytes_to_perform_insert": 2 * free_bytes(Path("/"))}
        )
    with pytest.raises(DatabaseError, match="nowhere"):
        inserts.insert("nowhere", rows("a"), {})
    assert stored(tables) == []


def test_incomplete_insert_is_an_error(
    inserter: tuple[EmbeddedInserter, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The number of rows that the engine reports is compared."""
    inserts, _ = inserter
    connection = SimpleNamespace(
        query=lambda *_: SimpleNamespace(rows_written=lambda: 1), close=lambda: None
    )
    monkeypatch.setattr(engine, "connect", lambda _: connection)
    with pytest.raises(DatabaseError, match="of 2 rows the engine took 1"):
        inserts.insert("texts", rows("a", "b"), {})


def run_script(folder: Path, *lines: str, **settings: str) -> "subprocess.CompletedProcess[bytes]":
    """Run these lines in a process with a directory for its tables."""
    return subprocess.run(
        [sys.executable, "-c", "\n".join(lines), str(folder / "clickhouse")],
        check=False, capture_output=True, timeout=120, env={**os.environ, **settings},
    )  # fmt: skip


def test_process_that_closes_nothing_ends_with_0(tmp_path: Path) -> None:
    """Without our exit handler the engine would end it with a signal."""
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
    done = run_script(tmp_path, *lines)
    assert done.returncode == 0, done.stderr


def test_killed_process_leaves_no_file(tmp_path: Path) -> None:
    """In the folder of temporary files."""
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
    done = run_script(tmp_path, *lines, TMPDIR=str(temporary))
    assert (done.returncode, done.stdout) == (-signal.SIGKILL, f"{INLINE_MAX_BYTES}\n".encode())
    assert list(temporary.iterdir()) == []
