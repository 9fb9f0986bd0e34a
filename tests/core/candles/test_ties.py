"""Candles of trades with equal times and numbers: rows and columns give what the oracle gives."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.candles import open_candles as books
from candlewax.core.candles.open_candles import EMPTY, OpenCandles
from candlewax.core.rows import candles as rows
from candlewax.core.rows.candles import OpenCandleRows
from candlewax.core.rows.columns import to_open_candles
from candlewax.core.schema import REST, WEBSOCKET
from tests.core.rows.test_candles import trade
from tests.support import oracle
from tests.support.candles import DAY, PRICES, QUANTITIES, candles_by_window, fill, table
from tests.support.oracle import Fill

TIMES = st.one_of(
    st.integers(DAY, DAY + 59_000_000),
    st.integers(DAY, DAY + 9),
    st.sampled_from([DAY, DAY + 1, DAY + 59_000_000]),
)


def fills(conditions: st.SearchStrategy[tuple[str, ...]]) -> st.SearchStrategy[Fill]:
    """Numbered trades of one minute; times and numbers are often the same."""
    return st.builds(
        Fill,
        st.just("x"),
        st.sampled_from(["A/B", "C/D", "E/F"]),
        st.just("1"),
        st.one_of(st.integers(1, 2**64 - 1), st.integers(1, 3)),
        TIMES,
        st.booleans(),
        PRICES,
        QUANTITIES,
        conditions,
        st.integers(0, 2),
        st.integers(0, 1),
    )


WITH_CONDITIONS = fills(st.sampled_from([(), (), (), ("ADL",)]))
BATCHES = st.lists(
    st.lists(WITH_CONDITIONS, min_size=1, max_size=12), min_size=1, max_size=6
).filter(lambda batches: _distinct([fill for batch in batches for fill in batch]))


def _distinct(fills: Sequence[Fill]) -> bool:
    return len({(fill.symbol, fill.order) for fill in fills}) == len(fills)


@given(BATCHES)
def test_candles_match_oracle_for_any_order(batches: list[list[Fill]]) -> None:
    """Candles without a trade in the batch stay as they are."""
    book: OpenCandles = EMPTY
    row_book = OpenCandleRows()
    latest: dict[oracle.Window, dict[str, Any]] = {}
    for batch in batches:
        trades, row_trades = table(batch), [trade(fill) for fill in batch]
        update = books.apply_trades(book, trades, books.batch_watermark(trades))
        rows.apply_trades(row_book, row_trades, rows.batch_watermark(row_trades))
        book = update.open_candles
        latest |= candles_by_window(update.changed, book.watermark)
    all_fills = [fill for batch in batches for fill in batch]
    expected = oracle.candles(all_fills, {"x": book.watermark})
    assert latest == expected
    for kept in (book, to_open_candles(row_book)):
        assert candles_by_window(kept.candles, kept.watermark) == expected


def test_numbered_trade_of_rest_counts_as_repaired_beside_one_of_a_websocket() -> None:
    """Rows and columns agree, although all trades of the batch have numbers."""
    fills = [fill(1, sequence=1), fill(2, sequence=2)]
    trades = table(fills).with_columns(via=pl.Series([WEBSOCKET, REST], dtype=pl.Int8))
    row_trades = [trade(fills[0]), trade(replace(fills[1], asked_for=True))]
    update = books.apply_trades(EMPTY, trades, books.batch_watermark(trades))
    row_book = OpenCandleRows()
    rows.apply_trades(row_book, row_trades, rows.batch_watermark(row_trades))
    for kept in (update.open_candles, to_open_candles(row_book)):
        assert kept.candles["repaired"].to_list() == [1] * 6
