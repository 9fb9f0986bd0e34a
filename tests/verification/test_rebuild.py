"""A rebuild from the stored frames gives the stored tables, or names each difference."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from candlewax.clickhouse.client import Database
from candlewax.feeds.replay import stored_frames as source
from candlewax.verification import rebuild as rebuilding
from candlewax.verification.content_hash import Comparison
from candlewax.verification.rebuild import RebuildError
from tests.support.examples import examples
from tests.support.markets import markets
from tests.support.playing import (
    Frame,
    binance,
    clear,
    play,
    received,
)
from tests.support.rebuilding import BEGIN, HOUR, SECOND, Rebuild, fill, minutely

pytestmark = pytest.mark.slow("each test plays frames and rebuilds them", seconds=20)


def differing(comparison: Comparison) -> list[str]:
    """Return the tables that differ."""
    return sorted({day.table for day in comparison.days if not day.same})


def scratch_databases(tables: Database) -> list[str]:
    rows = tables.query("SELECT name FROM system.databases WHERE name LIKE '%rebuild%'").rows()
    return [row[0] for row in rows]


@given(markets())
@examples(2)
def test_rebuild_of_any_market_gives_the_stored_tables(
    tables: Database, rebuild_tables: Rebuild, frames: list[Frame]
) -> None:
    """With repeats, ties, late trades, forming candles and two exchanges; it leaves no database."""
    clear(tables)
    play(received(frames, [3, 9]), tables)
    comparison = rebuild_tables()
    assert comparison.same, comparison.examples
    assert sum(d.stored.rows for d in comparison.days if d.table == "silver_trades") == len(
        {fill.identity for frame in frames for fill in frame.fills}
    )
    assert scratch_databases(tables) == []


def replace_row(tables: Database, table: str, change: str, where: str) -> None:
    """Insert a changed version of a row."""
    tables.client.command(
        f"INSERT INTO {table} SELECT * REPLACE ({change}) FROM {table} FINAL WHERE {where}"
    )


def minute(number: int) -> str:
    """Return the condition in SQL of a minute's candle."""
    start = f"toDateTime({BEGIN // SECOND + 60 * number}, 'UTC')"
    return f"timeframe = '1m' AND window_start = {start}"


CORRUPTIONS: Sequence[tuple[Callable[[Database], object], dict[str, Any]]] = [
    (
        lambda tables: tables.client.command("DELETE FROM silver_trades WHERE sequence = 105"),
        {"table": "silver_trades", "problem": "only_rebuilt", "trade_id": "105", "fields": {}},
    ),
    (
        lambda tables: replace_row(tables, "silver_trades", "'9' AS trade_id", "sequence = 106"),
        {"table": "silver_trades", "problem": "only_stored", "trade_id": "9", "fields": {}},
    ),
    (
        lambda tables: replace_row(
            tables, "silver_trades", "toDecimal128('1.000000000001', 12) AS price", "sequence = 107"
        ),
        {
            "table": "silver_trades",
            "problem": "differs",
            "fields": {"price": {"stored": "1.000000000001", "rebuilt": "60107.000000000000"}},
        },
    ),
    (
        lambda tables: replace_row(tables, "silver_trades", "7 AS source_offset", "sequence = 108"),
        {
            "table": "silver_trades",
            "problem": "differs",
            "fields": {"source_offset": {"stored": "7", "rebuilt": "8"}},
        },
    ),
    (
        lambda tables: replace_row(
            tables, "ohlcv", "high + toDecimal128('0.000000000001', 12) AS high", minute(1)
        ),
        {
            "table": "ohlcv",
            "problem": "differs",
            "timeframe": "1m",
            "fields": {"high": {"stored": "60106.000000000001", "rebuilt": "60106.000000000000"}},
        },
    ),
    (
        lambda tables: tables.client.command("DELETE FROM ohlcv WHERE timeframe = '1d'"),
        {"table": "ohlcv", "problem": "only_rebuilt", "timeframe": "1d"},
    ),
]


def test_rebuild_shows_exactly_the_rows_that_were_changed(
    tables: Database, rebuild_tables: Rebuild
) -> None:
    """With table, row, field, and both values."""
    play(received(minutely(20)), tables)
    for corrupt, _ in CORRUPTIONS:
        corrupt(tables)
    comparison = rebuild_tables()
    assert differing(comparison) == ["ohlcv", "silver_trades"]
    for _, example in CORRUPTIONS:
        matching = [
            shown_example
            for shown_example in comparison.examples
            if shown_example.items() >= example.items()
        ]
        assert len(matching) == 1, (example, comparison.examples)
    assert len(comparison.examples) == len(CORRUPTIONS)
    corrupted = [day for day in comparison.days if not day.same]
    assert [day.stored == day.rebuilt for day in corrupted] == [False, False]


