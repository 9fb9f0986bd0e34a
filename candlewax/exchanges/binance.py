"""Binance spot.

Source: Binance Spot API documentation, "WebSocket Streams", sections "General WSS information" and
"Trade Streams".
"""

import json
from collections.abc import Callable, Collection, Sequence
from typing import Any

import polars as pl

from candlewax.exchanges.binance_markets import MARKETS
from candlewax.exchanges.binance_rest import (
    CANDLES,
    DUMP,
    REST,
    TIME_EXPECTED,
    daily_files_of,
    parse_time,
    read_response,
    to_microseconds,
)
from candlewax.exchanges.protocol.dialect import (
    BUY,
    SELL,
    Dialect,
    Exchange,
    FrameTemplate,
    Meaning,
    Reading,
    Spelling,
    Split,
)
from candlewax.exchanges.protocol.fields import (
    BOOLEAN,
    INTEGER,
    TEXT,
    Field,
    FrameError,
    NativeTrade,
    bad_shape,
    read_trade,
)
from candlewax.exchanges.protocol.symbols import split_before_quote
from candlewax.exchanges.protocol.websocket import (
    OTHER,
    SHUTDOWN,
    ControlMessage,
    Kind,
    WebSocketRules,
    parse_object,
    parse_request_id,
)

TRADE = {
    "E": Field(INTEGER),
    "s": Field(TEXT),
    "t": Field(INTEGER),
    "p": Field(TEXT),
    "q": Field(TEXT),
    "b": Field(INTEGER, optional=True),
    "a": Field(INTEGER, optional=True),
    "T": Field(INTEGER),
    "X": Field(TEXT, optional=True),
    "m": Field(BOOLEAN),
    "M": Field(BOOLEAN, optional=True),
    "st": Field(INTEGER, optional=True),
}
"""A trade.

E event time, s symbol, t trade id, p price, q quantity, b and a the orders of buyer and seller, T
trade time, X kind of trade (futures), m the buyer is the maker, M to be ignored, st kind of
contract (futures).
"""


def build_columns(condition: pl.Expr) -> dict[str, pl.Expr]:
    """Return the meaning of the fields; `condition` differs between the markets."""
    return {
        "native_symbol": pl.col("s"),
        "trade_id": pl.col("t"),
        "time": to_microseconds("T"),
        # If the buyer was the maker, the taker sold.
        "side": pl.when(pl.col("m") == "true").then(SELL).otherwise(BUY).cast(pl.Int8),
        "price": pl.col("p"),
        "quantity": pl.col("q"),
        "condition": condition,
    }


def build_interpreter(
    condition: Callable[[NativeTrade], str | None],
) -> Callable[[NativeTrade], Meaning]:
    """Return what gives the same meaning of one trade."""

    def interpret(trade: NativeTrade) -> Meaning:
        time, side = parse_time(trade["T"]), SELL if trade["m"] == "true" else BUY
        return Meaning(trade["s"], trade["t"], time, side, trade["p"], trade["q"], condition(trade))

    return interpret


MAPPED = frozenset({"s", "t", "p", "q", "T", "m"})

SPELLINGS = {
    "time": Spelling("T", TIME_EXPECTED),
    "side": Spelling("m", "true or false"),
}

SPOT = Dialect(
    TRADE,
    build_columns(pl.lit(None, pl.String)),
    build_interpreter(lambda _: None),
    MAPPED,
    SPELLINGS,
)


def build_layouts(dialect: Dialect, *trades: str) -> tuple[FrameTemplate, ...]:
    """Return each layout within the envelope of a combined stream, and bare."""
    return tuple(
        layout
        for trade in trades
        for layout in (
            FrameTemplate(dialect, trade, before='{"stream":<*>,"data":', after="}"),
            FrameTemplate(dialect, trade),
        )
    )


LAYOUTS = build_layouts(
    SPOT,
    '{"e":"trade","E":<E>,"s":<s>,"t":<t>,"p":<p>,"q":<q>,"T":<T>,"m":<m>,"M":<M>}',
    # Until 2024, with the orders of buyer and seller.
    '{"e":"trade","E":<E>,"s":<s>,"t":<t>,"p":<p>,"q":<q>,"b":<b>,"a":<a>,"T":<T>,"m":<m>,"M":<M>}',
)

_CONTROL = ("e", "event", "result", "error", "code", "lastUpdateId", "symbol", "serverTime")
_BOOK_TICKER = {"u", "s", "b", "B", "a", "A"}


