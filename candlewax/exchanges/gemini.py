"""Gemini: the WebSocket API of 2025, and market data v2 before it.

Source: Gemini developer documentation, WebSocket, "Message Format", "Streams", section "Trade
Stream"; "Market Data v2 (Archived)", section "Level 2 Data".
"""

import re
from collections.abc import Collection, Sequence
from typing import Any, Final

from candlewax.exchanges.gemini_rest import CANDLES, MARKETS, REST, read_response
from candlewax.exchanges.protocol.dialect import (
    BUY,
    SELL,
    Exchange,
    FrameTemplate,
    Reading,
    Split,
    TradeIds,
)
from candlewax.exchanges.protocol.fields import (
    BOOLEAN,
    INTEGER,
    TEXT,
    Field,
    bad_shape,
    try_read,
)
from candlewax.exchanges.protocol.rest import sort_by_number
from candlewax.exchanges.protocol.symbols import split_before_quote
from candlewax.exchanges.protocol.times import NANOSECONDS
from candlewax.exchanges.protocol.trade_format import TradeFormat
from candlewax.exchanges.protocol.websocket import (
    HEARTBEAT,
    OTHER,
    ControlMessage,
    Kind,
    Ping,
    WebSocketRules,
    parse_object,
    write_message,
)

TRADE = {
    "E": Field(INTEGER),
    "s": Field(TEXT),
    "t": Field(INTEGER),
    "p": Field(TEXT),
    "q": Field(TEXT),
    "m": Field(BOOLEAN),
}
"""A trade of a trade stream: `E` is nanoseconds, `m` that the buyer is the maker. It has no type.

{"E":1759291200000000001,"s":"btcusd","t":2,"p":"71240.55000","q":"0.5000000000","m":false}
"""

V2_TRADE = {
    "type": Field(TEXT),
    "symbol": Field(TEXT),
    "event_id": Field(INTEGER),
    "timestamp": Field(INTEGER),
    "price": Field(TEXT),
    "quantity": Field(TEXT),
    "side": Field(TEXT),
}
"""A trade of market data v2: `timestamp` is milliseconds, `side` the taker's.

{"type":"trade","symbol":"BTCUSD","event_id":2,"timestamp":1560976400428,"price":"9122.04",
 "quantity":"0.0073","side":"sell"}
"""

STREAM = TradeFormat(
    "s", "t", "E", "m", "p", "q",
    time_form=NANOSECONDS,
    sides={"true": SELL, "false": BUY},
    trade_ids=TradeIds.UNIQUE,
).dialect(TRADE)  # fmt: skip

V2 = TradeFormat(
    "symbol", "event_id", "timestamp", "side", "price", "quantity",
    trade_ids=TradeIds.UNIQUE,
    redundant=("type",),
).dialect(V2_TRADE)  # fmt: skip

LAYOUTS = (
    FrameTemplate(STREAM, '{"E":<E>,"s":<s>,"t":<t>,"p":<p>,"q":<q>,"m":<m>}'),
    FrameTemplate(
        V2,
        '{"type":"trade","symbol":<symbol>,"event_id":<event_id>,"timestamp":<timestamp>,'
        '"price":<price>,"quantity":<quantity>,"side":<side>}',
    ),
)


def read_frame(frame: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read trades of both APIs; replies, and frames of other streams, are control frames."""
    if not isinstance(frame, dict):
        raise bad_shape("an object", frame)
    kind = frame.get("type")
    if kind == "trade":
        return V2, [try_read(frame, V2_TRADE)]
    if kind == "l2_updates":
        trades = frame.get("trades", [])
        if not isinstance(trades, list):
            raise bad_shape("an array of trades", trades)
        # A snapshot may have them in any order.
        read = [try_read(trade, V2_TRADE) for trade in trades]
        return (V2, sort_by_number(read, lambda trade: int(trade["event_id"]))) if read else None
    if isinstance(kind, str) or "status" in frame:
        return None
    if frame.get("e", "trade") != "trade" or "B" in frame:
        return None
    if "t" not in frame and "m" not in frame:
        raise bad_shape("a trade, a type, an event or a status", frame)
    return STREAM, [try_read(frame, TRADE)]


QUOTES: Final = (
    "USD", "GUSD", "USDC", "USDT", "RLUSD", "DAI", "EUR", "GBP", "SGD", "BTC", "ETH", "LTC", "BCH",
    "SOL", "FIL",
)  # fmt: skip
"""Quote assets, as symbols have no separator."""


def split_symbol(native_symbol: str, assets: Collection[str]) -> Split | None:
    """Split `btcusd`, or `BTCUSD` of market data v2. Perpetuals, `btcgusdperp`, must be listed."""
    if native_symbol not in (native_symbol.lower(), native_symbol.upper()):
        return None
    pair = split_before_quote(native_symbol.upper(), QUOTES, assets)
    return pair and ("/".join(pair), *pair)


def subscribe(native_symbols: Sequence[str], request: int) -> str:
    """Return {"id":"1","method":"subscribe","params":["btcusd@trade"]}."""
    params = [f"{symbol}@trade" for symbol in native_symbols]
    message = {"id": str(request), "method": "subscribe", "params": params}
    return write_message(message)


def is_trade(frame: str) -> bool:
    """Return whether a frame holds new trades."""
    return frame.startswith('{"E":') and '"t":' in frame and '"m":' in frame


_PING: Final = "ping"
_TOO_OFTEN: Final = 429
_is_number: Final = re.compile("[0-9]{1,9}").fullmatch


def parse_control(frame: str) -> ControlMessage:
    """Read a reply to a request or to a ping.

    {"id":"1","status":200}
    {"id":"1","status":400,"error":{"code":-1121,"msg":"Invalid symbol"}}
    """
    reply = parse_object(frame)
    request, status, error = (reply.get(name) for name in ("id", "status", "error"))
    if request == _PING or reply.get("type") == "heartbeat":
        return HEARTBEAT
    if not isinstance(status, int) or isinstance(status, bool) or status == _TOO_OFTEN:
        return OTHER
    number = int(request) if isinstance(request, str) and _is_number(request) else None
    if status == 200:
        return ControlMessage(Kind.ACK, number)
    text = error.get("msg") if isinstance(error, dict) else None
    return ControlMessage(Kind.REFUSAL, number, (), str(text or f"status {status}"))


# Sources: Gemini developer documentation, WebSocket, "Message Format" (a reply has the id of its
# request), methods `subscribe` and `ping`. Limits are not documented: clients subscribe more than
# 300 streams in one message.
LIVE = WebSocketRules(
    url="wss://ws.gemini.com",
    symbols_per_connection=100,
    symbols_per_message=50,
    messages_per_s=5,
    connect_every_s=1,
    # A ping is answered at once.
    dead_after_s=30,
    stalled_after_s=120,
    # No maximum age is documented.
    max_age_s=None,
    subscribe=subscribe,
    is_trade=is_trade,
    parse_control=parse_control,
    rejects_whole_message=True,
    ping=Ping('{"id":"ping","method":"ping"}', 10),
)

GEMINI = Exchange(
    "gemini",
    LAYOUTS,
    read_frame,
    split_symbol,
    LIVE,
    REST,
    read_response,
    quotes=QUOTES,
    candles=CANDLES,
    markets=MARKETS,
)
