"""Binance by REST, and its dump files; spot and futures alike.

Source: Binance Spot API documentation, "Market Data endpoints", section "Old trade
lookup"; Binance Public Data, section "Trades".
"""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import polars as pl

from candlewax.exchanges.protocol.dialect import (
    BUY,
    SELL,
    Dialect,
    DumpRules,
    Meaning,
    Reading,
    Spelling,
)
from candlewax.exchanges.protocol.fields import BOOLEAN, INTEGER, TEXT, Field, NativeTrade, attempt
from candlewax.exchanges.protocol.numbers import parse_int64
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

FIRST_MICROSECONDS = 10**15
"""Times are milliseconds unless the connection asked for microseconds; from this
value on they are the latter (as milliseconds it would be the year 33658)."""


TIME_EXPECTED = "milliseconds or microseconds since 1970"


def microseconds(field: str) -> pl.Expr:
    """Return a time in either unit as Int64, microseconds since 1970; null if it is none."""
    time = pl.col(field).cast(pl.Int64, strict=False)
    milliseconds = pl.when(time > -FIRST_MICROSECONDS).then(time * 1000)
    return pl.when(time >= FIRST_MICROSECONDS).then(time).otherwise(milliseconds)


def read_microseconds(text: str) -> int | None:
    """Return a time in either unit in microseconds since 1970; None if it is none."""
    time = parse_int64(text)
    if time is None or time <= -FIRST_MICROSECONDS:
        return None
    return time if time >= FIRST_MICROSECONDS else time * 1000


ROW = {
    "id": Field(INTEGER),
    "price": Field(TEXT),
    "qty": Field(TEXT),
    "quoteQty": Field(TEXT),
    "time": Field(INTEGER),
    "isBuyerMaker": Field(BOOLEAN),
    "isBestMatch": Field(BOOLEAN, optional=True),
}
"""A trade as REST and the dump files show it: id trade id, qty quantity, time trade time,
isBuyerMaker the buyer is the maker. Futures have no isBestMatch. REST tells time in
milliseconds; dumps of spot since 2025 in microseconds."""

# In dumps of spot True and False. Where the buyer was the maker, the taker sold.
_MAKER = pl.col("isBuyerMaker").str.to_lowercase()
_SIDES = {"true": SELL, "false": BUY}
_SIDE = pl.when(_MAKER == "true").then(SELL).when(_MAKER == "false").then(BUY).cast(pl.Int8)


def _meaning(trade: NativeTrade) -> Meaning:
    return Meaning(
        trade[NATIVE],
        trade["id"],
        read_microseconds(trade["time"]),
        _SIDES.get(trade["isBuyerMaker"].lower()),
        trade["price"],
        trade["qty"],
    )


ANSWER = Dialect(
    ROW,
    {
        "native_symbol": pl.col(NATIVE),
        "trade_id": pl.col("id"),
        "time": microseconds("time"),
        "side": _SIDE,
        "price": pl.col("price"),
        "quantity": pl.col("qty"),
        "condition": pl.lit(None, pl.String),
    },
    _meaning,
    mapped=frozenset({NATIVE, "id", "price", "qty", "time", "isBuyerMaker"}),
    spellings={
        "time": Spelling("time", TIME_EXPECTED),
        "side": Spelling("isBuyerMaker", "true or false"),
    },
)

DUMP = DumpRules(ANSWER, header="id")
"""51175358,17.80180000,5.69000000,101.29224200,1583709433583,True,True, and for futures
28457,4.00000100,12.00000000,48.00,1499865549590,true below a line of names."""


def answer(native: str, content: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read an answer about trades.

    [{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012",
      "time":1499865549590,"isBuyerMaker":true,"isBestMatch":true}]
    """
    return ANSWER, [named(row, ROW, native) for row in rows(content, "trades")]


def page_of(content: Any) -> Page:  # noqa: ANN401 - JSON may be anything
    """The numbers and times of an answer."""
    trades = (attempt(row, ROW) for row in rows(content, "trades"))
    return page(trades, lambda trade: int(trade["id"]), _time)


def _time(trade: NativeTrade) -> int:
    time = int(trade["time"])
    return time if time >= FIRST_MICROSECONDS else time * 1000


def from_number(path: str) -> Callable[[str, Cursor, int], str]:
    """?symbol=BTCUSDT&fromId=28457&limit=1000: oldest first, from that id on."""

    def target(native: str, place: Cursor, limit: int) -> str:
        return f"{path}?{urlencode({'symbol': native, 'fromId': place.number, 'limit': limit})}"

    return target


def newest(path: str) -> Callable[[str, int], str]:
    """?symbol=BTCUSDT&limit=1000"""
    return lambda native, limit: f"{path}?{urlencode({'symbol': native, 'limit': limit})}"


def complaint(status: int, content: Any) -> RestError | None:  # noqa: ANN401 - JSON may be anything
    """{"code":-1121,"msg":"Invalid symbol."} with a status from 400 up.

    Sources: "Error codes", -1121 INVALID_SYMBOL, -1003 TOO_MANY_REQUESTS, -2014 and -2015
    about keys; "HTTP Return Codes", 403 for too many requests as well.
    """
    error = content if isinstance(content, dict) else {}
    said = str(error.get("msg", ""))[:200]
    code = error.get("code")
    if code == -1121:
        return RestError(RestErrorKind.NEVER, said)
    if code in (-2014, -2015):
        return RestError(RestErrorKind.KEY, said)
    if status == 403 or code == -1003:
        return RestError(RestErrorKind.SLOWER, f"status {status}: {said}".removesuffix(": "))
    return by_status(status, content, said)


# Sources: "Market Data endpoints", sections "Old trade lookup" (weight 25, at most 1000,
# no key) and "Recent trades list"; "LIMITS", section "IP Limits", and "Exchange
# information" (6000 of weight a minute; Retry-After with 429 and 418). The host for market
# data only does not list historicalTrades. Half of what is allowed is left to others.
REST = RestRules(
    url="https://api.binance.com",
    page=1000,
    newest_page=1000,
    requests_s=2,
    burst=10,
    target=from_number("/api/v3/historicalTrades"),
    newest=newest("/api/v3/trades"),
    read=page_of,
    complaint=complaint,
    key_header="X-MBX-APIKEY",
    used=("X-MBX-USED-WEIGHT-1M", 4500),
)
