"""Stored trades, with the candles and the watermarks that follow from them."""

from collections.abc import Sequence
from decimal import Decimal

from candlewax.clickhouse.client import Database
from tests.support import oracle
from tests.support.candles import DAY
from tests.support.oracle import Fill
from tests.support.verified_tables import store_candles, store_trades, store_watermark


def store(tables: Database, fills: Sequence[Fill], every: Sequence[Fill] | None = None) -> None:
    """Store trades, and the candles and the watermark of all that are stored by then."""
    every = fills if every is None else every
    store_trades(tables.client, fills)
    marks = oracle.watermarks(every)
    certificates = oracle.certificates(every)
    candles = oracle.candles(every, marks)
    store_candles(
        tables.client, {key: {**one, **certificates[key]} for key, one in candles.items()}
    )
    for exchange, mark in marks.items():
        store_watermark(tables.client, mark, exchange)


def fill(number: int, time: int, price: int = 10, quantity: str = "1") -> Fill:
    return Fill("x", "A/B", str(number), number, DAY + time, True, Decimal(price),
                Decimal(quantity), offset=number)  # fmt: skip
