"""Bitstamp over REST.

Source: Bitstamp HTTP API, "Market info", "Transactions": `type` 0 is buy, 1 sell; `date` in whole
seconds; no pages. "Market info", "OHLC data", "Markets" and "Currency pair tickers".
"""

from collections.abc import Sequence
from typing import Any, Final

from candlewax.exchanges.protocol.dialect import BUY, SELL, Reading, TradeIds
from candlewax.exchanges.protocol.fields import (
    TEXT,
    Field,
    NativeTrade,
    bad_shape,
    try_read,
)
from candlewax.exchanges.protocol.markets import (
    ListedMarket,
    ListedMarkets,
    MarketKind,
    MarketListRules,
    MarketStatus,
    multiply,
    parse_amount,
    parse_decimals,
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
from candlewax.exchanges.protocol.times import SECONDS, parse_seconds
from candlewax.exchanges.protocol.trade_format import TradeFormat
from candlewax.exchanges.protocol.venue_candles import (
    MINUTE_S,
    CandleRules,
    VenueCandle,
    places_by_name,
    read_candles,
)

SIDES: Final = {"0": BUY, "1": SELL}
SIDE_EXPECTED: Final = "0 for buy or 1 for sell"

ROW = {
    "date": Field(TEXT),
    "tid": Field(TEXT),
    "amount": Field(TEXT),
    "type": Field(TEXT),
    "price": Field(TEXT),
}
"""A row of a response; `tid` is the `id` of the websocket."""

ANSWER = TradeFormat(
    NATIVE_SYMBOL, "tid", "date", "type", "price", "amount",
    time_form=SECONDS,
    sides=SIDES,
    side_expected=SIDE_EXPECTED,
    trade_ids=TradeIds.UNIQUE,
).dialect({**ROW, NATIVE_SYMBOL: Field(TEXT)})  # fmt: skip


def _time(row: NativeTrade) -> int | None:
    return parse_seconds(row["date"])


def read_response(native_symbol: str, content: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read the rows of a response, oldest first, as many share their second.

    [{"date":"1598850699","tid":"121711825","amount":"2.00000000","type":"0","price":"62.28"}]
    """
    trades = (read_row(row, ROW, native_symbol) for row in require_list(content, "rows"))
    return ANSWER, sort_by_number(trades, _number)


def _number(row: NativeTrade) -> int:
    tid = row["tid"]
    return int(tid) if tid.isascii() and tid.isdigit() and len(tid) < 20 else 0


def parse_page(content: Any) -> Page:  # noqa: ANN401 - JSON may be anything
    """Read the numbers and times of a response."""
    rows = (try_read(row, ROW) for row in require_list(content, "rows"))
    return build_time_page(rows, _number, _time)


_SPANS: Final = (("minute", 60), ("hour", 3_600))
_MARGIN_S: Final = 5
"""Seconds that a request may take, and clocks may differ."""


def trades_path(native_symbol: str, cursor: Cursor, limit: int) -> str:  # noqa: ARG001 - no limit exists
    """Return /api/v2/transactions/btcusd/?time=hour.

    It shows all trades of the last minute, hour or day: the shortest that reaches back far enough
    from the time of the request.
    """
    age_s = (cursor.now_ns - cursor.time_ns) / 1e9 + _MARGIN_S
    spans = _SPANS if cursor.now_ns else ()
    span = next((name for name, seconds in spans if age_s <= seconds), "day")
    return f"/api/v2/transactions/{native_symbol}/?time={span}"


def latest_path(native_symbol: str, limit: int) -> str:  # noqa: ARG001 - no limit exists
    """Return /api/v2/transactions/btcusd/?time=hour."""
    return f"/api/v2/transactions/{native_symbol}/?time=hour"


_ERRORS: Final = {"400.002": RestErrorKind.RATE_LIMITED, "400.068": RestErrorKind.PERMANENT}


def parse_error(status: int, content: Any) -> RestError | None:  # noqa: ANN401 - JSON may be anything
    """Read {"response_code":"400.068","response_explanation":"..."}; 404 is an unknown market."""
    row = content if isinstance(content, dict) else {}
    code = str(row.get("response_code", row.get("code", "")))
    text = row.get("response_explanation") or row.get("reason") or row.get("error") or ""
    message = f"{code} {text}".strip()[:200]
    other = RestErrorKind.PERMANENT if status == 404 else None
    return error_of_kind(status, content, message, _ERRORS.get(code, other))


# Sources: Bitstamp HTTP API, "What is API?", "Request limits" (400 requests a second and 10,000 in
# ten minutes, so 16 a second; far fewer are needed) and "Response codes".
REST = RestRules(
    url="https://www.bitstamp.net",
    page_rows=1_000,
    latest_page_rows=1_000,
    requests_per_s=4,
    burst=4,
    trades_path=trades_path,
    latest_path=latest_path,
    parse_page=parse_page,
    parse_error=parse_error,
    pages_by_time=True,
    shows_gaps=False,
    reach_s=86_400,
)


def parse_candles(content: Any) -> list[VenueCandle]:  # noqa: ANN401 - JSON may be anything
    """Read the candles, all of them closed, as the path says.

    {"data":{"pair":"BTC/USD","ohlc":[{"timestamp":"1577776800","open":"7222.32","high":"7222.32",
     "low":"7222.32","close":"7222.32","volume":"0.00762049"}]}}
    """
    data = content.get("data") if isinstance(content, dict) else None
    if not isinstance(data, dict):
        raise bad_shape("an object with data", content)
    return read_candles(data.get("ohlc"), places_by_name("timestamp"))


def candles_path(native_symbol: str, begin_s: int, end_s: int) -> str:
    """Return /api/v2/ohlc/btcusd/?step=60&limit=2&start=1577776800&end=1577776860&...

    The end is the start of the last candle; a candle that is not closed is excluded.
    """
    return (
        f"/api/v2/ohlc/{native_symbol}/?step=60&limit={(end_s - begin_s) // MINUTE_S}"
        f"&start={begin_s}&end={end_s - MINUTE_S}&exclude_current_candle=true"
    )


# Source: Bitstamp HTTP API, "OHLC data" (at most 1000). In recorded answers a minute without
# trades is flat with volume 0.
CANDLES = CandleRules(candles_path, page_minutes=1_000, parse=parse_candles, has_empty_minutes=True)

_STATUSES: Final = {"Enabled": MarketStatus.TRADING}


def parse_markets(answers: Sequence[Any]) -> ListedMarkets:
    """Read the markets and their tickers.

    {"name":"BTC/USD","market_symbol":"btcusd","base_currency":"BTC","counter_currency":"USD",
     "counter_decimals":0,"trading":"Enabled","market_type":"SPOT"}
    {"pair":"BTC/USD","last":"71240","volume":"812.1","vwap":"71100","market":"BTC/USD"}
    """
    rows, tickers = (require_list(content, "markets") for content in answers)
    by_name = rows_by_name(tickers, "pair")

    def read(row: Any) -> ListedMarket:  # noqa: ANN401
        base, quote = (require_text(row, f"{name}_currency") for name in ("base", "counter"))
        is_spot = row.get("market_type", "SPOT") == "SPOT"
        ticker = by_name.get(require_text(row, "name"), {})
        volume, mean = parse_amount(ticker.get("volume")), parse_amount(ticker.get("vwap"))
        decimals = row.get("counter_decimals")
        return ListedMarket(
            require_text(row, "market_symbol"),
            f"{base}/{quote}" if is_spot else f"{base}/{quote}:{quote}",
            base,
            quote,
            MarketKind.SPOT if is_spot else MarketKind.PERPETUAL,
            tick=None if decimals is None else parse_decimals(decimals),
            status=_STATUSES.get(require_text(row, "trading"), MarketStatus.SUSPENDED),
            price=parse_amount(ticker.get("last")),
            turnover=multiply(mean, volume),
        )

    return read_each(rows, read)


MARKETS = MarketListRules(("/api/v2/markets/", "/api/v2/ticker/"), parse_markets)
