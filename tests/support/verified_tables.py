"""Tables that are checked by verify: trades, candles and gaps, written without the pipeline."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from clickhouse_connect.driver.client import Client

from tests.support import evidence, oracle
from tests.support.candles import DAY
from tests.support.oracle import Fill
from tests.support.stored import FIELDS

TRADES = [
    Fill("x", "A/B", "1", 1, DAY - 30_000_000, True, Decimal("1.5"), Decimal(2)),
    Fill("x", "A/B", "2", 2, DAY + 10_000_000, False, Decimal("1.7"), Decimal(3)),
    Fill("x", "A/B", "3", 3, DAY + 10_000_000, True, Decimal("1.6"), Decimal("0.000000000001")),
    Fill("x", "A/B", "4", 4, DAY + 70_000_000, True, Decimal("1.4"), Decimal(1)),
    Fill("x", "A/B", "5", 5, DAY + 70_000_001, True, Decimal(9), Decimal(1), ("ADL",)),
]


def moment(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)


def store_trades(client: Client, fills: Sequence[Fill]) -> None:
    """Store trades."""
    names = (
        "exchange", "symbol", "trade_id", "sequence", "timestamp", "side", "price", "quantity",
        "quote_volume", "conditions", "source_offset", "source_index", "received_at", "via",
    )  # fmt: skip
    rows = [
        [
            f.exchange, f.symbol, f.trade_id, f.sequence, moment(f.time),
            "BUY" if f.bought else "SELL", f.price, f.quantity, f.price * f.quantity,
            list(f.conditions), f.offset, f.index, moment(f.time),
            "rest" if f.asked_for else "websocket",
        ]
        for f in fills
    ]  # fmt: skip
    client.insert("silver_trades", rows, column_names=names)


CERTIFICATE = ("missing", "status", "feed_down_ms", "repaired")


def store_candles(client: Client, candles: dict[oracle.Window, dict[str, Any]]) -> None:
    """Store candles; a closed one without a certificate counts as complete."""
    rows = []
    for (timeframe, exchange, symbol, start), candle in candles.items():
        status = "complete" if candle["closed"] else "forming"
        full = {"missing": 0, "status": status, "feed_down_ms": 0, "repaired": 0, **candle}
        times = {name: moment(full[name]) for name in ("open_time", "close_time")}
        values = {**full, **times}
        row = (values[name] for name in (*FIELDS, *CERTIFICATE))
        rows.append([timeframe, exchange, symbol, moment(start * 1_000_000), *row])
    if rows:
        names = ("timeframe", "exchange", "symbol", "window_start", *FIELDS, *CERTIFICATE)
        client.insert("ohlcv", rows, column_names=names)


def store_watermark(client: Client, watermark: int, exchange: str = "x") -> None:
    row = [exchange, moment(watermark)]
    client.insert("watermarks", [row], column_names=["exchange", "watermark"])


def store_gaps(client: Client, fills: Sequence[Fill]) -> None:
    """Store a gap for each missing range."""
    names = ("exchange", "symbol", "first_sequence", "last_sequence", "missing", "before", "after")
    rows = [
        [*market, hole.first, hole.last, hole.count, moment(hole.before), moment(hole.after)]
        for market, found in evidence.holes(fills).items()
        for hole in found
    ]
    if rows:
        client.insert("gaps", rows, column_names=names)
