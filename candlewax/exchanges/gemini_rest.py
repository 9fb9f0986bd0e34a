"""Gemini over REST.

Source: Gemini developer documentation, REST APIs, "Market Data": "List Trades" (`timestampms`,
`type` of the taker; with `timestamp` the oldest trades behind it, at most 500, of seven days),
"List Candles" and "Get Symbol Details".
"""

from collections.abc import Sequence
from typing import Any, Final

from candlewax.exchanges.protocol.dialect import Reading, TradeIds
from candlewax.exchanges.protocol.fields import INTEGER, TEXT, Field, NativeTrade, try_read
from candlewax.exchanges.protocol.markets import (
    ListedMarket,
    ListedMarkets,
    MarketKind,
    MarketListRules,
    MarketStatus,
    parse_amount,
    parse_step,
    read_each,
    require_text,
    rows_by_name,
)
from candlewax.exchanges.protocol.rest import (
    NATIVE_SYMBOL,
    Cursor,
    Page,
    RestError,
    RestErrorKind,
    RestRules,
    build_time_page,
    error_of_kind,
    read_row,
    require_list,
    sort_by_number,
)
from candlewax.exchanges.protocol.times import parse_ms
from candlewax.exchanges.protocol.trade_format import TradeFormat
from candlewax.exchanges.protocol.venue_candles import CandleRules, VenueCandle, read_candles

ROW = {
    "timestamp": Field(INTEGER, optional=True),
    "timestampms": Field(INTEGER),
    "tid": Field(INTEGER),
    "price": Field(TEXT),
    "amount": Field(TEXT),
    "exchange": Field(TEXT, optional=True),
    "type": Field(TEXT),
}
"""A row of a response."""


def _time(row: NativeTrade) -> int | None:
    return parse_ms(row["timestampms"])


def _number(row: NativeTrade) -> int:
    return int(row["tid"])


ANSWER = TradeFormat(
    NATIVE_SYMBOL, "tid", "timestampms", "type", "price", "amount",
    trade_ids=TradeIds.UNIQUE,
    redundant=("timestamp", "exchange"),
).dialect({**ROW, NATIVE_SYMBOL: Field(TEXT)})  # fmt: skip


def read_response(native_symbol: str, content: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read the rows of a response, oldest first.

    [{"timestamp":1547146811,"timestampms":1547146811357,"tid":5335307668,"price":"3610.85",
     "amount":"0.27413495","exchange":"gemini","type":"buy"}]
    """
    trades = (read_row(row, ROW, native_symbol) for row in require_list(content, "trades"))
    return ANSWER, sort_by_number(trades, _number)


def parse_page(content: Any) -> Page:  # noqa: ANN401 - JSON may be anything
    """Read the numbers and times of a response. The next one begins with the last millisecond."""
    rows = (try_read(row, ROW) for row in require_list(content, "trades"))
    return build_time_page(rows, _number, _time)


def trades_path(native_symbol: str, cursor: Cursor, limit: int) -> str:
    """Return /v1/trades/btcusd?limit_trades=500&timestamp=1547146811356.

    It shows the oldest trades behind a time, in milliseconds. One is taken off, as it is not
    documented whether trades of that time are shown.
    """
    since = max(cursor.time_ns // 1_000_000 - 1, 1)
    return f"{latest_path(native_symbol, limit)}&timestamp={since}"


def latest_path(native_symbol: str, limit: int) -> str:
    """Return /v1/trades/btcusd?limit_trades=500; without the limit it shows 50."""
    return f"/v1/trades/{native_symbol.lower()}?limit_trades={limit}"


_ERRORS: Final = {
    "RateLimited": RestErrorKind.RATE_LIMITED,
    "InvalidSymbol": RestErrorKind.PERMANENT,
    "InvalidSymbols": RestErrorKind.PERMANENT,
}


def parse_error(status: int, content: Any) -> RestError | None:  # noqa: ANN401 - JSON may be anything
    """Read {"result":"error","reason":"InvalidSymbol","message":"..."}."""
    row = content if isinstance(content, dict) else {}
    reason = str(row.get("reason", "")) if row.get("result") == "error" else ""
    message = f"{reason}: {row.get('message', '')}"[:200] if reason else ""
    return error_of_kind(status, content, message, _ERRORS.get(reason))


# Sources: Gemini developer documentation, "List Trades" (at most 500; seven days), "Rate Limits"
# (120 requests a minute, at most one a second advised; 429) and "Error Codes".
REST = RestRules(
    url="https://api.gemini.com",
    page_rows=500,
    latest_page_rows=500,
    requests_per_s=1,
    burst=1,
    trades_path=trades_path,
    latest_path=latest_path,
    parse_page=parse_page,
    parse_error=parse_error,
    pages_by_time=True,
    shows_gaps=False,
    reach_s=7 * 86_400,
)


def parse_candles(content: Any) -> list[VenueCandle]:  # noqa: ANN401 - JSON may be anything
    """Read candles; the exchange shows one whose minute is not over, too.

    [[1559755800000,7781.6,7820.23,7776.56,7819.39,34.7624802159]]
    """
    return read_candles(content, units_per_s=1000)


def candles_path(native_symbol: str, begin_s: int, end_s: int) -> str:  # noqa: ARG001 - no span exists
    """Return /v2/candles/btcusd/1m, which shows the last day."""
    return f"/v2/candles/{native_symbol.lower()}/1m"


# Source: Gemini developer documentation, "List Candles". Whether a minute without trades has a
# candle is not documented.
CANDLES = CandleRules(
    candles_path,
    page_minutes=1_440,
    parse=parse_candles,
    has_empty_minutes=False,
    reach_minutes=1_439,
)

_STATUSES: Final = {"open": MarketStatus.TRADING, "closed": MarketStatus.DELISTED}


def parse_markets(answers: Sequence[Any]) -> ListedMarkets:
    """Read the details of all symbols, and their prices. Turnover is not told.

    {"symbol":"BTCUSD","base_currency":"BTC","quote_currency":"USD","tick_size":1e-8,
     "quote_increment":0.01,"status":"open","product_type":"spot","contract_type":"vanilla",
     "contract_price_currency":"USD"}
    {"pair":"BTCUSD","price":"71240.55","percentChange24h":"0.0102"}
    """
    rows, prices = (require_list(content, "symbols") for content in answers)
    by_pair = rows_by_name(prices, "pair")

    def read(row: Any) -> ListedMarket:  # noqa: ANN401
        name = require_text(row, "symbol").upper()
        base, quote = (require_text(row, f"{part}_currency").upper() for part in ("base", "quote"))
        is_spot = row.get("product_type", "spot") == "spot"
        settled = "" if is_spot else f":{require_text(row, 'contract_price_currency').upper()}"
        return ListedMarket(
            name.lower(),
            f"{base}/{quote}{settled}",
            base,
            quote,
            MarketKind.SPOT if is_spot else MarketKind.PERPETUAL,
            tick=parse_step(row.get("quote_increment")),
            status=_STATUSES.get(require_text(row, "status"), MarketStatus.SUSPENDED),
            price=parse_amount(by_pair.get(name, {}).get("price")),
        )

    return read_each(rows, read)


# Sources: "Get Symbol Details" with `all` for the symbol, as hummingbot asks, and "Prices".
MARKETS = MarketListRules(("/v1/symbols/details/all", "/v1/pricefeed"), parse_markets)
