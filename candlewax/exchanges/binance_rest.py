"""Binance over REST, and its dump files; spot and futures alike.

Source: Binance Spot API documentation, "Market Data endpoints", section "Old trade lookup"; Binance
Public Data, section "Trades".
"""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any
from urllib.parse import urlencode

import polars as pl

from candlewax.exchanges.protocol.daily_files import DailyFiles
from candlewax.exchanges.protocol.dialect import (
    BUY,
    SELL,
    Dialect,
    DumpRules,
    Meaning,
    Reading,
    Spelling,
)
from candlewax.exchanges.protocol.fields import (
    BOOLEAN,
    INTEGER,
    TEXT,
    Field,
    Fields,
    NativeTrade,
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
    error_for_status,
    read_row,
    require_list,
)
from candlewax.exchanges.protocol.times import parse_int64
from candlewax.exchanges.protocol.venue_candles import (
    MINUTE_S,
    CandleRules,
    VenueCandle,
    read_candles,
)

FIRST_MICROSECOND_VALUE = 10**15
"""Times from this value on are microseconds (as milliseconds it would be the year 33658).

All others are milliseconds, which Binance sends unless a connection asks for microseconds.
"""


TIME_EXPECTED = "milliseconds or microseconds since 1970"


def to_microseconds(field: str) -> pl.Expr:
    """Return a time column in microseconds; the field holds milliseconds or microseconds."""
    time = pl.col(field).cast(pl.Int64, strict=False)
    # The product of a lower number may not fit.
    milliseconds = pl.when(time > -FIRST_MICROSECOND_VALUE).then(time * 1000)
    return pl.when(time >= FIRST_MICROSECOND_VALUE).then(time).otherwise(milliseconds)


def parse_time(text: str) -> int | None:
    """Return a time in microseconds since 1970, or None; the text holds milliseconds or
    microseconds.
    """
    time = parse_int64(text)
    if time is None or time <= -FIRST_MICROSECOND_VALUE:
        return None
    return time if time >= FIRST_MICROSECOND_VALUE else time * 1000


ROW = {
    "id": Field(INTEGER),
    "price": Field(TEXT),
    "qty": Field(TEXT),
    "quoteQty": Field(TEXT),
    "time": Field(INTEGER),
    "isBuyerMaker": Field(BOOLEAN),
    "isBestMatch": Field(BOOLEAN, optional=True),
}
"""A trade of REST and of dump files.

id trade id, qty quantity, time trade time, isBuyerMaker the buyer is the maker. Futures have no
isBestMatch. Times are milliseconds; in spot dumps since 2025 microseconds.
"""

# Spot dumps write True and False. If the buyer was the maker, the taker sold.
_MAKER = pl.col("isBuyerMaker").str.to_lowercase()
_SIDES = {"true": SELL, "false": BUY}
_SIDE = pl.when(_MAKER == "true").then(SELL).when(_MAKER == "false").then(BUY).cast(pl.Int8)


def _interpret(trade: NativeTrade) -> Meaning:
    return Meaning(
        trade[NATIVE_SYMBOL],
        trade["id"],
        parse_time(trade["time"]),
        _SIDES.get(trade["isBuyerMaker"].lower()),
        trade["price"],
        trade["qty"],
    )


ANSWER = Dialect(
    ROW,
    {
        "native_symbol": pl.col(NATIVE_SYMBOL),
        "trade_id": pl.col("id"),
        "time": to_microseconds("time"),
        "side": _SIDE,
        "price": pl.col("price"),
        "quantity": pl.col("qty"),
        "condition": pl.lit(None, pl.String),
    },
    _interpret,
    mapped=frozenset({NATIVE_SYMBOL, "id", "price", "qty", "time", "isBuyerMaker"}),
    spellings={
        "time": Spelling("time", TIME_EXPECTED),
        "side": Spelling("isBuyerMaker", "true or false"),
    },
)

DUMP = DumpRules(ANSWER, header="id")
"""Lines such as 51175358,17.80180000,5.69000000,101.29224200,1583709433583,True,True.

For futures 28457,4.00000100,12.00000000,48.00,1499865549590,true below a header.
"""


