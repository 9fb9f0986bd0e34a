"""Bybit spot and linear contracts, WebSocket API v5.

Source: Bybit API documentation (v5), "WebSocket Stream", "Public", "Trade" and "Connect". Each
frame has the type `snapshot`, new trades too. Ids of spot count the trades of all markets
together; those of linear contracts are UUIDs.

BT is a block trade, RPI one with a retail price improvement order. Neither is in the ordinary order
book, and no page tells whether klines count them. Here RPI trades count, block trades do not.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from candlewax.exchanges.bybit_markets import (
    LINEAR_QUOTES,
    SPOT_QUOTES,
    build_markets,
    split_linear,
    split_spot,
)
from candlewax.exchanges.bybit_rest import (
    BLOCK,
    DUMP,
    SIDES,
    TRADES,
    block_condition,
    build_candles,
    build_rest,
)
from candlewax.exchanges.protocol.dialect import Exchange, FrameTemplate, Reading, TradeIds
from candlewax.exchanges.protocol.fields import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    TEXT,
    bad_shape,
    fields_of,
    try_read,
)
from candlewax.exchanges.protocol.trade_format import TradeFormat
from candlewax.exchanges.protocol.websocket import (
    HEARTBEAT,
    OTHER,
    ControlMessage,
    Kind,
    Ping,
    WebSocketRules,
    parse_object,
)

TRADE = {
    **fields_of(TEXT, "i", "s", "S", "p", "v"),
    **fields_of(INTEGER, "T"),
    **fields_of(TEXT, "L", optional=True),
    **fields_of(BOOLEAN, "BT", "RPI", optional=True),
    **fields_of(INTEGER, "seq", optional=True),
}
"""A trade: id, symbol, taker's side, price, size, time in ms, direction of the price."""


PUBLIC_TRADE = TradeFormat(
    "s", "i", "T", "S", "p", "v",
    sides=SIDES,
    condition=block_condition("BT"),
    trade_ids=TradeIds.UNIQUE,
).dialect(TRADE)  # fmt: skip

OLD_TRADE = {
    **fields_of(TEXT, "symbol", "price", "trade_time_ms", "side", "trade_id"),
    **fields_of(NUMBER, "size"),
}
"""A trade of linear contracts before v5, topic `trade`; the first one of a market may be old."""

OLD = TradeFormat(
    "symbol", "trade_id", "trade_time_ms", "side", "price", "size",
    sides=SIDES,
    trade_ids=TradeIds.UNIQUE,
).dialect(OLD_TRADE)  # fmt: skip


def _layout(order: str, trade: str) -> FrameTemplate:
    fields = ",".join(f'"{name}":<{name}>' for name in trade.split())
    heads = {"ts": '"ts":<*>', "type": '"type":"snapshot"'}
    before = '{"topic":<*>,' + ",".join(heads[name] for name in order.split()) + ',"data":['
    return FrameTemplate(PUBLIC_TRADE, f"{{{fields}}}", before, "]}", has_several_trades=True)


LAYOUTS = (
    # Spot: {"topic":"publicTrade.BTCUSDT","ts":1761583474344,"type":"snapshot","data":[{"i":
    # "2290000000923750370","T":1761583474343,"p":"115440.7","v":"0.00903","S":"Buy",
    # "seq":89200463112,"s":"BTCUSDT","BT":false,"RPI":false}]}
    _layout("ts type", "i T p v S seq s BT RPI"),
    _layout("ts type", "i T p v S s BT"),
    # Linear: {"topic":"publicTrade.BTCUSDT","type":"snapshot","ts":1672304486868,"data":[{"T":
    # 1672304486865,"s":"BTCUSDT","S":"Buy","v":"0.001","p":"16578.50","L":"PlusTick",
    # "i":"20f43950-d8dd-5b31-9112-a178eb6023af","BT":false,"RPI":false,"seq":1783284617}]}
    _layout("type ts", "T s S v p L i BT RPI seq"),
    _layout("type ts", "T s S v p L i BT"),
)

_PUBLIC_TRADE: Final = "publicTrade."
_TOPICS: Final = {_PUBLIC_TRADE: (PUBLIC_TRADE, TRADE), "trade.": (OLD, OLD_TRADE)}


