"""Kraken spot, WebSocket API v2 and v1.

Source: Kraken API Center, "Spot Websockets (v2)", section "Trade"; "Spot Websockets (v1)", section
"Trade".
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from candlewax.exchanges.kraken_markets import ALIASES, MARKETS
from candlewax.exchanges.kraken_rest import CANDLES, REST, SIDES, read_response
from candlewax.exchanges.protocol.dialect import Exchange, FrameTemplate, Reading, Split, TradeIds
from candlewax.exchanges.protocol.fields import (
    INTEGER,
    NUMBER,
    TEXT,
    Field,
    bad_shape,
    try_read,
)
from candlewax.exchanges.protocol.symbols import split_at_separator
from candlewax.exchanges.protocol.times import ISO, SECONDS
from candlewax.exchanges.protocol.trade_format import TradeFormat
from candlewax.exchanges.protocol.websocket import (
    HEARTBEAT,
    OTHER,
    ControlMessage,
    Kind,
    WebSocketRules,
    parse_object,
    parse_request_id,
    write_message,
)

V2_TRADE = {
    "symbol": Field(TEXT),
    "side": Field(TEXT),
    "price": Field(NUMBER),
    "qty": Field(NUMBER),
    "ord_type": Field(TEXT, optional=True),
    "trade_id": Field(INTEGER),
    "timestamp": Field(TEXT),
}
"""A trade of v2; `side` is the taker's, `trade_id` counts within the symbol."""

V1_TRADE = {
    "price": Field(TEXT),
    "volume": Field(TEXT),
    "time": Field(TEXT),
    "side": Field(TEXT),
    "type": Field(TEXT),
    "misc": Field(TEXT),
    "pair": Field(TEXT),
}
"""A trade of v1, an array without names: price, volume, seconds, side b or s of the taker, order
type l or m, a text.

The pair follows the trades.
"""

_V1_FIELDS = ("price", "volume", "time", "side", "type", "misc")


V2 = TradeFormat(
    "symbol", "trade_id", "timestamp", "side", "price", "qty", time_form=ISO
).dialect(V2_TRADE)  # fmt: skip

_V1 = TradeFormat(
    "pair", "time", "time", "side", "price", "volume",
    time_form=SECONDS,
    sides=SIDES,
    trade_ids=TradeIds.CONTENT,
).dialect(V1_TRADE)  # fmt: skip

_V1_ID = ("time", "price", "volume", "side", "type", "misc")
"""A trade of v1 has no id: these fields, its content, are it."""

V1 = replace(
    _V1,
    columns={**_V1.columns, "trade_id": pl.concat_str(_V1_ID, separator="_")},
    interpret=lambda trade: _V1.interpret(trade)._replace(
        trade_id="_".join(trade[name] for name in _V1_ID)
    ),
)

LAYOUTS = (
    # {"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"buy",
    #  "price":0.5147,"qty":6423.46326,"ord_type":"limit","trade_id":4665846,
    #  "timestamp":"2023-09-25T07:48:36.925533Z"}]}
    FrameTemplate(
        V2,
        '{"symbol":<symbol>,"side":<side>,"price":<price>,"qty":<qty>,"ord_type":<ord_type>,'
        '"trade_id":<trade_id>,"timestamp":<timestamp>}',
        before='{"channel":"trade","type":<*>,"data":[',
        after="]}",
        has_several_trades=True,
    ),
    # [0,[["5541.20000","0.15850568","1534614057.321597","s","l",""]],"trade","XBT/USD"]
    FrameTemplate(
        V1,
        "[<price>,<volume>,<time>,<side>,<type>,<misc>]",
        before="[<*>,[",
        after='],"trade",<pair>]',
        has_several_trades=True,
    ),
)


