"""Bybit over REST, and its dump files of linear contracts.

Source: Bybit API documentation (v5), "Market", "Get Recent Public Trades" (`side` is that of the
taker; the newest trades only), "Get Kline", "Get Instruments Info" and "Get Tickers".
"""

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlencode

import polars as pl

from candlewax.exchanges.protocol.dialect import BUY, SELL, DumpRules, TradeIds
from candlewax.exchanges.protocol.fields import BOOLEAN, TEXT, Field, bad_shape, fields_of
from candlewax.exchanges.protocol.rest import (
    NATIVE_SYMBOL,
    Cursor,
    RestError,
    RestErrorKind,
    RestRules,
    error_for_status,
    require_list,
)
from candlewax.exchanges.protocol.times import SECONDS
from candlewax.exchanges.protocol.trade_format import Condition, TradeFormat
from candlewax.exchanges.protocol.trade_responses import TradeResponses
from candlewax.exchanges.protocol.venue_candles import (
    MINUTE_S,
    CandleRules,
    VenueCandle,
    read_candles,
)

SIDES: Final = {"Buy": BUY, "Sell": SELL}

BLOCK: Final = "BLOCK"
"""Condition of a block trade, which is made outside of the order book."""


def block_condition(field: str) -> Condition:
    """Return the condition from whether a trade is a block trade; a missing field is no."""
    column = pl.when(pl.col(field) == "true").then(pl.lit(BLOCK))
    return Condition(column, lambda trade: BLOCK if trade.get(field) == "true" else None)


_LINE = {
    name: Field(TEXT, optional=name == "RPI")
    for name in (
        "timestamp", "symbol", "side", "size", "price", "tickDirection", "trdMatchID", "grossValue",
        "homeNotional", "foreignNotional", "RPI",
    )
}  # fmt: skip


DUMP = DumpRules(
    TradeFormat(
        NATIVE_SYMBOL, "trdMatchID", "timestamp", "side", "price", "size",
        time_form=SECONDS,
        sides=SIDES,
        trade_ids=TradeIds.UNIQUE,
    ).dialect(_LINE),
    header="timestamp",
)  # fmt: skip
"""Lines of linear contracts, such as 1672531200.1234,BTCUSDT,Buy,0.001,16578.5,PlusTick,
20f43950-d8dd-5b31-9112-a178eb6023af,1657850.0,0.001,16.5785 below a header. The id is the `i` of
the websocket.

Spot has files with ids of their own, which could not be told from received trades.
"""


def require_rows(content: Any, noun: str) -> list[Any]:  # noqa: ANN401 - JSON may be anything
    """Return the rows of a response. Raises FrameError for anything else."""
    result = content.get("result") if isinstance(content, dict) else None
    if not isinstance(result, dict):
        raise bad_shape("an object with a result", content)
    return require_list(result.get("list"), noun)


TRADES: Final = TradeResponses(
    TradeFormat(
        NATIVE_SYMBOL, "execId", "time", "side", "price", "size",
        sides=SIDES,
        condition=block_condition("isBlockTrade"),
        trade_ids=TradeIds.UNIQUE,
    ),
    {
        **fields_of(TEXT, "execId", "price", "size", "side", "time"),
        **fields_of(BOOLEAN, "isBlockTrade", optional=True),
    },
    require_rows,
    is_newest_first=True,
)  # fmt: skip
"""Responses with trades, whose `execId` is the `i` of the websocket, such as

{"retCode":0,"retMsg":"OK","result":{"category":"spot","list":[{"execId":"2100000000007764263",
 "symbol":"BTCUSDT","price":"16618.49","size":"0.00012","side":"Buy","time":"1672052955758",
 "isBlockTrade":false}]},"retExtInfo":{},"time":1672053054358}
"""


def parse_error(status: int, content: Any) -> RestError | None:  # noqa: ANN401 - JSON may be anything
    """Read an error such as {"retCode":10001,"retMsg":"params error: Symbol Invalid"}.

    Sources: "Error Codes" (10001 a bad parameter, 10006 too many visits); "Rate Limit Rules" (403
    access too frequent).
    """
    answer = content if isinstance(content, dict) else {}
    code, message = answer.get("retCode", 0), str(answer.get("retMsg", ""))[:200]
    if code == 10006 or status == 403:
        return RestError(RestErrorKind.RATE_LIMITED, f"status {status}: {message}")
    if code == 10001 and "symbol" in message.lower():
        return RestError(RestErrorKind.PERMANENT, message)
    if code and status == 200:
        return RestError(RestErrorKind.FAILED, f"{code}: {message}")
    return error_for_status(status, content, message)


def build_rest(category: str, newest_rows: int) -> RestRules:
    """Return the REST rules of a category, which shows that many of the newest trades.

    Source: "Rate Limit Rules" (600 requests in 5 seconds for an address).
    """

    def latest_path(native_symbol: str, limit: int) -> str:
        query = {"category": category, "symbol": native_symbol, "limit": limit}
        return f"/v5/market/recent-trade?{urlencode(query)}"

    def trades_path(native_symbol: str, cursor: Cursor, limit: int) -> str:  # noqa: ARG001 - none exists
        return latest_path(native_symbol, limit)

    return RestRules(
        url="https://api.bybit.com",
        page_rows=newest_rows,
        latest_page_rows=newest_rows,
        requests_per_s=10,
        burst=10,
        trades_path=trades_path,
        latest_path=latest_path,
        parse_page=TRADES.parse_page,
        parse_error=parse_error,
        no_trades_because=f"its REST shows the newest {newest_rows} trades only",
    )


def parse_candles(content: Any) -> list[VenueCandle]:  # noqa: ANN401 - JSON may be anything
    """Read rows of start, open, high, low, close, volume and turnover, newest first.

    {"retCode":0,"result":{"symbol":"BTCUSDT","category":"spot","list":[["1670608800000","17071",
     "17073","17027","17055.5","268.611","4582741.2"]]},"time":1672025956592}

    A candle whose end is behind the time of the response is not final. How the turnover is rounded
    is not documented: it is left out.
    """
    rows, now_ms = require_rows(content, "candles"), content.get("time")
    if not isinstance(now_ms, int):
        raise bad_shape("a response with its time", content)
    candles = read_candles(rows, units_per_s=1000)
    return [candle for candle in candles if (candle.start_s + MINUTE_S) * 1000 <= now_ms]


def candles_path_of(category: str) -> Callable[[str, int, int], str]:
    """Return the builder of `?category=spot&symbol=BTCUSDT&interval=1&start=...&end=...&limit=5`.

    Both times are milliseconds and included.
    """

    def build_path(native_symbol: str, begin_s: int, end_s: int) -> str:
        query = {
            "category": category,
            "symbol": native_symbol,
            "interval": 1,
            "start": begin_s * 1000,
            "end": (end_s - MINUTE_S) * 1000,
            "limit": (end_s - begin_s) // MINUTE_S,
        }
        return f"/v5/market/kline?{urlencode(query)}"

    return build_path


def build_candles(category: str) -> CandleRules:
    """Return the rules of candles of a category.

    Source: "Get Kline" (at most 1000). A minute without trades is flat.
    """
    return CandleRules(candles_path_of(category), 1000, parse_candles, has_empty_minutes=True)
