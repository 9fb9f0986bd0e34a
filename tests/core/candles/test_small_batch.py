"""Candles of small batches: the fast path gives the candles of the general path."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any
from unittest import mock

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.candles import open_candles as books
from candlewax.core.candles.open_candles import EMPTY, OpenCandles
from candlewax.core.candles.small_batch import SMALL_BATCH_ROWS, apply_small_batch
from candlewax.core.schema import REST, WEBSOCKET
from tests.support import oracle
from tests.support.candles import DAY, PRICES, QUANTITIES, candles_by_window, table
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


NUMBERED = fills(st.just(()))
WITH_CONDITIONS = fills(st.sampled_from([(), (), (), ("ADL",)]))
BATCHES = st.lists(
    st.lists(WITH_CONDITIONS, min_size=1, max_size=12), min_size=1, max_size=6
).filter(lambda batches: _distinct([fill for batch in batches for fill in batch]))


def _distinct(fills: Sequence[Fill]) -> bool:
    return len({(fill.symbol, fill.order) for fill in fills}) == len(fills)


def fill(**facts: Any) -> Fill:
    return Fill(
        **{
            "exchange": "x", "symbol": "A/B", "trade_id": "1", "sequence": 5, "time": DAY + 10,
            "bought": True, "price": Decimal(1), "quantity": Decimal(1), **facts,
        }
    )  # fmt: skip


@given(BATCHES)
def test_candles_of_small_batches_match_oracle_for_any_order(batches: list[list[Fill]]) -> None:
    """Candles without a trade in the batch stay as they are."""
    book: OpenCandles = EMPTY
    latest: dict[oracle.Window, dict[str, Any]] = {}
    for batch in batches:
        trades = table(batch)
        update = books.apply_trades(book, trades, books.batch_watermark(trades))
        book = update.open_candles
        latest |= candles_by_window(update.changed, book.watermark)
    all_fills = [fill for batch in batches for fill in batch]
    expected = oracle.candles(all_fills, {"x": book.watermark})
    assert latest == expected
    assert candles_by_window(book.candles, book.watermark) == expected


@given(st.lists(NUMBERED, min_size=1, max_size=12, unique_by=lambda f: (f.symbol, f.time)))
def test_fast_path_takes_later_batch_of_one_minute(fills: list[Fill]) -> None:
    """Batches of a live feed must not fall back to the general path."""
    first = table([fill(symbol="C/D", sequence=1, time=DAY)])
    book = books.apply_trades(EMPTY, first, DAY).open_candles
    later = [f for f in fills if f.symbol != "C/D"]
    with mock.patch(
        "candlewax.core.candles.open_candles.small_batch_candles",
        side_effect=AssertionError("the general path"),
    ):
        if later:
            books.apply_trades(book, table(later), book.watermark)


@pytest.mark.parametrize(
    "trades",
    [
        table([fill(sequence=0)]),
        table([fill(sequence=0), fill()]),
        table([fill(conditions=("ADL",))]),
        table([fill(), fill(sequence=6, conditions=("ADL",))]),
        table([fill()]).with_columns(via=pl.lit(REST, pl.Int8)),
        table([fill(), fill(sequence=6)]).with_columns(
            via=pl.Series([WEBSOCKET, REST], dtype=pl.Int8)
        ),
        table([fill(time=DAY - 1)]),
        table([fill(), fill(sequence=6, time=DAY + 60_000_000)]),
        table([fill(), fill(offset=1)]),
        table([fill(), fill(sequence=6), fill(offset=1)]),
        table([fill(sequence=4), fill(), fill(offset=1)]),
        table([fill(sequence=n) for n in range(1, SMALL_BATCH_ROWS + 2)]),
        table([]),
    ],
    ids=[
        "unnumbered",
        "one unnumbered",
        "left out",
        "one left out",
        "asked for",
        "one asked for",
        "late",
        "two minutes",
        "a tie",
        "a tie of the first",
        "a tie of the last",
        "many",
        "none",
    ],
)  # fmt: skip
def test_fast_path_refuses_batch_that_needs_the_general_path(trades: pl.DataFrame) -> None:
    assert apply_small_batch(EMPTY.candles, trades, DAY) is None


def test_fast_path_refuses_trade_older_than_its_candle() -> None:
    applied = apply_small_batch(EMPTY.candles, table([fill(sequence=5)]), DAY)
    assert applied is not None
    assert apply_small_batch(applied[0], table([fill(sequence=4)]), DAY) is None
    assert apply_small_batch(applied[0], table([fill(sequence=6)]), DAY) is not None
