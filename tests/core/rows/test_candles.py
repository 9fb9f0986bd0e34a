"""Candles in rows, changed trade by trade: equal to candles in columns."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import permutations
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.candles import open_candles as columns
from candlewax.core.candles import rows as column_rows
from candlewax.core.candles.certificate import FEED_ENDS
from candlewax.core.candles.open_candles import ALLOWED_LATENESS_US, EMPTY, WATERMARK_DELAY_US
from candlewax.core.gaps.gap_state import (
    FIRST_SEEN,
    MISSING_RANGES,
    MOMENTS,
    OUTAGES,
    TIME_RANGES,
    GapState,
)
from candlewax.core.rows import candles as rows
from candlewax.core.rows.amounts import quote_volume
from candlewax.core.rows.candle import Candle
from candlewax.core.rows.candle_rows import changed_rows
from candlewax.core.rows.candles import OpenCandleRows
from candlewax.core.rows.evidence import Evidence
from candlewax.core.rows.records import Trade
from candlewax.core.schema import REST, WEBSOCKET
from candlewax.exchanges.protocol.dialect import BUY, SELL
from tests.support.candles import DAY, PRICES, QUANTITIES, table
from tests.support.oracle import Fill

MINUTE = 60_000_000
SYMBOLS = ["A/B", "C/D"]
EDGES = [
    edge + step
    for edge in (
        DAY,
        DAY + MINUTE,
        DAY + MINUTE + WATERMARK_DELAY_US,
        DAY + ALLOWED_LATENESS_US,
        DAY + ALLOWED_LATENESS_US + MINUTE,
        DAY + ALLOWED_LATENESS_US + MINUTE + WATERMARK_DELAY_US,
        DAY + 2 * ALLOWED_LATENESS_US + WATERMARK_DELAY_US,
        DAY + 86_400_000_000 + WATERMARK_DELAY_US,
    )
    for step in (-1, 0, 1)
]
"""Times at which windows start, close and are dropped, and one microsecond beside them."""

TIMES = st.one_of(
    st.sampled_from(EDGES[:3]),
    st.sampled_from(EDGES),
    st.integers(DAY - 90_000_000, DAY + 90_000_000),
    st.integers(DAY - 7_200_000_000, DAY + 2_400_000_000),
)
FILLS = st.builds(
    Fill,
    st.just("x"),
    st.sampled_from(SYMBOLS),
    st.sampled_from(["1", "2", "10"]),
    st.sampled_from([0, 0, 1, 2, 2**64 - 1]),
    TIMES,
    st.booleans(),
    PRICES,
    QUANTITIES,
    st.sampled_from([(), (), (), ("ADL",)]),
    st.integers(0, 2),
    st.integers(0, 1),
    st.booleans(),
)
RANGE = st.tuples(TIMES, TIMES).map(sorted)


@st.composite
def gap_states(draw: st.DrawFn) -> GapState:
    """A gap state of any content."""
    symbols = st.sampled_from(SYMBOLS)
    missing_ranges = [
        (draw(symbols), first, first + draw(st.integers(0, 5)), *draw(RANGE))
        for first in draw(st.lists(st.sampled_from([1, 2**63, 2**64 - 9]), max_size=2))
    ]
    first_seen = [(s, draw(st.integers(1, 2)), draw(TIMES)) for s in draw(st.sets(symbols))]
    moments = [(s, draw(TIMES)) for s in draw(st.lists(symbols, max_size=1))]
    unsubscribed = [(s, *draw(RANGE)) for s in draw(st.lists(symbols, max_size=1))]
    changed = [(s, *draw(RANGE)) for s in draw(st.lists(symbols, max_size=2))]
    outages = [span for span in draw(st.lists(RANGE, max_size=2)) if span[0] < span[1]]
    return GapState(
        *(
            pl.DataFrame(data, schema, orient="row")
            for data, schema in (
                (missing_ranges, MISSING_RANGES), (first_seen, FIRST_SEEN), (moments, MOMENTS),
                (unsubscribed, TIME_RANGES), (changed, TIME_RANGES), (outages, OUTAGES),
            )
        )
    )  # fmt: skip


BATCHES = st.lists(
    st.tuples(st.lists(FILLS, max_size=6), gap_states() | st.just(GapState()), st.booleans()),
    min_size=1,
    max_size=5,
).filter(lambda batches: _are_distinct([fill for fills, *_ in batches for fill in fills]))


def _are_distinct(fills: Sequence[Fill]) -> bool:
    return len({(fill.symbol, fill.order) for fill in fills}) == len(fills)


def units(amount: Decimal) -> int:
    """Return an amount in units of 10^-12."""
    return int(amount.scaleb(12))


def trade(fill: Fill) -> Trade:
    """A trade in rows."""
    price, quantity = units(fill.price), units(fill.quantity)
    return Trade(
        0, fill.symbol, "", "", "", fill.trade_id, fill.sequence, fill.time,
        BUY if fill.bought else SELL, price, quantity, quote_volume(price, quantity),
        fill.conditions[0] if fill.conditions else None, 0, "", 0, fill.offset, fill.index,
        REST if fill.asked_for else WEBSOCKET, 0, {},
    )  # fmt: skip


def frame(fills: Sequence[Fill]) -> pl.DataFrame:
    """Trades as columns."""
    via = [REST if fill.asked_for else WEBSOCKET for fill in fills]
    return table(fills).with_columns(via=pl.Series(via, dtype=pl.Int8))


def plain(rows_of_table: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows with integers for times and amounts."""
    return (
        rows_of_table.with_columns(pl.col(pl.Datetime).cast(pl.Int64))
        .with_columns(pl.col(pl.Decimal).to_physical(), pl.col(pl.Categorical).cast(pl.String))
        .sort("symbol", "timeframe", "window_start")
        .to_dicts()
    )


