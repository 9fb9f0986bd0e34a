"""From the stored frames the same comes out; and where it does not, it is told what."""

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
from tests.support.rebuilding import BEGIN, HOUR, SECOND, Again, fill, minutely

pytestmark = pytest.mark.slow("each test plays frames and rebuilds them", seconds=20)


def differing(found: Comparison) -> list[str]:
    """The tables that differ, each once."""
    return sorted({day.table for day in found.days if not day.same})


def scratches(tables: Database) -> list[str]:
    rows = tables.query("SELECT name FROM system.databases WHERE name LIKE '%rebuild%'").rows()
    return [row[0] for row in rows]


@given(markets())
@examples(2)
def test_rebuild_of_any_market_gives_the_stored_tables(
    tables: Database, again: Again, frames: list[Frame]
) -> None:
    """Repeats, ties, late trades, candles that form, two exchanges; and nothing is left."""
    clear(tables)
    play(received(frames, [3, 9]), tables)
    found = again()
    assert found.same, found.examples
    assert sum(d.stored.rows for d in found.days if d.table == "silver_trades") == len(
        {fill.identity for frame in frames for fill in frame.fills}
    )
    assert scratches(tables) == []


def replaced(tables: Database, table: str, change: str, where: str) -> None:
    """Write a changed row over one."""
    tables.client.command(
        f"INSERT INTO {table} SELECT * REPLACE ({change}) FROM {table} FINAL WHERE {where}"
    )


def minute(number: int) -> str:
    """Name a minute's candle in SQL."""
    start = f"toDateTime({BEGIN // SECOND + 60 * number}, 'UTC')"
    return f"timeframe = '1m' AND window_start = {start}"


CORRUPTIONS: Sequence[tuple[Callable[[Database], object], dict[str, Any]]] = [
    (
        lambda tables: tables.client.command("DELETE FROM silver_trades WHERE sequence = 105"),
        {"table": "silver_trades", "problem": "only_rebuilt", "trade_id": "105", "fields": {}},
    ),
    (
        lambda tables: replaced(tables, "silver_trades", "'9' AS trade_id", "sequence = 106"),
        {"table": "silver_trades", "problem": "only_stored", "trade_id": "9", "fields": {}},
    ),
    (
        lambda tables: replaced(
            tables, "silver_trades", "toDecimal128('1.000000000001', 12) AS price", "sequence = 107"
        ),
        {
            "table": "silver_trades",
            "problem": "differs",
            "fields": {"price": {"stored": "1.000000000001", "rebuilt": "60107.000000000000"}},
        },
    ),
    (
        lambda tables: replaced(tables, "silver_trades", "7 AS source_offset", "sequence = 108"),
        {
            "table": "silver_trades",
            "problem": "differs",
            "fields": {"source_offset": {"stored": "7", "rebuilt": "8"}},
        },
    ),
    (
        lambda tables: replaced(
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


def test_rebuild_shows_exactly_the_rows_that_were_changed(tables: Database, again: Again) -> None:
    """The table, the row, the field, and both values."""
    play(received(minutely(20)), tables)
    for corrupt, _ in CORRUPTIONS:
        corrupt(tables)
    found = again()
    assert differing(found) == ["ohlcv", "silver_trades"]
    for _, example in CORRUPTIONS:
        shown = [one for one in found.examples if one.items() >= example.items()]
        assert len(shown) == 1, (example, found.examples)
    assert len(found.examples) == len(CORRUPTIONS)
    corrupted = [day for day in found.days if not day.same]
    assert [day.stored == day.rebuilt for day in corrupted] == [False, False]


def test_rebuild_of_a_span_knows_earlier_trades_and_reads_later_frames(
    tables: Database, again: Again
) -> None:
    """A trade dated ahead of its frame, one that was repeated after the begin, one that
    came an hour late, and a number missed across the begin.
    """
    frames = minutely(180)
    begin, end = BEGIN + 10 * 60 * SECOND, BEGIN + 20 * 60 * SECOND
    ahead = binance(500, begin - 5 * SECOND, fill(900, begin + 30 * SECOND, symbol="ETH/USDT"))
    repeat = replace(frames[28], seq=501, recv_us=begin + SECOND)
    late = binance(502, end + HOUR, fill(901, begin + 90 * SECOND, symbol="ETH/USDT"))
    missed = [frame for frame in frames if frame.fills[0].sequence not in {130, 131, 132}]
    played = sorted([*missed, ahead, repeat, late], key=lambda frame: frame.recv_us)
    play(received(played, range(0, 180, 7)), tables)
    found = again(begin, end)
    assert found.same, found.examples
    trades = [day for day in found.days if day.table == "silver_trades"]
    # Every 20 seconds of ten minutes one, but one that was missed, and the two of ETH.
    assert [day.stored.rows for day in trades] == [30 - 2 + 2]
    candles = [day for day in found.days if day.table == "ohlcv"]
    # Ten minutes and two times five minutes of BTC, two and one of ETH.
    assert [day.stored.rows for day in candles] == [10 + 2 + 2 + 1]


def test_rebuild_continues_numberings_from_before_its_begin(tables: Database, again: Again) -> None:
    """Each numbering stands where it stood; one that begins later begins again."""
    frames = minutely(180)
    firsts = {0: 5_000, 60: 1_000, 120: 1}
    anew = []
    for n, frame in enumerate(frames):
        start = max(begin for begin in firsts if begin <= n)
        number = firsts[start] + n - start
        told = replace(frame.fills[0], sequence=number, trade_id=str(number))
        anew.append(binance(frame.seq, frame.recv_us, told))
    late = anew.pop(58)
    anew.append(replace(late, recv_us=anew[-1].recv_us + SECOND))
    play(received(anew, range(0, 180, 7)), tables)
    # Before and after the numbers begin anew, and in between.
    for begin in (19, 30, 42):
        found = again(BEGIN + begin * 60 * SECOND)
        assert found.same, (begin, found.examples)


def test_rebuild_skips_candles_across_its_begin(tables: Database, again: Again) -> None:
    """Only windows wholly within are: what is wrong before them is nobody's matter."""
    play(received(minutely(60)), tables)
    begin = BEGIN + 7 * 60 * SECOND
    tables.client.command(f"DELETE FROM silver_trades WHERE timestamp < {begin // SECOND}")
    tables.client.command("DELETE FROM ohlcv WHERE timeframe = '1h'")
    found = again(begin)
    assert found.same, found.examples
    assert not again().same


def test_rebuild_fails_if_frames_are_gone(tables: Database, again: Again) -> None:
    """It is told since when they are."""
    play(received(minutely(5)), tables)
    tables.client.command("TRUNCATE TABLE bronze_frames")
    with pytest.raises(RebuildError, match="frames of 2025-06-15"):
        again()
    assert scratches(tables) == []


def test_failed_rebuild_drops_its_database(
    tables: Database, again: Again, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database beside is dropped all the same."""

    def fail(*_: object) -> None:
        raise RuntimeError("no")

    play(received(minutely(5)), tables)
    monkeypatch.setattr(rebuilding, "compare", fail)
    with pytest.raises(RuntimeError, match="no"):
        again()
    assert scratches(tables) == []


def test_rebuild_in_small_pieces_gives_the_same(
    tables: Database, again: Again, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the frames are cut."""
    play(received(minutely(90)), tables)
    monkeypatch.setattr(source, "CHUNK_BYTES", 3_000)
    assert again().same
