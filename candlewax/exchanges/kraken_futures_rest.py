"""Kraken Futures over REST.

Source: Kraken API Center, Futures REST, "Get trade history" (`uid` identifies a trade, `trade_id`
counts down within the answer and is none of its own; no `seq`); "Market Candles".
"""

from typing import Any
from urllib.parse import urlencode

import polars as pl

from candlewax.exchanges.protocol.dialect import TradeIds
from candlewax.exchanges.protocol.fields import INTEGER, NUMBER, TEXT, bad_shape, fields_of
from candlewax.exchanges.protocol.rest import (
    NATIVE_SYMBOL,
    Cursor,
    RestError,
    RestErrorKind,
    RestRules,
    error_for_status,
    require_list,
)
from candlewax.exchanges.protocol.times import ISO
from candlewax.exchanges.protocol.trade_format import Condition, TradeFormat
from candlewax.exchanges.protocol.trade_responses import TradeResponses
from candlewax.exchanges.protocol.venue_candles import (
    CandleRules,
    VenueCandle,
    places_by_name,
    read_candles,
)

ORDINARY = ("fill", "liquidation")
"""Types of trades of the order book, which count in candles."""

CONDITIONS = frozenset({"termination", "block", "assignment"})
"""Known types that do not: positions handed over, and trades agreed beside the book."""

CONDITION = Condition(
    pl.when(~pl.col("type").is_in(ORDINARY)).then(pl.col("type")),
    lambda trade: kind if (kind := trade["type"]) not in ORDINARY else None,
)
"""The type of a trade that does not count in candles."""


def list_rows(content: Any, noun: str) -> list[Any]:  # noqa: ANN401 - JSON may be anything
    """Return the trades of a response. Raises FrameError for anything else."""
    if not isinstance(content, dict):
        raise bad_shape("an object with a history", content)
    return require_list(content.get("history"), noun)


TRADES = TradeResponses(
    TradeFormat(
        NATIVE_SYMBOL, "uid", "time", "side", "price", "size",
        time_form=ISO,
        condition=CONDITION,
        trade_ids=TradeIds.UNIQUE,
    ),
    {
        **fields_of(TEXT, "time"),
        **fields_of(INTEGER, "trade_id"),
        **fields_of(NUMBER, "price", "size"),
        **fields_of(TEXT, "side", "type", "uid"),
    },
    list_rows,
    is_newest_first=True,
)  # fmt: skip
"""Responses such as

{"result":"success","history":[{"time":"2026-09-30T02:40:00.416Z","trade_id":100,"price":83320.5,
 "size":0.0041,"side":"buy","type":"fill","uid":"c5a3..."}],"serverTime":"..."}
"""


def trades_path(native_symbol: str, _: Cursor, limit: int) -> str:
    """Return the path of the latest trades: the exchange shows no others from a number on."""
    return latest_path(native_symbol, limit)


def latest_path(native_symbol: str, _: int) -> str:
    """Return /derivatives/api/v3/history?symbol=PF_XBTUSD: the last 100 trades."""
    return f"/derivatives/api/v3/history?{urlencode({'symbol': native_symbol})}"


def parse_error(status: int, content: Any) -> RestError | None:  # noqa: ANN401 - JSON may be anything
    """Read {"result":"error","error":"apiLimitExceeded"}, with status 200 or another one."""
    error = content.get("error") if isinstance(content, dict) else None
    if not isinstance(error, str):
        return error_for_status(status, content, "")
    if error == "apiLimitExceeded":
        return RestError(RestErrorKind.RATE_LIMITED, error)
    # Of an unknown market, "invalidArgument: symbol" and the like.
    is_permanent = error.startswith(("invalidArgument", "contractNotFound", "marketNotFound"))
    return RestError(RestErrorKind.PERMANENT if is_permanent else RestErrorKind.FAILED, error)


# Sources: Kraken API Center, "Get trade history" (100 trades before a time, of the last 7 days or
# since the engine started) and "Rate Limits" of Futures (500 of cost in 10 seconds).
REST = RestRules(
    url="https://futures.kraken.com",
    page_rows=100,
    latest_page_rows=100,
    requests_per_s=2,
    burst=5,
    trades_path=trades_path,
    latest_path=latest_path,
    parse_page=TRADES.parse_page,
    parse_error=parse_error,
    pages_by_time=True,
    no_trades_because="its REST shows trades without the numbers that the websocket counts",
)


def candles_path(native_symbol: str, begin_s: int, end_s: int) -> str:
    """Return /api/charts/v1/trade/PF_XBTUSD/1m?from=...&to=...; `to` is inclusive."""
    query = urlencode({"from": begin_s, "to": end_s - 60})
    return f"/api/charts/v1/trade/{native_symbol}/1m?{query}"


def parse_candles(content: Any) -> list[VenueCandle]:  # noqa: ANN401 - JSON may be anything
    """Read candles, oldest first. The exchange does not mark the one that still forms.

    {"candles":[{"time":1727650800000,"open":"83320.5","high":"83321","low":"83320","close":"83321",
     "volume":"1.2345"}],"more_candles":false}
    """
    if not isinstance(content, dict):
        raise bad_shape("an object with candles", content)
    return read_candles(content.get("candles"), places_by_name("time"), units_per_s=1000)


# Source: Kraken API Center, "Market Candles" (resolution 1m, `from` and `to` in seconds). That
# minutes without trades have candles is not documented: one that is absent counts as not shown.
CANDLES = CandleRules(candles_path, 2000, parse_candles, has_empty_minutes=True)