def read_response(native_symbol: str, content: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read a response with trades.

    [{"id":28457,"price":"4.00000100","qty":"12.00000000","quoteQty":"48.000012",
      "time":1499865549590,"isBuyerMaker":true,"isBestMatch":true}]
    """
    return _read_rows(ANSWER, native_symbol, content)


def _read_rows(dialect: Dialect, native_symbol: str, content: Any) -> Reading:  # noqa: ANN401
    rows = require_list(content, "trades")
    return dialect, [read_row(row, dialect.shape, native_symbol) for row in rows]


def response_reader(dialect: Dialect) -> Callable[[str, Any], Reading]:
    """Return the reader of a response whose rows have the shape of a dialect."""
    return partial(_read_rows, dialect)


def page_parser(shape: Fields) -> Callable[[Any], Page]:
    """Return the reader of the numbers and times of a response whose rows have a shape."""

    def parse_page(content: Any) -> Page:  # noqa: ANN401 - JSON may be anything
        trades = (try_read(row, shape) for row in require_list(content, "trades"))
        return build_page(trades, lambda trade: int(trade["id"]), _time)

    return parse_page


def _time(trade: NativeTrade) -> int:
    time = int(trade["time"])
    return time if time >= FIRST_MICROSECOND_VALUE else time * 1000


def trades_path_from(path: str) -> Callable[[str, Cursor, int], str]:
    """Return the builder of `?symbol=BTCUSDT&fromId=28457&limit=1000`.

    Trades come oldest first, from that id on.
    """

    def build_path(native_symbol: str, cursor: Cursor, limit: int) -> str:
        query = {"symbol": native_symbol, "fromId": cursor.number, "limit": limit}
        return f"{path}?{urlencode(query)}"

    return build_path


def latest_path_from(path: str) -> Callable[[str, int], str]:
    """Return the builder of `?symbol=BTCUSDT&limit=1000`."""
    return lambda native_symbol, limit: (
        f"{path}?{urlencode({'symbol': native_symbol, 'limit': limit})}"
    )


def parse_error(status: int, content: Any) -> RestError | None:  # noqa: ANN401 - JSON may be anything
    """Read an error such as {"code":-1121,"msg":"Invalid symbol."}, with a status from 400 up.

    Sources: "Error codes", -1121 INVALID_SYMBOL, -1003 TOO_MANY_REQUESTS, -2014 and -2015 about
    keys; "HTTP Return Codes", 403 for too many requests as well.
    """
    error = content if isinstance(content, dict) else {}
    message = str(error.get("msg", ""))[:200]
    code = error.get("code")
    if code == -1121:
        return RestError(RestErrorKind.PERMANENT, message)
    if code in (-2014, -2015):
        return RestError(RestErrorKind.KEY_REQUIRED, message)
    if status == 403 or code == -1003:
        return RestError(
            RestErrorKind.RATE_LIMITED, f"status {status}: {message}".removesuffix(": ")
        )
    return error_for_status(status, content, message)


# Sources: "Market Data endpoints", sections "Old trade lookup" (weight 25, at most 1000,
# no key) and "Recent trades list"; "LIMITS", section "IP Limits", and "Exchange
# information" (6000 of weight a minute; Retry-After with 429 and 418). The host for market
# data only does not list historicalTrades. Half of the limit is left to other programs.
REST = RestRules(
    url="https://api.binance.com",
    page_rows=1000,
    latest_page_rows=1000,
    requests_per_s=2,
    burst=10,
    trades_path=trades_path_from("/api/v3/historicalTrades"),
    latest_path=latest_path_from("/api/v3/trades"),
    parse_page=page_parser(ROW),
    parse_error=parse_error,
    key_header="X-MBX-APIKEY",
    usage_limit=("X-MBX-USED-WEIGHT-1M", 4500),
)

CANDLE_PLACES = {
    "start_s": 0,
    "open": 1,
    "high": 2,
    "low": 3,
    "close": 4,
    "volume": 5,
    "quote_volume": 7,
    "trade_count": 8,
    "buy_volume": 9,
    "buy_quote_volume": 10,
}


def parse_candles(content: Any) -> list[VenueCandle]:  # noqa: ANN401 - JSON may be anything
    """Read klines: start, open, high, low, close, volume, end, quote volume, count, taker's parts.

    [[1499040000000,"0.01","0.80","0.01","0.02","148976.11",1499040059999,"2434.19",308,"1756.87",
      "28.46","0"]]
    """
    return read_candles(content, CANDLE_PLACES, units_per_s=1000)


def candles_path_from(path: str) -> Callable[[str, int, int], str]:
    """Return the builder of `?symbol=BTCUSDT&interval=1m&startTime=...&endTime=...&limit=5`.

    Both times are milliseconds and included.
    """

    def build_path(native_symbol: str, begin_s: int, end_s: int) -> str:
        query = {
            "symbol": native_symbol,
            "interval": "1m",
            "startTime": begin_s * 1000,
            "endTime": (end_s - MINUTE_S) * 1000,
            "limit": (end_s - begin_s) // MINUTE_S,
        }
        return f"{path}?{urlencode(query)}"

    return build_path


# Source: "Market Data endpoints", section "Kline/Candlestick data" (weight 2 whatever the limit, at
# most 1000). A minute without trades is flat; minutes of a halt are left out. Quote volumes have 8
# decimals: where price and quantity have more together, those of each trade are cut.
CANDLES = CandleRules(
    candles_path_from("/api/v3/klines"),
    page_minutes=1000,
    parse=parse_candles,
    has_empty_minutes=True,
    cost=2 / 25,
    quote_decimals=8,
)


def daily_files_of(folder: str, unpublished: Collection[str] = ()) -> DailyFiles:
    """Return the files of a part of Binance, as `spot` or `futures/um`.

    Source: Binance Public Data, README, sections "Trades", "Klines" and "CHECKSUM".
    """
    return DailyFiles(
        "https://data.binance.vision",
        lambda name, day: f"/data/{folder}/daily/trades/{name}/{name}-trades-{day}.zip",
        lambda name, day: f"/data/{folder}/daily/klines/{name}/1m/{name}-1m-{day}.zip",
        frozenset(unpublished),
    )
