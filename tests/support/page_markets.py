"""Markets for tests of the page, made by rule: two venues, small prices, and a long past."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

from candlewax.clickhouse.client import Database
from tests.support.web_server import BEGIN, row, store_rows, store_trades

COUNT: Final = 60
"""Minutes of each market but LONG/USDT."""

LONG_COUNT: Final = 1_500
"""Minutes of LONG/USDT: from noon to one o'clock the next day."""


def minute(number: int) -> datetime:
    """Start of a candle."""
    return BEGIN + timedelta(minutes=number)


def candle_of(symbol: str, number: int, exchange: str = "binance") -> dict[str, Any]:
    """The candle of a minute: what the page must show of it."""
    base = {"PEPE/USDT": Decimal("0.000001234567"), "BTC/USD": Decimal(70_100)}.get(
        symbol, Decimal(70_000)
    )
    close = base * (1 + number % 7) if symbol == "PEPE/USDT" else base + number % 11 * 10
    volume = Decimal(1 + number % 5)
    return {
        "exchange": exchange,
        "window_start": minute(number),
        "open": close, "high": close, "low": close, "close": close,
        "volume": volume,
        "quote_volume": close * volume + number % 3,
        "buy_volume": volume / 4,
        "trade_count": 12_345 + number,
    }  # fmt: skip


def store_markets(tables: Database) -> None:
    """Store all markets, each with its day, and ten trades of BTC/USDT."""
    markets = {
        ("BTC/USDT", "binance"): COUNT,
        ("BTC/USD", "kraken"): COUNT,
        ("ETH/USDT", "binance"): COUNT,
        ("PEPE/USDT", "binance"): COUNT,
        ("LONG/USDT", "binance"): LONG_COUNT,
    }
    for (symbol, exchange), count in markets.items():
        candles = [candle_of(symbol, number, exchange) for number in range(count)]
        rows = [
            {**row("1m", symbol, closed=number < count - 1, **candle), **candle}
            for number, candle in enumerate(candles)
        ]
        days = [
            {**one, "window_start": one["window_start"].replace(hour=0, minute=0)}
            for one in (candles[0], candles[-1])
        ]
        hours = [{**candle_of(symbol, number, exchange)} for number in range(0, count, 60)]
        rows += [{**row("1h", symbol, closed=True, **one), **one} for one in hours]
        rows += [{**row("1d", symbol, closed=False, **one), **one} for one in days]
        store_rows(tables, rows)
    store_trades(tables, 10)