def read_frame(frame: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read `publicTrade` and the older `trade`.

    Other topics and all answers are control frames.
    """
    topic = frame.get("topic") if isinstance(frame, dict) else None
    if isinstance(topic, str):
        for prefix, (dialect, shape) in _TOPICS.items():
            if topic.startswith(prefix):
                if not isinstance(frame.get("data"), list):
                    raise bad_shape("an array of trades", frame.get("data"))
                return dialect, [try_read(trade, shape) for trade in frame["data"]]
        return None
    if isinstance(frame, dict) and ("success" in frame or isinstance(frame.get("op"), str)):
        return None
    raise bad_shape("a topic or an answer", frame)


def subscribe(native_symbols: Sequence[str], request: int) -> str:
    """Return {"req_id":"1","op":"subscribe","args":["publicTrade.BTCUSDT"]}."""
    args = [f"{_PUBLIC_TRADE}{symbol}" for symbol in native_symbols]
    message = {"req_id": str(request), "op": "subscribe", "args": args}
    return json.dumps(message, separators=(",", ":"))


def is_trade(frame: str) -> bool:
    """Return whether a frame holds new trades."""
    return frame.startswith('{"topic":"publicTrade.')


_MARKET: Final = re.compile(r"publicTrade\.([A-Z0-9-]+)")


def parse_control(frame: str) -> ControlMessage:
    """Read a reply, which names its request, or the answer to a ping.

    {"success":true,"ret_msg":"subscribe","conn_id":"2324d924","req_id":"1","op":"subscribe"}
    {"success":false,"ret_msg":"Invalid symbol :[publicTrade.NOPEUSDT]","conn_id":"2324d924",
     "req_id":"1","op":"subscribe"}
    {"success":true,"ret_msg":"pong","conn_id":"0970e817","req_id":"ping","op":"ping"}
    """
    reply = parse_object(frame)
    number, operation = str(reply.get("req_id", "")), reply.get("op")
    request = int(number) if number.isascii() and number.isdigit() else None
    if operation in ("ping", "pong"):
        return HEARTBEAT
    if operation != "subscribe":
        return OTHER
    if reply.get("success") is True:
        return ControlMessage(Kind.ACK, request)
    reason = str(reply.get("ret_msg", ""))
    return ControlMessage(Kind.REFUSAL, request, tuple(_MARKET.findall(reason)), reason)


# Sources: "Connect" (at most 10 topics a message for spot, 500 connections in 5 minutes; a ping
# each 20 seconds), "Rate Limit Rules". No limit of messages is documented, nor whether one refused
# topic refuses the others, or a repeated one: each market has a message of its own.
SPOT_LIVE = WebSocketRules(
    url="wss://stream.bybit.com/v5/public/spot",
    symbols_per_connection=100,
    symbols_per_message=1,
    messages_per_s=10,
    connect_every_s=1,
    # Two pings and half of one.
    dead_after_s=50,
    stalled_after_s=60,
    # No maximum age is known.
    max_age_s=None,
    subscribe=subscribe,
    is_trade=is_trade,
    parse_control=parse_control,
    replies_in_order=True,
    ping=Ping('{"req_id":"ping","op":"ping"}', 20),
)

BYBIT = Exchange(
    "bybit",
    LAYOUTS,
    read_frame,
    split_spot,
    SPOT_LIVE,
    build_rest("spot", 60),
    TRADES.read,
    quotes=SPOT_QUOTES,
    known_conditions=frozenset({BLOCK}),
    candles=build_candles("spot"),
    markets=build_markets("spot", split_spot),
)

BYBIT_LINEAR = Exchange(
    "bybit_linear",
    LAYOUTS,
    read_frame,
    split_linear,
    replace(SPOT_LIVE, url="wss://stream.bybit.com/v5/public/linear"),
    build_rest("linear", 1000),
    TRADES.read,
    DUMP,
    quotes=LINEAR_QUOTES,
    known_conditions=frozenset({BLOCK}),
    candles=build_candles("linear"),
    markets=build_markets("linear", split_linear),
)
