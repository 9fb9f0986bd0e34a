"""Coinbase Exchange over REST.

Source: Coinbase Developer Documentation, Exchange REST API, "Get product trades": `side` is the
maker's, as everywhere at Coinbase.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

import polars as pl

from candlewax.exchanges.protocol.dialect import BUY, SELL, Dialect, Meaning, Reading, Spelling
from candlewax.exchanges.protocol.fields import (
    INTEGER,
    TEXT,
    Field,
    NativeTrade,
    bad_shape,
    try_read,
)
from candlewax.exchanges.protocol.markets import (
    ListedMarket,
    ListedMarkets,
    MarketListRules,
    MarketStatus,
    multiply,
    parse_amount,
    parse_step,
    read_each,
    require_text,
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
from candlewax.exchanges.protocol.times import ISO_EXPECTED, iso_time, parse_iso_time
from candlewax.exchanges.protocol.venue_candles import (
    MINUTE_S,
    CandleRules,
    VenueCandle,
    read_candles,
)

_MAKER = pl.col("side").str.to_lowercase()

COLUMNS = {
    "native_symbol": pl.col("product_id"),
    "trade_id": pl.col("trade_id"),
    "time": iso_time("time"),
    "side": pl.when(_MAKER == "sell").then(BUY).when(_MAKER == "buy").then(SELL).cast(pl.Int8),
    "price": pl.col("price"),
    "quantity": pl.col("size"),
    "condition": pl.lit(None, pl.String),
}

# The taker's side by the maker's.
_SIDES = {"sell": BUY, "buy": SELL}


def build_interpreter(symbol_field: str) -> Callable[[NativeTrade], Meaning]:
    """Return what gives the same meaning of one trade, with the symbol in a field."""

    def interpret(trade: NativeTrade) -> Meaning:
        return Meaning(
            trade[symbol_field],
            trade["trade_id"],
            parse_iso_time(trade["time"]),
            _SIDES.get(trade["side"].lower()),
            trade["price"],
            trade["size"],
        )

    return interpret


MAPPED = frozenset({"product_id", "trade_id", "price", "size", "side", "time"})

SPELLINGS = {
    "time": Spelling("time", ISO_EXPECTED),
    "side": Spelling("side", "BUY or SELL, the maker's"),
}

ROW = {
    "trade_id": Field(INTEGER),
    "side": Field(TEXT),
    "size": Field(TEXT),
    "price": Field(TEXT),
    "time": Field(TEXT),
}

ANSWER = Dialect(
    ROW,
    {**COLUMNS, "native_symbol": pl.col(NATIVE_SYMBOL)},
    build_interpreter(NATIVE_SYMBOL),
    MAPPED | {NATIVE_SYMBOL},
    SPELLINGS,
)


def read_response(native_symbol: str, content: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read a response with trades, latest first.

    [{"time":"2020-03-20T00:36:59.860Z","trade_id":86327327,"price":"6225.32000000",
      "size":"0.06469797","side":"sell"}]
    """
    return ANSWER, [read_row(row, ROW, native_symbol) for row in require_list(content, "trades")]


def parse_page(content: Any) -> Page:  # noqa: ANN401 - JSON may be anything
    """Read the numbers and times of a response."""
    trades = (try_read(row, ROW) for row in require_list(content, "trades"))
    return build_page(trades, lambda trade: int(trade["trade_id"]), _time)


def _time(trade: NativeTrade) -> int | None:
    return parse_iso_time(trade["time"])


def trades_path(native_symbol: str, cursor: Cursor, limit: int) -> str:
    """Return /products/BTC-USD/trades?limit=1000&after=86328327, for trades older than that.

    The trades behind a number are the latest before the number `limit` further on; `before` would
    give the latest of all instead of the next.
    """
    return f"{latest_path(native_symbol, limit)}&after={cursor.number + limit}"


def latest_path(native_symbol: str, limit: int) -> str:
    """Return /products/BTC-USD/trades?limit=1000."""
    return f"/products/{quote(native_symbol, safe='')}/trades?limit={limit}"


