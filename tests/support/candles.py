"""Trades for tests of candles, and the candles that the pipeline makes of them."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import strategies as st

from candlewax.core.candles import open_candles as books
from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.core.candles.open_candles import EMPTY, CandleUpdate, OpenCandles
from candlewax.core.schema import TRADES, WEBSOCKET
from candlewax.exchanges.protocol.dialect import BUY, SELL
from tests.support import oracle
from tests.support.oracle import Fill

DAY = 1_750_032_000_000_000
"""A midnight, in microseconds."""

NAMES = {number: name for name, (number, _) in TIMEFRAMES.items()}


def table(fills: Sequence[Fill]) -> pl.DataFrame:
    """Trades as the pipeline holds them: TRADES."""
    rows = [
        {
            **dict.fromkeys(TRADES),
            "exchange": fill.exchange,
            "symbol": fill.symbol,
            "trade_id": fill.trade_id,
            "sequence": fill.sequence,
            "timestamp": datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=fill.time),
            "side": BUY if fill.bought else SELL,
            "price": fill.price,
            "quantity": fill.quantity,
            "quote_volume": fill.price * fill.quantity,
            "condition": fill.conditions[0] if fill.conditions else None,
            "source_offset": fill.offset,
            "source_index": fill.index,
            "via": WEBSOCKET,
            "numbering": 0,
        }
        for fill in fills
    ]
    return pl.DataFrame(rows, schema=TRADES)


def candles_by_window(frame: pl.DataFrame, watermark: int) -> dict[oracle.Window, dict[str, Any]]:
    """Candles by window, with the fields that the oracle computes."""
    by_window = {}
    for row in frame.rows(named=True):
        start = int(row["window_start"].timestamp())
        closed = row["window_end"] <= watermark
        fields = {
            name: row[name]
            for name in (
                "open", "high", "low", "close", "volume", "quote_volume", "trade_count",
                "buy_volume", "buy_quote_volume", "first_sequence", "last_sequence",
            )
        }  # fmt: skip
        for name in ("open_time", "close_time"):
            fields[name] = (row[name] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
                microseconds=1
            )
        fields |= {"closed": closed, "version": 2 * row["trade_count"] + closed}
        by_window[(NAMES[row["timeframe"]], "x", row["symbol"], start)] = fields
    return by_window


def apply_batches(
    batches: Sequence[Sequence[Fill]], book: OpenCandles = EMPTY
) -> tuple[OpenCandles, dict[oracle.Window, dict[str, Any]], set[oracle.Window]]:
    """Apply batches; return open candles, the latest version of each, and windows of stale
    parts.
    """
    latest: dict[oracle.Window, dict[str, Any]] = {}
    stale: set[oracle.Window] = set()
    for batch in batches:
        trades = table(batch)
        update: CandleUpdate = books.apply_trades(book, trades, books.batch_watermark(trades))
        book = update.open_candles
        latest |= candles_by_window(update.changed, book.watermark)
        stale |= set(candles_by_window(update.stale_parts, book.watermark))
        assert len(candles_by_window(update.changed, 0)) == update.changed.height
    return book, latest, stale


PRICES = st.integers(1, 400).map(lambda n: Decimal(n).scaleb(-2))
QUANTITIES = st.integers(1, 10**15).map(lambda n: Decimal(n).scaleb(-12))
TIMES = st.one_of(
    st.sampled_from([DAY - 1, DAY, DAY + 61_000_000]),
    st.integers(DAY - 5, DAY + 5),
    st.integers(DAY - 90_000_000, DAY + 90_000_000),
    st.integers(DAY - 7_200_000_000, DAY + 600_000_000),
)
FILLS = st.lists(
    st.builds(
        Fill,
        st.just("x"),
        st.sampled_from(["A/B", "C/D", "E/F"]),
        st.sampled_from(["1", "2", "10"]),
        st.sampled_from([0, 0, 1, 2, 2**64 - 1]),
        TIMES,
        st.booleans(),
        PRICES,
        QUANTITIES,
        st.sampled_from([(), (), (), ("ADL",)]),
        st.integers(0, 2),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda fill: (fill.symbol, *fill.order),
)


def cut(fills: Sequence[Fill], places: Sequence[int]) -> list[Sequence[Fill]]:
    bounds = [0, *sorted({place % (len(fills) + 1) for place in places}), len(fills)]
    return [fills[a:b] for a, b in itertools.pairwise(bounds)]


def fill(seconds: int, price: str = "1", **more: Any) -> Fill:
    return replace(
        Fill("x", "A/B", "1", 1, DAY + seconds * 1_000_000, True, Decimal(price), Decimal(1)),
        **more,
    )
