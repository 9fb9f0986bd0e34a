"""Backups and their restore, embedded and of a server."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from candlewax.clickhouse.backup import (
    STORED,
    BackupError,
    backup_target,
    make_backup,
    restore_backup,
)
from candlewax.clickhouse.client import Database, connect, open_tables
from candlewax.clickhouse.retention import apply_retention, read_keep
from candlewax.data import DDL
from candlewax.runtime.keep_settings import Retention, parse_keep
from candlewax.runtime.setting_parsers import Server
from candlewax.verification.verify import check_totals, verify
from tests.support import cold_tables, command_process
from tests.support.clickhouse_process import PASSWORD, USER, Serving, serving

Command = Callable[..., tuple[int | str | None, str, str]]

COUNTS = (
    "SELECT (SELECT count() FROM bronze_frames FINAL), (SELECT count() FROM silver_trades FINAL), "
    "(SELECT count() FROM gaps FINAL), (SELECT count() FROM ohlcv FINAL)"
)
CONTENT = (
    "SELECT 'trades', count(), toString(sum(content)) FROM silver_content "
    "UNION ALL SELECT 'candles', count(), toString(sum(content)) FROM ohlcv_content"
)


@pytest.fixture
def played(tables: Database) -> Database:
    """A database with trades, gaps and candles, and with a dead letter of long ago."""
    frames = cold_tables.two_hours()
    cold_tables.play(tables, [frame for n, frame in enumerate(frames) if n % 17 != 8])
    tables.command(
        "INSERT INTO dead_letters (exchange, received_at, scope, inserted_at) "
        "VALUES ('x', '2026-01-01 00:00:00', 'line', now64(6) - INTERVAL 29 DAY)"
    )
    return tables


@pytest.fixture
def command(
    played: Database,
    engine_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Command:
    """A function that runs a command and returns status, output and errors."""

    def run(*words: str | Path, database: Database = played) -> tuple[int | str | None, str, str]:
        capsys.readouterr()
        status = command_process.run(monkeypatch, engine_path, database, *map(str, words))
        return status, *capsys.readouterr()

    return run


@pytest.fixture
def restored_name(engine: Database) -> Iterator[str]:
    """The name of a database that is absent at first."""
    yield "restored_one"
    engine.command("DROP DATABASE IF EXISTS restored_one SYNC")


def databases(engine: Database) -> set[str]:
    return set(engine.query("SELECT name FROM system.databases")["name"])


def test_restored_database_equals_the_saved_one(
    command: Command, played: Database, engine: Database, engine_path: Path, tmp_path: Path,
    restored_name: str, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Give back the rows of the backup, whatever was stored since, ready for a start."""
    counts, content = played.query(COUNTS).row(0), sorted(played.query(CONTENT).rows())
    assert all(counts)
    status, out, _ = command("backup", tmp_path / "saved")
    assert status == 0
    assert re.search(rf"silver_trades +{counts[1]} rows +[0-9a-f]{{32}}\n", out)
    assert re.search(r"\d+ tables with \d+ rows, \d+\.\d MB: saved from ", out)
    hashes = re.findall(r"\w+ +[\d,]+ rows +[0-9a-f]{32}", out)
    played.command("TRUNCATE TABLE silver_trades")
    monkeypatch.setattr(command_process, "name", lambda _: restored_name)
    status, out, _ = command("restore", tmp_path / "saved")
    assert status == 0
    assert re.findall(r"\w+ +[\d,]+ rows +[0-9a-f]{32}", out) == hashes
    assert "and found equal" in out
    with closing(connect(engine_path, restored_name)) as found:
        assert found.query(COUNTS).row(0) == counts
        assert sorted(found.query(CONTENT).rows()) == content
        assert found.query("SELECT count() FROM dead_letters WHERE exchange = 'x'").item() == 1
        assert verify(found.client).equal
        assert check_totals(found.client) == []
        assert (
            found.query("SELECT kind FROM database_kind").rows()
            == played.query("SELECT kind FROM database_kind").rows()
        )
        assert "backup_manifest" not in found.query("SHOW TABLES")["name"]
    assert not databases(engine) & {"candlewax_backup", "candlewax_restore"}