def parse_error(status: int, content: Any) -> RestError | None:  # noqa: ANN401 - JSON may be anything
    """Read {"message":"NotFound"} with status 404, or 429 for too many requests."""
    message = str(content.get("message", ""))[:200] if isinstance(content, dict) else ""
    if status == 404 and message == "NotFound":
        return RestError(RestErrorKind.PERMANENT, "NotFound: no such product")
    return error_for_status(status, content, message)


# Sources: Coinbase Developer Documentation, Exchange REST API, "Get product trades" (side
# is the maker's), "Exchange REST API Pagination" (at most 1000; `after` is older) and "REST
# Rate Limits Overview" (10 requests a second for an address, 15 at once; 429 beyond). Half
# of it is left to other programs.
REST = RestRules(
    url="https://api.exchange.coinbase.com",
    page_rows=1000,
    latest_page_rows=1000,
    requests_per_s=5,
    burst=5,
    trades_path=trades_path,
    latest_path=latest_path,
    parse_page=parse_page,
    parse_error=parse_error,
    page_counts_numbers=True,
)

_CANDLE = {"start_s": 0, "low": 1, "high": 2, "open": 3, "close": 4, "volume": 5}


def parse_candles(content: Any) -> list[VenueCandle]:  # noqa: ANN401 - JSON may be anything
    """Read rows of start, low, high, open, close and volume, latest first.

    [[1415398768,0.32,4.2,0.35,4.2,12.3]]
    """
    return read_candles(content, _CANDLE)


def candles_path(native_symbol: str, begin_s: int, end_s: int) -> str:
    """Return /products/BTC-USD/candles?granularity=60&start=2026-09-15T12:00:00Z&end=...

    Both times are included.
    """
    start, end = (
        datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        for time_s in (begin_s, end_s - MINUTE_S)
    )
    query = {"granularity": MINUTE_S, "start": start, "end": end}
    return f"/products/{quote(native_symbol, safe='')}/candles?{urlencode(query)}"


# Source: Coinbase Developer Documentation, Exchange REST API, "Get product candles" (at most 300,
# else the request is refused; some may precede the start; "no data is published for intervals where
# there are no ticks"; the data "may be incomplete").
CANDLES = CandleRules(candles_path, page_minutes=299, parse=parse_candles, has_empty_minutes=False)


def parse_markets(answers: Sequence[Any]) -> ListedMarkets:
    """Read the products and their statistics, which have the volume in the base.

    [{"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","quote_increment":"0.01",
      "status":"online","trading_disabled":false}]
    {"BTC-USD":{"stats_24hour":{"volume":"7163.2","last":"71240.55"}}}
    """
    products, stats = answers
    if not isinstance(stats, dict):
        raise bad_shape("an object with the statistics of products", stats)

    def read(row: Any) -> ListedMarket:  # noqa: ANN401 - JSON may be anything
        product, base, quote_asset = (
            require_text(row, name) for name in ("id", "base_currency", "quote_currency")
        )
        found = stats.get(product)
        day = found.get("stats_24hour") if isinstance(found, dict) else None
        numbers = day if isinstance(day, dict) else {}
        price, volume = (parse_amount(numbers.get(name)) for name in ("last", "volume"))
        return ListedMarket(
            product,
            f"{base}/{quote_asset}",
            base,
            quote_asset,
            tick=parse_step(row.get("quote_increment")),
            status=_status(row),
            price=price,
            turnover=multiply(price, volume),
        )

    return read_each(require_list(products, "products"), read)


def _status(row: dict[str, Any]) -> MarketStatus:
    status = require_text(row, "status")
    if status == "online" and not row.get("trading_disabled"):
        return MarketStatus.TRADING
    return MarketStatus.DELISTED if status == "delisted" else MarketStatus.SUSPENDED


# Source: Coinbase Developer Documentation, Exchange REST API, "Get all known trading pairs". The
# statistics of all products at once are not documented; clients use them.
MARKETS = MarketListRules(("/products", "/products/stats"), parse_markets)
