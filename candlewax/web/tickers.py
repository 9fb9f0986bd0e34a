"""Latest price of each market, and statistics of 24 hours."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any, Final

import polars as pl

from candlewax.core.rows.amounts import DECIMALS, QUOTE_DECIMALS
from candlewax.web import statements
from candlewax.web.queries import Store
from candlewax.web.stream.subscribers import LastTrade

Market = tuple[str, str]

LastTrades = Mapping[Market, LastTrade]

SPAN: Final = timedelta(hours=24)

_AMOUNT: Final = pl.Decimal(38, DECIMALS)
_QUOTE: Final = pl.Decimal(38, QUOTE_DECIMALS)

SCHEMA: Final[Mapping[str, Any]] = {
    "exchange": pl.String(), "symbol": pl.String(), "price": _AMOUNT,
    "time": pl.Datetime("us", "UTC"), "window_start": pl.Datetime("us", "UTC"),
    "window_end": pl.Datetime("us", "UTC"), "open": _AMOUNT, "high": _AMOUNT, "low": _AMOUNT,
    "change": _AMOUNT, "change_percent": _AMOUNT, "vwap": _AMOUNT, "volume": _AMOUNT,
    "quote_volume": _QUOTE, "trade_count": pl.UInt64(), "buy_volume": _AMOUNT,
    "buy_quote_volume": _QUOTE, "first_sequence": pl.UInt64(), "last_sequence": pl.UInt64(),
    "missing": pl.UInt64(), "feed_down_ms": pl.UInt64(),
}  # fmt: skip
"""Columns of the tickers: without any trade in 24 hours all from `open` to `vwap` are null."""


def read(store: Store, last_trades: LastTrades) -> pl.DataFrame:
    """Return a row for each market (SCHEMA), in order.

    The 24 hours end with the newest minute of the exchange that has a trade, forming or not. So
    they do not depend on this machine's clock, and are right for a recording as well.
    """
    ends: dict[str, datetime] = {}
    for (exchange, _), last in last_trades.items():
        ends[exchange] = max(ends.get(exchange, last.time), last.time)
    if not ends:
        return pl.DataFrame(schema=SCHEMA)
    ends = {exchange: _minute_after(time) for exchange, time in ends.items()}
    begins = [end - SPAN for end in ends.values()]
    sums = store.ask(
        statements.LAST_DAY,
        {"exchanges": list(ends), "begins": begins, "earliest": min(begins)},
    )
    by_market = {(row["exchange"], row["symbol"]): row for row in sums.iter_rows(named=True)}
    rows = [
        _ticker(market, last, by_market.get(market, {}), ends[market[0]])
        for market, last in sorted(last_trades.items())
    ]
    return pl.DataFrame(rows, schema=SCHEMA)


def _minute_after(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0) + timedelta(minutes=1)


def _ticker(
    market: Market, last: LastTrade, sums: Mapping[str, Any], end: datetime
) -> dict[str, Any]:
    price, first = sums.get("close", last.price), sums.get("open")
    ticker = {name: sums.get(name, 0 if name in _COUNTS else None) for name in SCHEMA}
    ticker |= {"exchange": market[0], "symbol": market[1], "price": price}
    ticker |= {"time": sums.get("time", last.time)}
    ticker |= {"window_start": end - SPAN, "window_end": end}
    if first is not None:
        ticker["change"] = price - first
        ticker["change_percent"] = _quotient(100 * (price - first), first, 4, ROUND_HALF_EVEN)
        ticker["vwap"] = _quotient(sums["quote_volume"], sums["volume"], DECIMALS, ROUND_DOWN)
    return ticker


_COUNTS: Final = frozenset(
    ("volume", "quote_volume", "trade_count", "buy_volume", "buy_quote_volume", "first_sequence",
     "last_sequence", "missing", "feed_down_ms")
)  # fmt: skip
"""Sums: 0 without a trade."""


def _quotient(dividend: Decimal, divisor: Decimal, decimals: int, rounding: str) -> Decimal:
    """Return a quotient with so many decimals."""
    with localcontext(prec=80):
        return (dividend / divisor).quantize(Decimal(1).scaleb(-decimals), rounding)
