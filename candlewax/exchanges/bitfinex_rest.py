"""Bitfinex over REST: trades, candles and the list of pairs.

Source: Bitfinex API documentation v2, REST Public, "Trades", "Candles", "Configs" and "Tickers".
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from candlewax.exchanges.protocol.dialect import Reading, Split, TradeIds
from candlewax.exchanges.protocol.fields import (
    INTEGER,
    SIGNED,
    Field,
    FrameError,
    NativeTrade,
    bad_shape,
    try_read,
)
from candlewax.exchanges.protocol.markets import (
    ListedMarket,
    ListedMarkets,
    MarketKind,
    MarketListRules,
    multiply,
    parse_amount,
    read_each,
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
    name_symbol,
    require_list,
)
from candlewax.exchanges.protocol.times import parse_ms
from candlewax.exchanges.protocol.trade_format import TradeFormat
from candlewax.exchanges.protocol.venue_candles import CandleRules, VenueCandle, read_candles

ROW = {"id": Field(INTEGER), "mts": Field(INTEGER), "amount": Field(SIGNED), "price": Field(SIGNED)}
"""A trade, an array without names: id, milliseconds, amount (positive if the taker bought), price.

More fields may be appended.
"""


FORMAT = TradeFormat(
    NATIVE_SYMBOL, "id", "mts", "amount", "price", "amount",
    side_expected="a number with a sign",
    has_signed_quantity=True,
    trade_ids=TradeIds.UNIQUE,
)  # fmt: skip
"""Trades of the websocket and of REST; ids are shared by all markets and leave out many numbers."""

TRADES = FORMAT.dialect(ROW)


def try_row(row: Any) -> NativeTrade | FrameError:  # noqa: ANN401 - JSON may be anything
    """Read a trade, or return the error."""
    if not isinstance(row, list) or len(row) < len(ROW):
        return bad_shape("[id, mts, amount, price]", row)
    extra = {f"field {place}": value for place, value in enumerate(row[len(ROW) :], len(ROW))}
    return try_read({**dict(zip(ROW, row, strict=False)), **extra}, ROW)


def read_rows(rows: list[Any]) -> list[NativeTrade | FrameError]:
    """Read trades, oldest first: ids do not order those of one millisecond."""
    trades = [try_row(row) for row in rows]
    times = [parse_ms(trade["mts"]) or 0 for trade in trades if not isinstance(trade, FrameError)]
    return trades[::-1] if times and times[0] > times[-1] else trades


def read_response(native_symbol: str, content: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read [[1234567,1790359963339,-0.5,83999.5],...], in either order."""
    trades = read_rows(require_list(content, "trades"))
    return TRADES, [name_symbol(trade, native_symbol) for trade in trades]


def parse_page(content: Any) -> Page:  # noqa: ANN401 - JSON may be anything
    """Read the ids and times of a response, oldest first.

    The next request begins with the last millisecond, of which more trades may follow.
    """
    rows = map(try_row, require_list(content, "trades"))
    page = build_page(rows, lambda trade: int(trade["id"]), lambda trade: parse_ms(trade["mts"]))
    return replace(page, until_ns=max(max(page.times_us, default=0) * 1000 - 1, 0))