def parts(candles: Sequence[Candle]) -> list[tuple[Any, ...]]:
    """The contents of parts of candles, in order."""
    return sorted(
        (c.symbol, c.timeframe, c.start, c.trade_count, c.volume, c.quote_volume, c.open, c.close,
         c.high, c.low, c.revision)
        for c in candles
    )  # fmt: skip


@given(BATCHES)
def test_rows_and_columns_give_equal_candles_after_every_batch(
    batches: list[tuple[list[Fill], GapState, bool]],
) -> None:
    """Changed rows, stale parts, spans, outages, feed ends and open candles are equal."""
    book, row_book = EMPTY, OpenCandleRows()
    earlier: tuple[GapState | None, Evidence | None] = (None, None)
    for place, (fills, gap_state, feed_ends) in enumerate(batches):
        first = place == 0
        trades, row_trades = frame(fills), [trade(fill) for fill in fills]
        mark = columns.batch_watermark(trades)
        before = book.watermark
        update = columns.apply_trades(book, trades, mark, gap_state=gap_state, is_first_batch=first)
        assert rows.batch_watermark(row_trades) == mark
        row_update = rows.apply_trades(
            row_book, row_trades, mark, gap_state=gap_state, is_first_batch=first
        )
        book = update.open_candles
        evidence = Evidence(row_book.certificate_inputs(gap_state))
        expected = column_rows.changed_rows("x", update, gap_state, earlier[0])
        row_result = changed_rows("x", row_update, row_book.watermark, evidence, earlier[1])
        assert sorted(
            (row._asdict() for row in row_result),
            key=lambda row: (row["symbol"], row["timeframe"], row["window_start"]),
        ) == plain(expected)
        assert parts(row_update.stale_parts) == stale_parts(update.stale_parts)
        assert row_update.out_of_order == update.out_of_order
        assert sorted(row_update.spans.rows(), key=str) == sorted(update.spans.rows(), key=str)
        if feed_ends:
            book = columns.mark_feed_end(update, before)
            rows.mark_feed_end(row_book, row_update.changed, before)
        assert row_book.watermark == book.watermark
        assert row_book.outages.equals(book.outages)
        assert sorted(row_book.feed_ends.rows()) == sorted(book.feed_ends.rows())
        assert sorted(row_book.candles) == sorted(
            book.candles.select(
                pl.col("symbol").cast(pl.String), "timeframe", pl.col("window_start").cast(pl.Int64)
            ).rows()
        )
        earlier = gap_state, evidence


def stale_parts(candles: pl.DataFrame) -> list[tuple[Any, ...]]:
    """The contents of parts of candles in columns, in order."""
    names = (
        "symbol", "timeframe", "window_start", "trade_count", "volume", "quote_volume", "open",
        "close", "high", "low", "revision",
    )  # fmt: skip
    return sorted(tuple(row[name] for name in names) for row in plain(candles))


DELAY = WATERMARK_DELAY_US
FIRST = Fill("x", "A/B", "1", 1, DAY + 5_000_000, True, Decimal(1), Decimal(1))


