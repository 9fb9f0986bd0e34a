"""OKX over REST, and its dump files; spot and swaps alike.

Source: OKX API guide (v5), "Order Book Trading", "Market Data", "GET / Trades history": `side` is
"Trade side of taker", `ts` milliseconds. Quantities of swaps are contracts.
"""

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from candlewax.exchanges.protocol.dialect import DumpRules
from candlewax.exchanges.protocol.fields import TEXT, fields_of
from candlewax.exchanges.protocol.rest import (
    NATIVE_SYMBOL,
    Cursor,
    RestError,
    RestErrorKind,
    RestRules,
    error_for_status,
    require_list,
)
from candlewax.exchanges.protocol.trade_format import TradeFormat
from candlewax.exchanges.protocol.trade_responses import TradeResponses
from candlewax.exchanges.protocol.venue_candles import (
    MINUTE_S,
    CandleRules,
    VenueCandle,
    read_candles,
)

TRADES = TradeFormat("instId", "tradeId", "ts", "side", "px", "sz")

# The names of the fields are those of a trade, so that a line has the same meaning.
_LINE = {
    **fields_of(TEXT, "instrument_name", "tradeId", "side", "px", "sz", "ts"),
    **fields_of(TEXT, "source", optional=True),
}

DUMP = DumpRules(
    replace(TRADES, native_symbol=NATIVE_SYMBOL, redundant=("instrument_name",)).dialect(_LINE),
    header="instrument_name",
)
"""Lines such as BTC-USDT-SWAP,1853231103,buy,114033.1,1.15,1759248000009 below a header.

The file of a day begins at 16:00 UTC of the day before.
"""


def require_data(content: Any, noun: str) -> list[Any]:  # noqa: ANN401 - JSON may be anything
    """Return the rows of a response. Raises FrameError for anything else."""
    return require_list(content.get("data") if isinstance(content, dict) else content, noun)


ANSWERS = TradeResponses(
    TRADES, fields_of(TEXT, "tradeId", "side", "px", "sz", "ts"), require_data, number="tradeId"
)
"""Responses with trades, latest first, such as

{"code":"0","msg":"","data":[{"instId":"BTC-USDT","side":"sell","sz":"0.00001","px":"29963.2",
  "source":"0","tradeId":"242720720","ts":"1654161646974"}]}
"""


def latest_path(native_symbol: str, limit: int) -> str:
    """Return /api/v5/market/history-trades?instId=BTC-USDT&type=1&limit=100."""
    query = {"instId": native_symbol, "type": 1, "limit": limit}
    return f"/api/v5/market/history-trades?{urlencode(query)}"


def trades_path(native_symbol: str, cursor: Cursor, limit: int) -> str:
    """Return the same with &after=242720721, for trades older than that.

    The trades behind a number are the latest before the number `limit` further on; `before` would
    give the latest of all instead of the next.
    """
    return f"{latest_path(native_symbol, limit)}&after={cursor.number + limit}"


def parse_error(status: int, content: Any) -> RestError | None:  # noqa: ANN401 - JSON may be anything
    """Read an error such as {"code":"51001","msg":"Instrument ID doesn't exist.","data":[]}.

    Refusals may have status 200. Source: "Error Code", "REST API": 50011 too many requests, 51001
    an instrument that does not exist; 50001, 50013 and others may pass.
    """
    error = content if isinstance(content, dict) else {}
    code, message = str(error.get("code", "")), str(error.get("msg", ""))[:200]
    if code == "50011":
        return RestError(RestErrorKind.RATE_LIMITED, f"{code}: {message}")
    if code == "51001":
        return RestError(RestErrorKind.PERMANENT, f"{code}: {message}")
    if status == 200 and code not in ("", "0"):
        return RestError(RestErrorKind.FAILED, f"{code}: {message}")
    return error_for_status(status, content, message)


# Source: "GET / Trades history" (at most 100, the last 3 months, 20 requests in 2 seconds for an
# address; `after` is older, by id with type 1). "GET / Trades" shows 500, but the guide does not
# tell whether it aggregates as the channel `trades` does. Half of the limit is left to other
# programs.
REST = RestRules(
    url="https://www.okx.com",
    page_rows=100,
    latest_page_rows=100,
    requests_per_s=5,
    burst=5,
    trades_path=trades_path,
    latest_path=latest_path,
    parse_page=ANSWERS.parse_page,
    parse_error=parse_error,
    page_counts_numbers=True,
)


def parse_candles(content: Any) -> list[VenueCandle]:  # noqa: ANN401 - JSON may be anything
    """Read rows of start, open, high, low, close, volume, two more volumes and whether it is final.

    {"code":"0","msg":"","data":[["1597026383085","3.721","3.743","3.677","3.708","8422410",
      "22698348.04","12698348.04","1"]]}

    The volume is that of trades: of swaps in contracts. The value in the quote is left out, as that
    of a swap is not the contracts times their prices.
    """
    rows = require_data(content, "candles")
    final_rows = [row for row in rows if not isinstance(row, list) or row[-1:] != ["0"]]
    return read_candles(final_rows, units_per_s=1000)


def candles_path(native_symbol: str, begin_s: int, end_s: int) -> str:
    """Return /api/v5/market/history-candles?instId=BTC-USDT&bar=1m&before=...&after=...&limit=5.

    Both times are milliseconds and not included; `after` is older.
    """
    query = {
        "instId": native_symbol,
        "bar": "1m",
        "before": (begin_s - MINUTE_S) * 1000,
        "after": end_s * 1000,
        "limit": (end_s - begin_s) // MINUTE_S,
    }
    return f"/api/v5/market/history-candles?{urlencode(query)}"


# Source: "GET / Candlesticks history" (20 requests in 2 seconds as for trades; at most 100, of late
# 300; `confirm` 0 is not final). A minute without trades is flat.
CANDLES = CandleRules(candles_path, page_minutes=100, parse=parse_candles, has_empty_minutes=True)
