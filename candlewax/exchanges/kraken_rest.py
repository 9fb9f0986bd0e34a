"""Kraken spot by REST.

Source: Kraken API Center, "Get Recent Trades".
"""

import re
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import polars as pl

from candlewax.exchanges.protocol.dialect import BUY, SELL, Dialect, Meaning, Reading, Spelling
from candlewax.exchanges.protocol.fields import (
    INTEGER,
    NUMBER,
    TEXT,
    Field,
    NativeTrade,
    attempt,
    bad_shape,
)
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


def side(column: str, buy: str, sell: str) -> pl.Expr:
    """The taker's side from its two names."""
    name = pl.col(column)
    return pl.when(name == buy).then(BUY).when(name == sell).then(SELL).cast(pl.Int8)


# Polars rounds where digits go beyond the scale of a decimal, so the fraction is cut to
# microseconds first.
_CUT = pl.col("time").str.extract(r"^([0-9]{1,11}(?:\.[0-9]{1,6})?)[0-9]*$")
SECONDS = (_CUT.cast(pl.Decimal(38, 6)) * 1_000_000).cast(pl.Int64)
"""A time in seconds with a fraction, as v1 and REST tell it."""

_read_seconds = re.compile(r"([0-9]{1,11})(?:\.([0-9]{1,6}))?[0-9]*").fullmatch


def read_seconds(text: str) -> int | None:
    """Return such a time in microseconds since 1970; None if the text is none."""
    parts = _read_seconds(text)
    return int(parts[1] + (parts[2] or "").ljust(6, "0")) if parts else None


SPELLINGS = {
    "time": Spelling("time", "seconds since 1970, with up to 6 decimals kept"),
    "side": Spelling("side", "b or s"),
}

ROW = {
    "price": Field(TEXT),
    "volume": Field(TEXT),
    "time": Field(NUMBER),
    "side": Field(TEXT),
    "type": Field(TEXT),
    "misc": Field(TEXT),
    "trade_id": Field(INTEGER),
}
"""A trade of REST, an array without names: as of v1, and with the number it has in v2."""

SIDES = {"b": BUY, "s": SELL}


def _meaning(trade: NativeTrade) -> Meaning:
    return Meaning(
        trade[NATIVE],
        trade["trade_id"],
        read_seconds(trade["time"]),
        SIDES.get(trade["side"]),
        trade["price"],
        trade["volume"],
    )


ANSWER = Dialect(
    ROW,
    {
        "native_symbol": pl.col(NATIVE),
        "trade_id": pl.col("trade_id"),
        "time": SECONDS,
        "side": side("side", "b", "s"),
        "price": pl.col("price"),
        "quantity": pl.col("volume"),
        "condition": pl.lit(None, pl.String),
    },
    _meaning,
    mapped=frozenset({NATIVE, "trade_id", "time", "side", "price", "volume"}),
    spellings=SPELLINGS,
)


def answer(native: str, content: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read an answer about trades. The name they stand under is Kraken's own.

    {"error":[],"result":{"XXBTZUSD":[["30243.40000","0.34507674",1688669597.8277369,"b",
     "m","",61044952]],"last":"1688671969993150842"}}
    """
    trades, _ = _result(content)
    return ANSWER, [named(_with_names(row), ROW, native) for row in trades]


def _result(content: Any) -> tuple[list[Any], str]:  # noqa: ANN401 - JSON may be anything
    result = content.get("result") if isinstance(content, dict) else None
    if not isinstance(result, dict):
        raise bad_shape("an object with a result", content)
    lists = [value for name, value in result.items() if name != "last"]
    if len(lists) != 1:
        raise bad_shape("the trades of one pair", content)
    return rows(lists[0], "trades"), str(result.get("last", ""))


def _with_names(row: Any) -> Any:  # noqa: ANN401 - JSON may be anything
    whole = isinstance(row, list) and len(row) == len(ROW)
    return dict(zip(ROW, row, strict=True)) if whole else row


def page_of(content: Any) -> Page:  # noqa: ANN401 - JSON may be anything
    """The numbers and times of an answer, and where the next one begins."""
    found, last = _result(content)
    trades = (attempt(_with_names(row), ROW) for row in found)
    until_ns = int(last) if last.isascii() and last.isdigit() else 0
    return page(trades, lambda trade: int(trade["trade_id"]), _time, until_ns)


def _time(trade: NativeTrade) -> int | None:
    seconds = Decimal(trade["time"])
    # A few characters can stand for billions of digits.
    return int(seconds * 1_000_000) if seconds.adjusted() < 12 else None


_NAMES = {"BTC": "XBT", "DOGE": "XDG"}


def target(native: str, place: Cursor, limit: int) -> str:
    """/0/public/Trades?pair=XBTUSD&count=1000&since=1688671969993150842: oldest first,
    behind that time in nanoseconds.
    """
    return f"{newest(native, limit)}&since={place.time_ns}"


def newest(native: str, limit: int) -> str:
    """/0/public/Trades?pair=XBTUSD&count=1000

    The pair by its alternative name, as the names of the websocket are not documented
    for REST.
    """
    pair = "".join(_NAMES.get(asset, asset) for asset in native.split("/"))
    return f"/0/public/Trades?{urlencode({'pair': pair, 'count': limit})}"


_SLOWER = ("EAPI:Rate limit", "EGeneral:Too many requests", "EService: Throttled")


def complaint(status: int, content: Any) -> RestError | None:  # noqa: ANN401 - JSON may be anything
    """{"error":["EGeneral:Too many requests"]}, with status 200."""
    errors = content.get("error") if isinstance(content, dict) else None
    said = ", ".join(map(str, errors))[:200] if isinstance(errors, list) else ""
    if said.startswith(_SLOWER):
        return RestError(RestErrorKind.SLOWER, said)
    if said.startswith("EQuery:Unknown asset pair"):
        return RestError(RestErrorKind.NEVER, said)
    if said and status == 200:
        return RestError(RestErrorKind.FAILED, said)
    return by_status(status, content, said)


# Sources: Kraken API Center, "Get Recent Trades" (at most 1000, `since` a time in
# nanoseconds, `last` what to ask for next) and "Spot REST Rate Limits" (errors); Kraken
# Support, "What are the API rate limits?" (once a second for an address and a pair is
# within the limits).
REST = RestRules(
    url="https://api.kraken.com",
    page=1000,
    newest_page=1000,
    requests_s=1,
    burst=1,
    target=target,
    newest=newest,
    read=page_of,
    complaint=complaint,
    by_time=True,
)
