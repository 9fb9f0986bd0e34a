"""Retention of the tables, as settings change it."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from candlewax.clickhouse import ddl
from candlewax.clickhouse.client import Database, QueryError
from candlewax.clickhouse.retention import TABLES, apply_retention, read_keep, remove_ttl
from candlewax.runtime.keep_settings import Retention

DEFAULT = Retention()


def keeping(is_cold: bool = False, **days: int | None) -> Retention:
    keep = {name: timedelta(n) if n else None for name, n in days.items()}
    return Retention({**DEFAULT.keep, **keep}, is_cold)


def engines(database: Database) -> dict[str, str]:
    found = database.query(
        "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() "
        "AND name IN {names:Array(String)} ORDER BY name",
        {"names": list(TABLES)},
    )
    return dict(found.iter_rows())


def since(database: Database, table: str) -> datetime:
    """Return the time since which a table has all rows."""
    found = database.query(
        "SELECT toUnixTimestamp64Micro(since) FROM retention WHERE table = {name:String}",
        {"name": table},
    ).item()
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=found)


def store_letters(database: Database, *ages: int) -> datetime:
    """Store dead letters some days ago, each in a part of its own. Return the time of now.

    The parts have a file for each column, as large ones do.
    """
    database.command("ALTER TABLE dead_letters MODIFY SETTING min_bytes_for_wide_part = 0")
    now = datetime.now(UTC).replace(microsecond=0)
    for age in ages:
        stored = now - timedelta(days=age)
        database.command(
            "INSERT INTO dead_letters (exchange, received_at, scope, inserted_at) "
            f"VALUES ('x', '{stored:%F %T}', 'line', '{stored:%F %T}')"
        )
    return now


def parts(database: Database) -> dict[datetime, int]:
    """Return when each part of the dead letters is dropped, and the inode of its data."""
    found = database.query(
        "SELECT toUnixTimestamp(delete_ttl_info_max) AS ends, path FROM system.parts "
        "WHERE database = currentDatabase() AND table = 'dead_letters' AND active"
    )
    return {
        datetime.fromtimestamp(ends, UTC): Path(path, "frame.bin").stat().st_ino
        for ends, path in found.iter_rows()
    }


def ages(database: Database) -> list[int]:
    found = database.query(
        "SELECT dateDiff('day', inserted_at, now64(6)) AS age FROM dead_letters ORDER BY age"
    )
    return found["age"].to_list()


def test_default_retention_is_that_of_new_tables(tables: Database) -> None:
    """So nothing is altered, and the view says the same."""
    before = engines(tables)
    assert apply_retention(tables, DEFAULT) == ()
    assert engines(tables) == before
    assert read_keep(tables) == DEFAULT.keep
    assert [name for name, text in before.items() if " TTL " in text] == [
        "bronze_frames",
        "dead_letters",
        "silver_trades",
    ]


def test_changed_retention_is_that_of_stored_rows_too(tables: Database) -> None:
    """Their parts get new times and are not rewritten."""
    now = store_letters(tables, 1, 20)
    before = parts(tables)
    assert set(before) == {now + timedelta(days=29), now + timedelta(days=10)}
    assert apply_retention(tables, keeping(dead_letters=100)) == ("dead_letters",)
    assert parts(tables) == {ends + timedelta(days=70): inode for ends, inode in before.items()}
    assert apply_retention(tables, keeping(dead_letters=100)) == ()
    apply_retention(tables, keeping(dead_letters=None))
    assert " TTL " not in engines(tables)["dead_letters"]
    apply_retention(tables, keeping(dead_letters=21))
    assert ages(tables) == [1, 20]
    apply_retention(tables, keeping(dead_letters=10))
    tables.command("OPTIMIZE TABLE dead_letters FINAL")
    assert ages(tables) == [1]
    assert read_keep(tables)["dead_letters"] == timedelta(days=10)


def test_shorter_retention_is_a_warning(tables: Database, caplog: pytest.LogCaptureFixture) -> None:
    """Only if there are rows."""
    caplog.set_level(logging.INFO, "candlewax")
    apply_retention(tables, keeping(dead_letters=40))
    assert caplog.messages == []
    store_letters(tables, 1)
    apply_retention(tables, keeping(dead_letters=9))
    apply_retention(tables, keeping(dead_letters=None))
    assert [(record.levelname, record.message) for record in caplog.records] == [
        (
            "WARNING",
            "CANDLEWAX_KEEP_DEAD_LETTERS=9d: dead_letters kept rows for 40d before; "
            "rows stored more than 9d ago are dropped from now on",
        ),
        (
            "INFO",
            "CANDLEWAX_KEEP_DEAD_LETTERS=forever: dead_letters kept rows for 9d before",
        ),
    ]


def test_longer_retention_does_not_claim_what_was_dropped(tables: Database) -> None:
    """Rows that the shorter one dropped stay gone."""
    begin = datetime.now(UTC)
    apply_retention(tables, keeping(dead_letters=9))
    apply_retention(tables, keeping(dead_letters=200))
    assert begin - timedelta(days=9) <= since(tables, "dead_letters") <= datetime.now(UTC)
    apply_retention(tables, keeping(dead_letters=None))
    end = datetime.now(UTC)
    whole = since(tables, "dead_letters")
    assert begin - timedelta(days=9) <= whole <= end - timedelta(days=9)
    apply_retention(tables, keeping(dead_letters=3))
    assert since(tables, "dead_letters") >= end - timedelta(days=3)


class KilledError(Exception):
    """The process is gone."""


class Mortal:
    """Database of a process that is killed before one of its statements."""

    def __init__(self, database: Database, statements: int) -> None:
        self._database = database
        self._left = statements

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pl.DataFrame:
        return self._database.query(sql, parameters)

    def command(self, sql: str) -> None:
        if not self._left:
            raise KilledError
        self._left -= 1
        self._database.command(sql)


def test_change_that_was_cut_off_goes_on_at_the_next_start(tables: Database) -> None:
    """Before whichever statement the process was killed; no row counts as kept that is not."""
    wanted = keeping(dead_letters=100)
    now = store_letters(tables, 1)
    cuts = 0
    for statements in range(100):
        apply_retention(tables, keeping(dead_letters=9))
        assert set(parts(tables)) == {now + timedelta(days=8)}
        try:
            apply_retention(Mortal(tables, statements), wanted)
        except KilledError:
            cuts += 1
            apply_retention(tables, wanted)
        assert set(parts(tables)) == {now + timedelta(days=99)}
        assert since(tables, "dead_letters") >= now - timedelta(days=9)
        assert "recalculate" not in engines(tables)["dead_letters"]
        if cuts <= statements:
            break
    # The view, and four changes of the table.
    assert cuts == 5


def test_older_table_of_candles_loses_its_ttl(tables: Database) -> None:
    """Minutes that it dropped do not count as kept."""
    year = timedelta(days=365)
    tables.command(
        "ALTER TABLE ohlcv MODIFY TTL toDateTime(updated_at) + "
        "toIntervalDay(if(timeframe = '1d', 730, 365))"
    )
    begin = datetime.now(UTC)
    assert apply_retention(tables, DEFAULT) == ("ohlcv",)
    assert " TTL " not in engines(tables)["ohlcv"]
    assert begin - year <= since(tables, "ohlcv") <= datetime.now(UTC) - year


def test_ttl_may_be_removed_by_two_processes_at_once(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As both find it before either removes it, the second is refused by ClickHouse."""
    other = tables.command

    def remove_before(sql: str) -> None:
        other(sql)
        other(sql)

    with monkeypatch.context() as patch:
        patch.setattr(tables, "command", remove_before)
        assert remove_ttl(tables, ["dead_letters"]) == ("dead_letters",)
    assert " TTL " not in engines(tables)["dead_letters"]
    assert apply_retention(tables, DEFAULT) == ("dead_letters",)