def trades_path(native_symbol: str, cursor: Cursor, limit: int) -> str:
    """Return /v2/trades/tBTCUSD/hist?limit=10000&start=1790359963339&sort=1.

    Trades come oldest first, from the first millisecond after the cursor on.
    """
    query = {"limit": limit, "start": cursor.time_ns // 1_000_000 + 1, "sort": 1}
    return f"/v2/trades/{native_symbol}/hist?{urlencode(query)}"


def latest_path(native_symbol: str, limit: int) -> str:
    """Return /v2/trades/tBTCUSD/hist?limit=10000: newest first."""
    return f"/v2/trades/{native_symbol}/hist?{urlencode({'limit': limit})}"


_RATE_CODES = (11010,)
_SYMBOL_CODES = (10300, 10020)


def parse_error(status: int, content: Any) -> RestError | None:  # noqa: ANN401 - JSON may be anything
    """Read ["error",10020,"symbol: invalid"], or {"error":"ERR_RATE_LIMIT"}."""
    if isinstance(content, dict) and "error" in content:
        reason = str(content["error"])
        is_rate = "RATE_LIMIT" in reason
        return RestError(RestErrorKind.RATE_LIMITED if is_rate else RestErrorKind.FAILED, reason)
    if not isinstance(content, list) or content[:1] != ["error"]:
        return error_for_status(status, content, "")
    code, text = [*content[1:], "", ""][:2]
    reason = f"{code} {text}".strip()
    if code in _RATE_CODES or "ratelimit" in str(text):
        return RestError(RestErrorKind.RATE_LIMITED, reason)
    is_permanent = code in _SYMBOL_CODES and str(text).startswith("symbol")
    return RestError(RestErrorKind.PERMANENT if is_permanent else RestErrorKind.FAILED, reason)


# Source: Bitfinex API documentation v2, REST Public, "Trades" (15 requests a minute, at most 10000
# trades).
REST = RestRules(
    url="https://api-pub.bitfinex.com",
    page_rows=10_000,
    latest_page_rows=10_000,
    requests_per_s=0.25,
    burst=1,
    trades_path=trades_path,
    latest_path=latest_path,
    parse_page=parse_page,
    parse_error=parse_error,
    pages_by_time=True,
    shows_gaps=False,
)


def candles_path(native_symbol: str, begin_s: int, end_s: int) -> str:
    """Return /v2/candles/trade:1m:tBTCUSD/hist?start=...&end=...&limit=10000&sort=1."""
    query = {"start": begin_s * 1000, "end": end_s * 1000 - 1, "limit": 10_000, "sort": 1}
    return f"/v2/candles/trade:1m:{native_symbol}/hist?{urlencode(query)}"


def parse_candles(content: Any) -> list[VenueCandle]:  # noqa: ANN401 - JSON may be anything
    """Read [[1790359920000,open,close,high,low,volume],...]."""
    places = {"start_s": 0, "open": 1, "close": 2, "high": 3, "low": 4, "volume": 5}
    return read_candles(content, places, units_per_s=1000)


# Source: Bitfinex API documentation v2, REST Public, "Candles" (30 requests a minute). Minutes
# without trades are left out.
CANDLES = CandleRules(candles_path, 10_000, parse_candles, has_empty_minutes=False, cost=0.5)

ALIASES = {
    "UST": "USDT", "UDC": "USDC", "DSH": "DASH", "IOT": "IOTA", "MNA": "MANA", "QTM": "QTUM",
    "ALG": "ALGO", "ATO": "ATOM", "DAT": "DATA", "QSH": "QASH", "YYW": "YOYOW", "EUT": "EURT",
    "USTF0": "USDT", "BTCF0": "BTC",
}  # fmt: skip
"""Unified codes of assets that Bitfinex names otherwise ("Configs", pub:map:currency:sym)."""


def split_symbol(native_symbol: str, _: Collection[str]) -> Split | None:
    """Split `tBTCUSD` into BTC/USD, `tDUSK:USD` into DUSK/USD, and the perpetual `tBTCF0:USTF0`.

    A symbol without a colon is of two codes of three letters.
    """
    name = native_symbol[1:]
    base, colon, quote = name.partition(":")
    if not colon and len(name) == 6:
        base, quote = name[:3], name[3:]
    if not native_symbol.startswith("t") or not quote or not _is_code(base) or not _is_code(quote):
        return None
    is_perpetual = base.endswith("F0") and quote.endswith("F0")
    if is_perpetual:
        base = base.removesuffix("F0")
    elif "F0" in (base[-2:], quote[-2:]):
        return None
    base, quote = ALIASES.get(base, base), ALIASES.get(quote, quote)
    return f"{base}/{quote}" + (f":{quote}" if is_perpetual else ""), base, quote


def _is_code(text: str) -> bool:
    return text.isascii() and text.isalnum() and text == text.upper()


def parse_markets(answers: Sequence[Any]) -> ListedMarkets:
    """Read the lists of pairs and of perpetuals, and the tickers of all symbols.

    [["BTCUSD","DUSK:USD"]], [["BTCF0:USTF0"]], [["tBTCUSD",BID,BID_SIZE,ASK,ASK_SIZE,CHANGE,
    CHANGE_PERCENT,LAST,VOLUME,HIGH,LOW]]. Turnover is volume at the last price.
    """
    *lists, tickers = answers
    names = [
        name
        for answer in lists
        for names in require_list(answer, "lists of pairs")
        for name in require_list(names, "pairs")
    ]
    by_symbol = {
        row[0]: row
        for row in require_list(tickers, "tickers")
        if isinstance(row, list) and row and isinstance(row[0], str)
    }
    return read_each(names, lambda name: _read_market(name, by_symbol))


def _read_market(name: Any, tickers: dict[str, list[Any]]) -> ListedMarket:  # noqa: ANN401
    native_symbol = f"t{name}"
    split = split_symbol(native_symbol, ()) if isinstance(name, str) else None
    if split is None:
        raise bad_shape("a pair such as BTCUSD or DUSK:USD", name)
    ticker = tickers.get(native_symbol, [])
    price, volume = (
        parse_amount(ticker[place]) if len(ticker) > place else None for place in (7, 8)
    )
    return ListedMarket(
        native_symbol,
        *split,
        kind=MarketKind.PERPETUAL if ":" in split[0] else MarketKind.SPOT,
        price=price,
        turnover=multiply(price, volume),
    )


MARKETS = MarketListRules(
    (
        "/v2/conf/pub:list:pair:exchange",
        "/v2/conf/pub:list:pair:futures",
        "/v2/tickers?symbols=ALL",
    ),
    parse_markets,
)