def read_frame(dialect: Dialect, frame: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read a bare frame or one in the envelope `{"stream": ..., "data": ...}`.

    Other events (depth, bookTicker, kline, aggTrade), acknowledgements, errors and REST responses
    are control frames.
    """
    if isinstance(frame, dict) and "stream" in frame and "data" in frame:
        frame = frame["data"]
    if isinstance(frame, list) and frame and all(isinstance(item, dict) for item in frame):
        return None
    if not isinstance(frame, dict):
        raise bad_shape("an object", frame)
    if frame.get("e") == "trade":
        return dialect, [_read_one(frame, dialect)]
    if any(name in frame for name in _CONTROL) or frame.keys() >= _BOOK_TICKER:
        return None
    raise bad_shape("an event, an answer or an error", frame)


def _read_one(frame: dict[str, Any], dialect: Dialect) -> dict[str, str] | FrameError:
    return read_trade(frame, dialect.shape, ignored=frozenset({"e"}))


QUOTES = (
    "USDT", "USDC", "FDUSD", "TUSD", "BUSD", "USDP", "PAX", "USDS", "UST", "DAI", "AEUR", "EURI",
    "USD1", "RLUSD", "XUSD", "BFUSD", "U", "BTC", "ETH", "BNB", "XRP", "TRX", "DOGE", "DOT", "SOL",
    "EUR", "GBP", "AUD", "TRY", "BRL", "RUB", "UAH", "NGN", "ZAR", "IDRT", "BIDR", "BKRW", "BVND",
    "PLN", "RON", "ARS", "JPY", "MXN", "CZK", "COP", "IDR", "USD", "VAI",
)  # fmt: skip
"""Quote assets of Binance, past and present.

A native symbol has no separator: it is split before the quote that ends it. If several fit, the
known assets decide.
"""


def split_symbol(native_symbol: str, assets: Collection[str]) -> Split | None:
    """Split `BTCUSDT` into BTC/USDT."""
    pair = split_before_quote(native_symbol, QUOTES, assets)
    return pair and ("/".join(pair), *pair)


def subscribe(native_symbols: Sequence[str], request: int) -> str:
    """Return {"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}."""
    params = [f"{native_symbol.lower()}@trade" for native_symbol in native_symbols]
    return json.dumps(
        {"method": "SUBSCRIBE", "params": params, "id": request}, separators=(",", ":")
    )


def is_trade(frame: str) -> bool:
    """Return whether a frame, bare or in its envelope, is a trade."""
    return frame.find('"e":"trade"', 0, 96) > 0


def parse_control(frame: str) -> ControlMessage:
    """Read a reply or an announcement.

    {"result":null,"id":1}
    {"code":2,"msg":"Invalid request: ...","id":1}, or {"error":{"code":2,"msg":"..."},"id":1}
    {"e":"serverShutdown","E":1770123456789}, or the same in an envelope "data" or "event"
    """
    reply = parse_object(frame)
    for event in (reply, reply.get("data"), reply.get("event")):
        if isinstance(event, dict) and event.get("e") == "serverShutdown":
            return SHUTDOWN
    request, error = parse_request_id(reply.get("id")), reply.get("error", reply)
    if isinstance(error, dict) and "code" in error and "msg" in error:
        return ControlMessage(Kind.REFUSAL, request, reason=str(error["msg"]))
    if request is not None and reply.get("result", "") is None:
        return ControlMessage(Kind.ACK, request)
    return OTHER


# Sources: Binance Spot API documentation, "WebSocket Streams", sections "General WSS
# information" (hosts, 24 hours, pings), "WebSocket Limits" (5 messages a second with pings
# and pongs, 1024 streams, 300 connections in 5 minutes), "Server Shutdown", "Live
# Subscribing/Unsubscribing to streams" and "Error Messages".
LIVE = WebSocketRules(
    # This host serves market data only: it needs port 443 alone, has no accounts, and answers
    # in countries where the exchange itself may not be used.
    url="wss://data-stream.binance.vision/stream",
    # Far below 1024. A message of 100 stays below 4096 bytes; clients saw longer ones refused.
    symbols_per_connection=200,
    symbols_per_message=100,
    # Below the limit of 5, as pings and pongs count too.
    messages_per_s=3,
    connect_every_s=1.2,
    # Binance sends no heartbeats as messages: the pings of both sides reveal a dead
    # connection, and a minute without a trade of any symbol a stalled one.
    dead_after_s=None,
    stalled_after_s=60,
    # Binance closes a connection after 24 hours.
    max_age_s=23.5 * 3600,
    subscribe=subscribe,
    is_trade=is_trade,
    parse_control=parse_control,
)

BINANCE = Exchange(
    "binance",
    LAYOUTS,
    lambda frame: read_frame(SPOT, frame),
    split_symbol,
    LIVE,
    REST,
    read_response,
    DUMP,
    quotes=QUOTES,
    candles=CANDLES,
    daily_files=daily_files_of("spot"),
    markets=MARKETS,
)
