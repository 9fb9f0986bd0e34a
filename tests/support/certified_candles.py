"""Candles of every certificate status, with their trades, gaps and outages."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from clickhouse_connect.driver.client import Client

from tests.support import oracle
from tests.support.candles import DAY
from tests.support.oracle import Fill, Window
from tests.support.verified_tables import (
    moment,
    store_candles,
    store_gaps,
    store_trades,
    store_watermark,
)

SECOND = 1_000_000
MINUTE = 60 * SECOND


def fill(number: int, time: int, **more: Any) -> Fill:
    plain = Fill(
        "x", "A/B", str(number), number, time, number % 2 == 0, Decimal(number), Decimal(1)
    )
    return replace(plain, **more)


def store(
    client: Client,
    fills: Sequence[Fill],
    outages: Sequence[tuple[int, int]] = (),
) -> dict[Window, dict[str, Any]]:
    """Store trades, candles, certificates, gaps and outages that agree; return the candles."""
    marks = oracle.watermarks(fills)
    certificates = oracle.certificates(fills, {"x": list(outages)})
    candles = oracle.candles(fills, marks)
    certified = {window: {**candle, **certificates[window]} for window, candle in candles.items()}
    store_trades(client, fills)
    store_watermark(client, marks["x"])
    store_candles(client, certified)
    store_gaps(client, fills)
    if outages:
        rows = [["x", moment(began), moment(ended)] for began, ended in outages]
        client.insert("outages", rows, column_names=["exchange", "began", "ended"])
    return certified


# From five minutes past midnight: a missing range across three minutes, one of which has no trade;
# an unnumbered trade of another symbol, one outside candles, and one by REST.
FILLS = [
    fill(5, DAY + 5 * MINUTE),
    fill(6, DAY + 6 * MINUTE),
    fill(10, DAY + 8 * MINUTE + 59 * SECOND),
    fill(11, DAY + 9 * MINUTE, conditions=("ADL",)),
    fill(12, DAY + 9 * MINUTE, asked_for=True),
    fill(13, DAY + 20 * MINUTE),
    Fill("x", "E/F", "e1", 0, DAY + 6 * MINUTE, True, Decimal(2), Decimal(2)),
    fill(1, DAY + 6 * MINUTE, symbol="C/D", trade_id="c1"),
    fill(2, DAY + 30 * MINUTE, symbol="C/D", trade_id="c2"),
]
OUTAGES = [
    (DAY + 6 * MINUTE + 30 * SECOND, DAY + 8 * MINUTE + 1_999),
    (DAY + 9 * MINUTE, DAY + 9 * MINUTE + 1),
]
WINDOW = ("1m", "x", "A/B", DAY // SECOND + 360)
"""The minute in which the first outage begins."""