def add(book: OpenCandleRows, *fills: Fill) -> rows.RowUpdate:
    """Apply a batch of trades to candles."""
    trades = [trade(fill) for fill in fills]
    return rows.apply_trades(book, trades, rows.batch_watermark(trades))


def moving_watermark(watermark: int) -> Fill:
    """A trade of another market that moves the watermark to a time since midnight."""
    return replace(FIRST, symbol="C/D", time=DAY + watermark + DELAY)


def minutes(candles: Iterable[Candle]) -> list[int]:
    """The starts of the one-minute candles of the first market, in seconds since midnight."""
    own = (candle for candle in candles if candle.timeframe == 1 and candle.symbol == "A/B")
    return [(candle.start - DAY) // 1_000_000 for candle in own]


@pytest.mark.parametrize(("late", "closes"), [(-1, False), (0, True), (1, True)])
def test_window_in_rows_closes_once_when_the_watermark_reaches_its_end(
    late: int, closes: bool
) -> None:
    """Even if the batch has no trade in the window."""
    book = OpenCandleRows()
    add(book, FIRST)
    assert minutes(add(book, moving_watermark(MINUTE + late)).changed) == ([0] if closes else [])
    assert minutes(add(book, moving_watermark(2 * MINUTE)).changed) == ([] if closes else [0])


@pytest.mark.parametrize(("late", "kept"), [(-1, True), (0, False), (1, False)])
def test_closed_candle_in_rows_is_kept_until_the_allowed_lateness_has_passed(
    late: int, kept: bool
) -> None:
    """In memory, and when a late trade opens it."""
    watermark = MINUTE + ALLOWED_LATENESS_US + late
    book = OpenCandleRows()
    add(book, FIRST)
    add(book, moving_watermark(watermark))
    assert minutes(book.candles.values()) == ([0] if kept else [])
    update = add(OpenCandleRows(watermark=DAY + watermark), FIRST)
    minutes_of_update = minutes(update.changed), minutes(update.stale_parts)
    assert minutes_of_update == (([0], []) if kept else ([], [0]))


@pytest.mark.parametrize("places", list(permutations([(0, 1), (1, 0), (1, 1)])), ids=str)
def test_trades_of_one_time_are_ordered_by_offset_and_index(
    places: Sequence[tuple[int, int]],
) -> None:
    """The order of arrival does not matter."""
    book = OpenCandleRows()
    for offset, index in places:
        price = Decimal(10 * offset + index + 1)
        add(book, replace(FIRST, sequence=0, offset=offset, index=index, price=price))
    (candle,) = (candle for candle in book.candles.values() if candle.timeframe == 1)
    assert (candle.open, candle.close) == (units(Decimal(2)), units(Decimal(12)))


@pytest.mark.parametrize(("time", "resolved"), [(-1, False), (0, True), (1, True)])
def test_feed_end_is_resolved_by_a_trade_at_or_after_the_window_end(
    time: int, resolved: bool
) -> None:
    """The number of that trade shows what was missed, and the candle gets a new certificate."""
    feed_ends = pl.DataFrame(
        [(1, "A/B", DAY, DAY + MINUTE)], {**FEED_ENDS, "window_start": pl.Int64}, orient="row"
    ).cast(FEED_ENDS)  # type: ignore[arg-type]  # names to types
    book = OpenCandleRows(feed_ends=feed_ends)
    update = add(book, replace(FIRST, time=DAY + MINUTE + time))
    assert book.feed_ends.is_empty() is resolved
    assert update.spans.rows() == ([("A/B", DAY, DAY + MINUTE - 1)] if resolved else [])


@pytest.mark.parametrize(
    ("before", "now", "ends"),
    [(MINUTE - 1, MINUTE, [0]), (MINUTE, MINUTE, []), (MINUTE - 2, MINUTE - 1, [])],
    ids=["reached now", "reached before", "not reached"],
)
def test_feed_end_is_recorded_only_for_candles_closed_since_the_last_watermark(
    before: int, now: int, ends: list[int]
) -> None:
    """Candles that an earlier watermark closed had closed while the feed was up."""
    book = OpenCandleRows()
    add(book, FIRST)
    rows.apply_trades(book, [], DAY + now)
    rows.mark_feed_end(book, book.candles.values(), DAY + before)
    starts = book.feed_ends.filter(pl.col("timeframe") == 1)["window_start"].cast(pl.Int64)
    assert [(start - DAY) // 1_000_000 for start in starts] == ends