def test_rebuild_of_a_span_uses_earlier_trades_and_later_frames(
    tables: Database, rebuild_tables: Rebuild
) -> None:
    """A trade ahead of its frame, one repeated after the begin of the span, one an hour late, and
    numbers missing across the begin.
    """
    frames = minutely(180)
    begin, end = BEGIN + 10 * 60 * SECOND, BEGIN + 20 * 60 * SECOND
    ahead = binance(500, begin - 5 * SECOND, fill(900, begin + 30 * SECOND, symbol="ETH/USDT"))
    repeat = replace(frames[28], seq=501, recv_us=begin + SECOND)
    late = binance(502, end + HOUR, fill(901, begin + 90 * SECOND, symbol="ETH/USDT"))
    incomplete = [frame for frame in frames if frame.fills[0].sequence not in {130, 131, 132}]
    played = sorted([*incomplete, ahead, repeat, late], key=lambda frame: frame.recv_us)
    play(received(played, range(0, 180, 7)), tables)
    comparison = rebuild_tables(begin, end)
    assert comparison.same, comparison.examples
    trades = [day for day in comparison.days if day.table == "silver_trades"]
    # One each 20 seconds of ten minutes, without the missing ones, and the two of ETH.
    assert [day.stored.rows for day in trades] == [30 - 2 + 2]
    candles = [day for day in comparison.days if day.table == "ohlcv"]
    # Ten minutes and two times five minutes of BTC, two and one of ETH.
    assert [day.stored.rows for day in candles] == [10 + 2 + 2 + 1]


def test_rebuild_continues_numberings_from_before_its_begin(
    tables: Database, rebuild_tables: Rebuild
) -> None:
    """A numbering that begins within the span begins again."""
    frames = minutely(180)
    firsts = {0: 5_000, 60: 1_000, 120: 1}
    renumbered = []
    for n, frame in enumerate(frames):
        start = max(begin for begin in firsts if begin <= n)
        number = firsts[start] + n - start
        trade = replace(frame.fills[0], sequence=number, trade_id=str(number))
        renumbered.append(binance(frame.seq, frame.recv_us, trade))
    late = renumbered.pop(58)
    renumbered.append(replace(late, recv_us=renumbered[-1].recv_us + SECOND))
    play(received(renumbered, range(0, 180, 7)), tables)
    # Before and after the restarts of numbers, and in between.
    for begin in (19, 30, 42):
        comparison = rebuild_tables(BEGIN + begin * 60 * SECOND)
        assert comparison.same, (begin, comparison.examples)


def test_rebuild_skips_candles_across_its_begin(tables: Database, rebuild_tables: Rebuild) -> None:
    """Only windows within the span are compared; earlier differences do not count."""
    play(received(minutely(60)), tables)
    begin = BEGIN + 7 * 60 * SECOND
    tables.client.command(f"DELETE FROM silver_trades WHERE timestamp < {begin // SECOND}")
    tables.client.command("DELETE FROM ohlcv WHERE timeframe = '1h'")
    comparison = rebuild_tables(begin)
    assert comparison.same, comparison.examples
    assert not rebuild_tables().same


def test_rebuild_fails_if_frames_are_gone(tables: Database, rebuild_tables: Rebuild) -> None:
    """The error names the day."""
    play(received(minutely(5)), tables)
    tables.client.command("TRUNCATE TABLE bronze_frames")
    with pytest.raises(RebuildError, match="frames of 2025-06-15"):
        rebuild_tables()
    assert scratch_databases(tables) == []


def test_failed_rebuild_drops_its_database(
    tables: Database, rebuild_tables: Rebuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The scratch database is not left behind."""

    def fail(*_: object) -> None:
        raise RuntimeError("no")

    play(received(minutely(5)), tables)
    monkeypatch.setattr(rebuilding, "compare", fail)
    with pytest.raises(RuntimeError, match="no"):
        rebuild_tables()
    assert scratch_databases(tables) == []


def test_rebuild_in_small_pieces_gives_the_same(
    tables: Database, rebuild_tables: Rebuild, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If frames are read in small chunks."""
    play(received(minutely(90)), tables)
    monkeypatch.setattr(source, "CHUNK_BYTES", 3_000)
    assert rebuild_tables().same
