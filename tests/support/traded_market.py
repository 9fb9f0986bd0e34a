"""Markets made by rule, whose candles follow from their trades in plain decimals."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

from candlewax.clickhouse.client import Database, open_tables
from tests.support.web_server import BEGIN, row, store_rows

COUNT = 60
"""Trades of each market, nine seconds apart."""

FIRST = 500
"""Number of the first trade."""

MARKETS = {
    ("binance", "BTC/USDT"): "BTCUSDT",
    ("binance", "ETH/USDT"): "ETHUSDT",
    ("kraken", "BTC/USD"): "XBT/USD",
}
"""Exchange and unified symbol, and the exchange's own name. Kraken's trades have no numbers."""


def trade(number: int, *, has_number: bool = True) -> dict[str, Any]:
    """The trade of a number from 0 on; every third one is a sale."""
    price = Decimal(60_000) + Decimal(number * number % 17) / 4
    quantity = Decimal(number + 1) / 1000
    return {
        "timestamp": BEGIN + timedelta(seconds=9 * number, microseconds=number),
        "trade_id": str(FIRST + number) if has_number else f"made-{number}",
        "sequence": FIRST + number if has_number else 0,
        "side": "BUY" if number % 3 else "SELL",
        "price": price,
        "quantity": quantity,
        "quote_volume": price * quantity,
    }


def trades() -> list[dict[str, Any]]:
    """All trades of a numbered market."""
    return [trade(number) for number in range(COUNT)]


def candles(step: timedelta = timedelta(minutes=1)) -> list[dict[str, Any]]:
    """The candles of all trades, the last one forming."""

    def start(one: dict[str, Any]) -> datetime:
        at: datetime = one["timestamp"]
        return at - (at - datetime(1970, 1, 1, tzinfo=at.tzinfo)) % step

    made = [_candle(at, list(group)) for at, group in groupby(trades(), start)]
    return [{**one, "closed": number < len(made) - 1} for number, one in enumerate(made)]


def _candle(start: datetime, inside: list[dict[str, Any]]) -> dict[str, Any]:
    prices = [one["price"] for one in inside]
    bought = [one for one in inside if one["side"] == "BUY"]
    return {
        "window_start": start,
        "open": prices[0], "high": max(prices), "low": min(prices), "close": prices[-1],
        "volume": _sum(inside, "quantity"), "quote_volume": _sum(inside, "quote_volume"),
        "trade_count": len(inside),
        "buy_volume": _sum(bought, "quantity"), "buy_quote_volume": _sum(bought, "quote_volume"),
        "open_time": inside[0]["timestamp"], "close_time": inside[-1]["timestamp"],
        "first_sequence": inside[0]["sequence"], "last_sequence": inside[-1]["sequence"],
    }  # fmt: skip


def _sum(rows: list[dict[str, Any]], name: str) -> Decimal:
    return sum((one[name] for one in rows), Decimal(0))


@contextmanager
def traded_tables(engine: Database, path: Path, name: str) -> Iterator[Database]:
    """The tables of a database with all markets; it is dropped at the end."""
    tables = open_tables(path, name)
    for market, native in MARKETS.items():
        _store(tables, *market, native)
    yield tables
    tables.close()
    engine.client.command(f"DROP DATABASE {name} SYNC")


def _store(tables: Database, exchange: str, symbol: str, native: str) -> None:
    has_number = exchange != "kraken"
    base, quote = symbol.split("/")
    rows = [
        {
            "exchange": exchange, "symbol": symbol, "native_symbol": native, "base": base,
            "quote": quote, **trade(number, has_number=has_number), "conditions": [],
            "received_at": BEGIN, "source": f"{exchange}-0", "source_partition": 0,
            "source_offset": number, "source_index": 0, "vendor_data": {},
        }
        for number in range(COUNT)
    ]  # fmt: skip
    values = [list(one.values()) for one in rows]
    tables.client.insert("silver_trades", values, column_names=list(rows[0]))
    steps = {"1m": timedelta(minutes=1), "1h": timedelta(hours=1), "1d": timedelta(days=1)}
    for timeframe, step in steps.items():
        store_rows(
            tables,
            [
                {
                    **row(timeframe, symbol, **one),
                    **one,
                    "exchange": exchange,
                    **({} if has_number else {"first_sequence": 0, "last_sequence": 0}),
                }
                for one in candles(step)
            ],
        )
