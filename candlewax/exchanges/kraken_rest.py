"""Kraken spot over REST.

Source: Kraken API Center, "Get Recent Trades".
"""

from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

from candlewax.exchanges.protocol.dialect import BUY, SELL, Reading
from candlewax.exchanges.protocol.fields import (
    INTEGER,
    NUMBER,
    TEXT,
    Field,
    NativeTrade,
    bad_shape,
    try_read,
)
from candlewax.exchanges.protocol.rest import (
    NATIVE_SYMBOL,
    Cursor,
    Page,
    RestError,
    RestErrorKind,
    RestRules,
    build_page,
    error_of_kind,
    read_row,
    require_list,
)
from candlewax.exchanges.protocol.times import SECONDS
from candlewax.exchanges.protocol.trade_format import TradeFormat
from candlewax.exchanges.protocol.venue_candles import CandleRules, VenueCandle, read_candles

ROW = {
    "price": Field(TEXT),
    "volume": Field(TEXT),
    "time": Field(NUMBER),
    "side": Field(TEXT),
    "type": Field(TEXT),
    "misc": Field(TEXT),
    "trade_id": Field(INTEGER),
}
"""A trade of REST, an array without names: as in v1, then the number that it has in v2."""

SIDES = {"b": BUY, "s": SELL}


ANSWER = TradeFormat(
    NATIVE_SYMBOL, "trade_id", "time", "side", "price", "volume",
    time_form=SECONDS,
    sides=SIDES,
).dialect(ROW)  # fmt: skip


def read_response(native_symbol: str, content: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read a response with trades, under a name of Kraken's own.

    {"error":[],"result":{"XXBTZUSD":[["30243.40000","0.34507674",1688669597.8277369,"b",
     "m","",61044952]],"last":"1688671969993150842"}}
    """
    trades, _ = _result(content)
    return ANSWER, [read_row(_with_names(row), ROW, native_symbol) for row in trades]


def _result(content: Any) -> tuple[list[Any], str]:  # noqa: ANN401 - JSON may be anything
    result = content.get("result") if isinstance(content, dict) else None
    if not isinstance(result, dict):
        raise bad_shape("an object with a result", content)
    lists = [value for name, value in result.items() if name != "last"]
    if len(lists) != 1:
        raise bad_shape("the rows of one pair", content)
    return require_list(lists[0], "rows"), str(result.get("last", ""))


def _with_names(row: Any) -> Any:  # noqa: ANN401 - JSON may be anything
    has_all_fields = isinstance(row, list) and len(row) == len(ROW)
    return dict(zip(ROW, row, strict=True)) if has_all_fields else row


def parse_page(content: Any) -> Page:  # noqa: ANN401 - JSON may be anything
    """Read the numbers and times of a response, and where the next one begins."""
    raw_rows, last = _result(content)
    trades = (try_read(_with_names(row), ROW) for row in raw_rows)
    until_ns = int(last) if last.isascii() and last.isdigit() else 0
    return build_page(trades, lambda trade: int(trade["trade_id"]), _time, until_ns)


def _time(trade: NativeTrade) -> int | None:
    seconds = Decimal(trade["time"])
    # A few characters with an exponent can mean billions of digits.
    return int(seconds * 1_000_000) if seconds.adjusted() < 12 else None


_KRAKEN_NAMES = {"BTC": "XBT", "DOGE": "XDG"}


def trades_path(native_symbol: str, cursor: Cursor, limit: int) -> str:
    """Return /0/public/Trades?pair=XBTUSD&count=1000&since=1688671969993150842.

    Trades come oldest first, after that time in nanoseconds.
    """
    return f"{latest_path(native_symbol, limit)}&since={cursor.time_ns}"


def latest_path(native_symbol: str, limit: int) -> str:
    """Return /0/public/Trades?pair=XBTUSD&count=1000.

    The pair has its alternative name: the names of the websocket are not documented for REST.
    """
    return f"/0/public/Trades?{urlencode({'pair': _pair(native_symbol), 'count': limit})}"


def _pair(native_symbol: str) -> str:
    return "".join(_KRAKEN_NAMES.get(asset, asset) for asset in native_symbol.split("/"))


_ERRORS = {
    "EAPI:Rate limit": RestErrorKind.RATE_LIMITED,
    "EGeneral:Too many requests": RestErrorKind.RATE_LIMITED,
    "EService: Throttled": RestErrorKind.RATE_LIMITED,
    "EQuery:Unknown asset pair": RestErrorKind.PERMANENT,
}
"""Begins of the texts of errors, and what they mean."""


def parse_error(status: int, content: Any) -> RestError | None:  # noqa: ANN401 - JSON may be anything
    """Read {"error":["EGeneral:Too many requests"]}, with status 200."""
    errors = content.get("error") if isinstance(content, dict) else None
    message = ", ".join(map(str, errors))[:200] if isinstance(errors, list) else ""
    kind = next((kind for start, kind in _ERRORS.items() if message.startswith(start)), None)
    return error_of_kind(status, content, message, kind)


# Sources: Kraken API Center, "Get Recent Trades" (at most 1000, `since` a time in
# nanoseconds, `last` the next `since`) and "Spot REST Rate Limits" (errors); Kraken
# Support, "What are the API rate limits?" (once a second for an address and a pair is
# within the limits).
REST = RestRules(
    url="https://api.kraken.com",
    page_rows=1000,
    latest_page_rows=1000,
    requests_per_s=1,
    burst=1,
    trades_path=trades_path,
    latest_path=latest_path,
    parse_page=parse_page,
    parse_error=parse_error,
    pages_by_time=True,
)

_CANDLE = {
    "start_s": 0,
    "open": 1,
    "high": 2,
    "low": 3,
    "close": 4,
    "vwap": 5,
    "volume": 6,
    "trade_count": 7,
}


def parse_candles(content: Any) -> list[VenueCandle]:  # noqa: ANN401 - JSON may be anything
    """Read candles but the one that is not committed yet, which is behind `last`.

    {"error":[],"result":{"XXBTZUSD":[[1688671200,"30306.1","30306.2","30305.7","30305.7","30306.1",
     "3.39243896",23]],"last":1688671200}}
    """
    rows, last = _result(content)
    if not (last.isascii() and last.isdigit()):
        raise bad_shape("a result with the start of the last committed candle", content)
    return [candle for candle in read_candles(rows, _CANDLE) if candle.start_s <= int(last)]


def candles_path(native_symbol: str, begin_s: int, end_s: int) -> str:  # noqa: ARG001 - answers reach to now
    """Return /0/public/OHLC?pair=XBTUSD&interval=1&since=1688671199, for entries after that."""
    query = {"pair": _pair(native_symbol), "interval": 1, "since": begin_s - 1}
    return f"/0/public/OHLC?{urlencode(query)}"


# Source: Kraken API Center, "Get OHLC Data" (the 720 latest entries at most, whatever `since` says;
# the last one is not committed). Recorded answers hold a flat candle for a minute without trades,
# and a vwap that is cut, not rounded.
CANDLES = CandleRules(
    candles_path, page_minutes=719, parse=parse_candles, has_empty_minutes=True, reach_minutes=719
)
