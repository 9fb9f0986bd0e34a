"""Rows of `ohlcv` read by the spans that they overlap."""

from collections.abc import Sequence

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.core.gaps.gap_state import TIME_RANGES

MINUTE = 60_000_000
BEGIN = 1_790_000_040 * 1_000_000
"""A whole minute, in microseconds since 1970."""

SYMBOLS = ("A/B", "C/D")
MINUTES = 6

Span = tuple[str | None, int, int]
"""A symbol, or none for all, and two times from BEGIN, both inclusive."""

TIMES = st.lists(
    st.sampled_from([m * MINUTE + d for m in range(-1, MINUTES + 1) for d in (-1, 0, 1)]),
    min_size=2,
    max_size=2,
).map(sorted)


@pytest.fixture
def candles(tables: Database) -> Database:
    """One candle a minute of each symbol."""
    tables.client.command(
        """
        INSERT INTO ohlcv (timeframe, exchange, symbol, window_start, version)
        SELECT '1m', 'binance', symbol, fromUnixTimestamp({begin:Int64} + 60 * number), 1
        FROM numbers({count:UInt64})
        ARRAY JOIN {symbols:Array(String)} AS symbol
        """,
        parameters={"begin": BEGIN // 1_000_000, "count": MINUTES, "symbols": list(SYMBOLS)},
    )
    return tables


def assert_read(candles: Database, spans: Sequence[Span]) -> None:
    """Assert that exactly the candles that overlap a span are read."""
    rows = [(symbol, BEGIN + before, BEGIN + after) for symbol, before, after in spans]
    frame = pl.DataFrame(rows, TIME_RANGES, orient="row")
    found = set()
    for part in StateLoader(candles).candle_reader.read_overlapping("binance", frame):
        ends = zip(part["symbol"], part["window_end"], strict=True)
        found |= {(symbol, (end - BEGIN) // MINUTE - 1) for symbol, end in ends}
    assert found == {
        (symbol, minute)
        for symbol in SYMBOLS
        for minute in range(MINUTES)
        for name, before, after in spans
        if name in (symbol, None) and before < (minute + 1) * MINUTE and after >= minute * MINUTE
    }


@given(st.lists(st.tuples(st.sampled_from([*SYMBOLS, None]), TIMES), max_size=8))
def test_reader_returns_the_candles_that_overlap_a_span(
    candles: Database, spans: list[tuple[str | None, list[int]]]
) -> None:
    """For any spans, which may overlap or begin or end together."""
    assert_read(candles, [(symbol, before, after) for symbol, (before, after) in spans])


@pytest.mark.parametrize("shorter", range(1, 9))
def test_longest_of_spans_with_one_begin_counts(candles: Database, shorter: int) -> None:
    """Trades may be missing before and after the last one of a moment."""
    begin = MINUTE - 10
    spans: list[Span] = [("A/B", begin, begin + n) for n in range(shorter)]
    assert_read(candles, [*spans, ("A/B", begin, MINUTE)])


@pytest.mark.parametrize(("time", "is_cut_off"), [(-1, True), (0, False), (1, False)])
def test_partial_candle_is_cut_off_until_a_trade_at_its_end_or_later(
    tables: Database, time: int, is_cut_off: bool
) -> None:
    """By the candle of the day, which has the time of the market's last trade."""
    latest = BEGIN + MINUTE + time
    tables.client.command(
        """
        INSERT INTO ohlcv (timeframe, exchange, symbol, window_start, close_time, status, version)
        SELECT timeframe, 'binance', 'A/B', fromUnixTimestamp({begin:Int64}),
            fromUnixTimestamp64Micro({latest:Int64}, 'UTC'), status, 2
        FROM VALUES('timeframe String, status String', ('1m', 'partial'), ('1d', 'complete'))
        """,
        parameters={"begin": BEGIN // 1_000_000, "latest": latest},
    )
    found = StateLoader(tables).candle_reader.read_feed_ends("binance")
    assert found["window_end"].to_list() == ([BEGIN + MINUTE] if is_cut_off else [])