def test_refusal_of_clickhouse_to_remove_a_ttl_is_an_error(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tables.command
    monkeypatch.setattr(tables, "command", lambda sql: command(f"{sql}, REMOVE TTL WRONGLY"))
    with pytest.raises(QueryError):
        remove_ttl(tables, ["dead_letters"])


def test_cold_tier_takes_the_ttl_and_gives_it_back(tables: Database) -> None:
    """Not by itself: what is not archived would be dropped."""
    before = engines(tables)
    tables.command("INSERT INTO cold_units (layer, exchange) VALUES ('raw.frames', 'x')")
    assert set(remove_ttl(tables)) == {"bronze_frames", "silver_trades", "dead_letters"}
    assert apply_retention(tables, keeping(is_cold=True, bronze_frames=3)) == ()
    assert read_keep(tables)["bronze_frames"] == timedelta(days=3)
    ddl.apply(tables.client)
    assert apply_retention(tables, DEFAULT) == ()
    assert not any(" TTL " in text for text in engines(tables).values())
    given = apply_retention(tables, DEFAULT, is_returning=True)
    assert set(given) == {"bronze_frames", "silver_trades", "dead_letters"}
    assert engines(tables) == before


@pytest.fixture
def old_candle(tables: Database) -> Database:
    """A closed candle stored five days ago, without trades."""
    tables.command(
        "INSERT INTO ohlcv (timeframe, exchange, symbol, window_start, closed, updated_at) "
        "VALUES ('1m', 'x', 'A/B', '2026-01-01 00:00:00', true, now64(6) - INTERVAL 5 DAY)"
    )
    return tables


def test_checks_leave_out_what_retention_may_have_dropped(old_candle: Database) -> None:
    """Also once it is longer again."""
    count = "SELECT count() FROM ohlcv_mismatches"
    assert old_candle.query(count).item() == 1
    apply_retention(old_candle, keeping(silver_trades=4))
    assert old_candle.query(count).item() == 0
    apply_retention(old_candle, DEFAULT)
    assert old_candle.query(count).item() == 0