def test_backup_beside_a_writer_holds_what_its_tables_claim(
    tables: Database, engine_path: Path, tmp_path: Path, restored_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Each table is as it was at a moment, those that rest on others first, as after a crash."""
    frames = cold_tables.two_hours()
    parts = iter([frames[n : n + 6] for n in range(8, 80, 6)])
    cold_tables.play(tables, frames[:8])
    command = Database.command

    def store_more(self: Database, sql: str) -> None:
        command(self, sql)
        if "ATTACH PARTITION ALL" in sql and any(name in sql for name in STORED):
            cold_tables.play(tables, next(parts))

    target = backup_target(engine_path, str(tmp_path / "saved"))
    with monkeypatch.context() as patched:
        patched.setattr(Database, "command", store_more)
        make_backup(tables, target)
    restore_backup(engine_path, restored_name, target, Retention())
    place = "exchange, source, source_partition, source_offset"
    with closing(connect(engine_path, restored_name)) as found:
        counts = found.query(
            f"SELECT countIf(({place}) NOT IN (SELECT {place} FROM bronze_frames)), count(), "
            "(SELECT count() FROM bronze_frames FINAL WHERE kind = 'trade'), "
            "(SELECT sum(trade_count) FROM ohlcv FINAL WHERE timeframe = '1m') "
            "FROM silver_trades FINAL"
        )
        without_frame, trades, trade_frames, trades_of_candles = counts.row(0)
        assert without_frame == 0
        assert trade_frames > trades > trades_of_candles > 0
        unknown = found.query(
            "SELECT count() FROM ohlcv FINAL WHERE closed AND (timeframe, exchange, symbol, "
            "window_start) NOT IN (SELECT timeframe, exchange, symbol, window_start "
            "FROM ohlcv_revisions)"
        )
        assert unknown.item() == 0


def test_nothing_is_overwritten(command: Command, played: Database, tmp_path: Path) -> None:
    """Neither a backup nor a database."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    assert command("backup", tmp_path / "saved")[0] == 0
    for place in ("saved", "other"):
        status, _, errors = command("backup", tmp_path / place)
        assert (status, "overwrites nothing" in errors) == (1, True)
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["file"]
    before = played.query(COUNTS).row(0)
    status, _, errors = command("restore", tmp_path / "saved")
    assert status == 1
    assert "has tables, and a restore overwrites nothing" in errors
    assert played.query(COUNTS).row(0) == before


def test_damaged_or_absent_backup_restores_nothing(
    played: Database, engine: Database, engine_path: Path, tmp_path: Path, restored_name: str
) -> None:
    """A changed row, a missing file, or no backup at all."""
    target = backup_target(engine_path, str(tmp_path / "saved"))
    make_backup(played, target)
    row, *_ = (tmp_path / "saved").glob("data/*/watermarks/*/data.bin")
    text = row.read_bytes()
    row.write_bytes(text[:-1] + bytes([text[-1] ^ 1]))
    with pytest.raises(BackupError):
        restore_backup(engine_path, restored_name, target, Retention())
    row.write_bytes(text[:10])
    with pytest.raises(BackupError, match=r"saved'.*: the backup is damaged: ") as caught:
        restore_backup(engine_path, restored_name, target, Retention())
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    row.unlink()
    with pytest.raises(BackupError, match=r"saved'.*: the backup is damaged: "):
        restore_backup(engine_path, restored_name, target, Retention())
    nowhere = backup_target(engine_path, str(tmp_path / "none"))
    with pytest.raises(
        BackupError, match=r"none'.*: there is no backup, or none that was finished"
    ):
        restore_backup(engine_path, restored_name, nowhere, Retention())
    assert not databases(engine) & {restored_name, "candlewax_restore"}


def test_changed_row_is_named(
    played: Database, engine: Database, engine_path: Path, tmp_path: Path, restored_name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A backup whose files are in order, with another row than was measured."""
    with monkeypatch.context() as patched:
        command = Database.command

        def disturb(self: Database, sql: str) -> None:
            command(self, sql)
            if sql.startswith("INSERT INTO candlewax_backup.backup_manifest"):
                command(self, "ALTER TABLE candlewax_backup.gaps DELETE WHERE first_sequence IN "
                        "(SELECT min(first_sequence) FROM candlewax_backup.gaps) "
                        "SETTINGS mutations_sync = 1")  # fmt: skip

        patched.setattr(Database, "command", disturb)
        target = backup_target(engine_path, str(tmp_path / "saved"))
        make_backup(played, target)
    with pytest.raises(BackupError, match=r"^gaps: other rows than were saved"):
        restore_backup(engine_path, restored_name, target, Retention())
    assert restored_name not in databases(engine)


def test_backup_of_a_newer_program_is_refused(
    played: Database, engine: Database, engine_path: Path, tmp_path: Path, restored_name: str
) -> None:
    """And nothing of it stays."""
    newer = max(int(path.name[:4]) for path in (DDL / "migrations").iterdir()) + 1
    played.command(
        "CREATE OR REPLACE VIEW schema_version AS SELECT '' AS statements, '' AS tables, "
        f"{newer} AS version, '9.8.7' AS program"
    )
    target = backup_target(engine_path, str(tmp_path / "saved"))
    make_backup(played, target)
    with pytest.raises(BackupError, match=f"have version {newer}, written by Candlewax 9.8.7"):
        restore_backup(engine_path, restored_name, target, Retention())
    assert restored_name not in databases(engine)


def test_restored_tables_keep_what_they_claim(
    played: Database, engine_path: Path, tmp_path: Path, restored_name: str
) -> None:
    """Claim nothing that an earlier retention dropped; then the settings of today count."""
    keep = {**Retention().keep, "dead_letters": parse_keep("200d")}
    apply_retention(played, Retention(keep))
    since = played.query("SELECT whole_since FROM retention ORDER BY table").rows()
    target = backup_target(engine_path, str(tmp_path / "saved"))
    make_backup(played, target)
    restore_backup(engine_path, restored_name, target, Retention(keep))
    with closing(connect(engine_path, restored_name)) as found:
        assert read_keep(found) == keep
        assert found.query("SELECT whole_since FROM retention ORDER BY table").rows() == since
        engines = "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase()"
        texts = dict(found.query(engines).iter_rows())
        assert "toIntervalDay(200)" in texts["dead_letters"]
        assert "toIntervalDay(7)" in texts["bronze_frames"]
        assert " TTL " not in texts["ohlcv"]


def test_copy_that_a_killed_process_left_is_dropped(
    played: Database, engine: Database, engine_path: Path, tmp_path: Path
) -> None:
    """A directory belongs to one process at a time, so nobody uses it."""
    engine.command("CREATE DATABASE candlewax_backup")
    make_backup(played, backup_target(engine_path, str(tmp_path / "saved")))
    assert "candlewax_backup" not in databases(engine)


@pytest.mark.parametrize("text", ["s3://bucket/x", "disk:backups/x"])
def test_place_that_a_directory_cannot_use_is_named(text: str) -> None:
    """Disks are those of a server."""
    with pytest.raises(BackupError) as caught:
        backup_target(Path("data"), text)
    assert str(caught.value) == f"{text}: takes a path, or disk:NAME/PATH with a ClickHouse server"


@pytest.mark.slow("a server as a process", seconds=10)
def test_drill_with_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pipeline may store meanwhile; what the server does not allow is said."""
    monkeypatch.setenv("no_proxy", "*")
    with serving(tmp_path / "server", USER, PASSWORD) as server:
        drill(server, tmp_path)


def drill(server: Serving, tmp_path: Path) -> None:
    place = Server(server.dsn)
    with closing(open_tables(place, "market")) as tables:
        cold_tables.play(tables)
        counts, content = tables.query(COUNTS).row(0), sorted(tables.query(CONTENT).rows())
        with pytest.raises(BackupError, match=r"backups\.allowed_path"):
            make_backup(tables, backup_target(place, "/not/allowed"))
        with pytest.raises(BackupError, match=r"backups\.allowed_disk"):
            make_backup(tables, backup_target(place, "disk:default/saved"))
        target = backup_target(place, str(tmp_path / "saved"))
        make_backup(tables, target)
        tables.command("CREATE DATABASE candlewax_restore")
        with pytest.raises(BackupError, match="another backup or restore runs, or one was cut off"):
            restore_backup(place, "again", target, Retention())
        tables.command("DROP DATABASE candlewax_restore SYNC")
    restore_backup(place, "again", target, Retention())
    with closing(connect(place, "again")) as found:
        assert found.query(COUNTS).row(0) == counts
        assert sorted(found.query(CONTENT).rows()) == content
