"""Coinbase Exchange by REST.

Source: Coinbase Developer Documentation, Exchange REST API, "Get product trades": `side`
is the maker's, as everywhere at Coinbase.
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import polars as pl

from candlewax.exchanges.protocol.dialect import BUY, SELL, Dialect, Meaning, Reading, Spelling
from candlewax.exchanges.protocol.fields import INTEGER, TEXT, Field, NativeTrade, attempt
from candlewax.exchanges.protocol.rest import (
    NATIVE,
    Cursor,
    Page,
    RestError,
    RestErrorKind,
    RestRules,
    by_status,
    named,
    page,
    rows,
)
from candlewax.exchanges.protocol.times import ISO_EXPECTED, iso_time, read_iso

_MAKER = pl.col("side").str.to_lowercase()

COLUMNS = {
    "native_symbol": pl.col("product_id"),
    "trade_id": pl.col("trade_id"),
    "time": iso_time("time"),
    "side": pl.when(_MAKER == "sell").then(BUY).when(_MAKER == "buy").then(SELL).cast(pl.Int8),
    "price": pl.col("price"),
    "quantity": pl.col("size"),
    "condition": pl.lit(None, pl.String),
}

SIDES = {"sell": BUY, "buy": SELL}
"""The taker's side by the maker's."""


def meaning(symbol_field: str) -> Callable[[NativeTrade], Meaning]:
    """Return what gives the same of one trade, whose symbol stands in a field."""

    def read_fields(trade: NativeTrade) -> Meaning:
        return Meaning(
            trade[symbol_field],
            trade["trade_id"],
            read_iso(trade["time"]),
            SIDES.get(trade["side"].lower()),
            trade["price"],
            trade["size"],
        )

    return read_fields


MAPPED = frozenset({"product_id", "trade_id", "price", "size", "side", "time"})

SPELLINGS = {
    "time": Spelling("time", ISO_EXPECTED),
    "side": Spelling("side", "BUY or SELL, the maker's"),
}

ROW = {
    "trade_id": Field(INTEGER),
    "side": Field(TEXT),
    "size": Field(TEXT),
    "price": Field(TEXT),
    "time": Field(TEXT),
}

ANSWER = Dialect(
    ROW,
    {**COLUMNS, "native_symbol": pl.col(NATIVE)},
    meaning(NATIVE),
    MAPPED | {NATIVE},
    SPELLINGS,
)


def answer(native: str, content: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read an answer about trades, newest first.

    [{"time":"2020-03-20T00:36:59.860Z","trade_id":86327327,"price":"6225.32000000",
      "size":"0.06469797","side":"sell"}]
    """
    return ANSWER, [named(row, ROW, native) for row in rows(content, "trades")]


def page_of(content: Any) -> Page:  # noqa: ANN401 - JSON may be anything
    """The numbers and times of an answer."""
    trades = (attempt(row, ROW) for row in rows(content, "trades"))
    return page(trades, lambda trade: int(trade["trade_id"]), _time)


def _time(trade: NativeTrade) -> int | None:
    return read_iso(trade["time"])


def target(native: str, place: Cursor, limit: int) -> str:
    """/products/BTC-USD/trades?limit=1000&after=86328327: so many older than that.

    The trades behind a number are the newest before the number so many further on;
    `before` would give the newest of all instead of the next.
    """
    return f"{newest(native, limit)}&after={place.number + limit}"


def newest(native: str, limit: int) -> str:
    """/products/BTC-USD/trades?limit=1000"""
    return f"/products/{quote(native, safe='')}/trades?limit={limit}"


def complaint(status: int, content: Any) -> RestError | None:  # noqa: ANN401 - JSON may be anything
    """{"message":"NotFound"} with status 404; 429 for too many requests."""
    said = str(content.get("message", ""))[:200] if isinstance(content, dict) else ""
    if status == 404 and said == "NotFound":
        return RestError(RestErrorKind.NEVER, "NotFound: no such product")
    return by_status(status, content, said)


# Sources: Coinbase Developer Documentation, Exchange REST API, "Get product trades" (side
# is the maker's), "Exchange REST API Pagination" (at most 1000; `after` is older) and "REST
# Rate Limits Overview" (10 requests a second for an address, 15 at once; 429 beyond). Half
# of it is left to others.
REST = RestRules(
    url="https://api.exchange.coinbase.com",
    page=1000,
    newest_page=1000,
    requests_s=5,
    burst=5,
    target=target,
    newest=newest,
    read=page_of,
    complaint=complaint,
    windowed=True,
)