def read_frame(frame: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read v2 objects and v1 arrays.

    Other channels, acknowledgements, status messages, heartbeats and REST responses are control
    frames.
    """
    if isinstance(frame, list):
        return _read_v1(frame)
    if not isinstance(frame, dict):
        raise bad_shape("an object or an array", frame)
    if frame.get("channel") == "trade" and "data" in frame:
        return V2, [try_read(trade, V2_TRADE) for trade in _require_array(frame["data"])]
    if any(isinstance(frame.get(name), str) for name in ("channel", "method", "event", "feed")):
        return None
    if "result" in frame or "error" in frame:
        return None
    raise bad_shape("a channel, an event or an answer", frame)


def _read_v1(frame: list[Any]) -> Reading:
    # [channel, data, ..., channel name, pair]
    if len(frame) < 4 or not all(isinstance(name, str) for name in frame[-2:]):
        raise bad_shape("[channel, data, name, pair]", frame)
    name, pair = frame[-2:]
    if name != "trade":
        return None
    return V1, [try_read(_with_names(trade, pair), V1_TRADE) for trade in _require_array(frame[1])]


def _with_names(trade: Any, pair: str) -> Any:  # noqa: ANN401 - JSON may be anything
    if not isinstance(trade, list) or len(trade) != len(_V1_FIELDS):
        return trade
    return {**dict(zip(_V1_FIELDS, trade, strict=True)), "pair": pair}


def _require_array(value: Any) -> list[Any]:  # noqa: ANN401 - JSON may be anything
    if not isinstance(value, list):
        raise bad_shape("an array of trades", value)
    return value


def split_symbol(native_symbol: str, _: Collection[str]) -> Split | None:
    """Split `XBT/USD` into BTC/USD."""
    pair = split_at_separator(native_symbol, "/", ALIASES)
    return pair and ("/".join(pair), *pair)


def subscribe(native_symbols: Sequence[str], request: int) -> str:
    """Return the message that subscribes, with a snapshot of the last 50 trades.

    {"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"],
    "snapshot":true},"req_id":1}

    The snapshot fills trades missed while not connected.
    """
    params = {"channel": "trade", "symbol": list(native_symbols), "snapshot": True}
    message = {"method": "subscribe", "params": params, "req_id": request}
    return write_message(message)


def is_trade(frame: str) -> bool:
    """Return whether a frame holds new trades; a snapshot holds old ones."""
    return frame.startswith('{"channel":"trade","type":"update"')


def parse_control(frame: str) -> ControlMessage:
    """Read a reply, one for each symbol, or a heartbeat.

    {"method":"subscribe","req_id":1,"result":{"channel":"trade","symbol":"BTC/USD"},
     "success":true}
    {"error":"Currency pair not supported FOO/USD","method":"subscribe","req_id":1,
     "success":false,"symbol":"FOO/USD"}
    {"channel":"heartbeat"}
    """
    reply = parse_object(frame)
    if reply.get("channel") == "heartbeat" or reply.get("event") == "heartbeat":
        return HEARTBEAT
    if reply.get("method") != "subscribe":
        return OTHER
    result, request = reply.get("result"), parse_request_id(reply.get("req_id"))
    symbol = (result if isinstance(result, dict) else reply).get("symbol")
    symbols = (symbol,) if isinstance(symbol, str) else ()
    reason = str(reply.get("error", ""))
    if reply.get("success") is True or reason.startswith("Already subscribed"):
        return ControlMessage(Kind.ACK, request, symbols)
    # A refusal names its symbol; "Exceeded msg rate" refuses none.
    return ControlMessage(Kind.REFUSAL, request if symbols else None, symbols, reason)


# Sources: Kraken API Center, "Spot WebSocket (v2)", sections "Trade" (messages) and
# "Heartbeat" (one a second when nothing else is sent, once there is a subscription);
# guide "Reconnection and resilience" (without any message for about 5 seconds a
# client reconnects); "Spot WebSocket Introduction", section "General
# Considerations" (about 150 connections in 10 minutes; no number for messages).
LIVE = WebSocketRules(
    url="wss://ws.kraken.com/v2",
    symbols_per_connection=100,
    symbols_per_message=50,
    messages_per_s=3,
    connect_every_s=4,
    # Twice the 5 seconds advised: a machine that swaps or compiles delays messages too.
    dead_after_s=10,
    stalled_after_s=60,
    # No maximum age is known.
    max_age_s=None,
    subscribe=subscribe,
    is_trade=is_trade,
    parse_control=parse_control,
)

KRAKEN = Exchange(
    "kraken",
    LAYOUTS,
    read_frame,
    split_symbol,
    LIVE,
    REST,
    read_response,
    candles=CANDLES,
    markets=MARKETS,
)
