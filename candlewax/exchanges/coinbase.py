"""Coinbase: Advanced Trade and Exchange.

Source: Coinbase Developer Documentation, "Advanced Trade WebSocket", section "Market Trades
Channel"; "Exchange WebSocket", section "Matches Channel". In both `side` is the maker's: if the
maker sold, the taker bought.
"""

import re
from collections.abc import Collection, Sequence
from typing import Any

from candlewax.exchanges.coinbase_rest import (
    CANDLES,
    COLUMNS,
    MAPPED,
    MARKETS,
    REST,
    SPELLINGS,
    build_interpreter,
    read_response,
)
from candlewax.exchanges.protocol.dialect import Dialect, Exchange, FrameTemplate, Reading, Split
from candlewax.exchanges.protocol.fields import (
    INTEGER,
    TEXT,
    Field,
    bad_shape,
    read_trade,
    try_read,
)
from candlewax.exchanges.protocol.symbols import split_at_separator
from candlewax.exchanges.protocol.websocket import (
    HEARTBEAT,
    OTHER,
    ControlMessage,
    Kind,
    WebSocketRules,
    parse_object,
    write_message,
)

ADVANCED_TRADE = {
    "product_id": Field(TEXT),
    "trade_id": Field(TEXT),
    "price": Field(TEXT),
    "size": Field(TEXT),
    "side": Field(TEXT),
    "time": Field(TEXT),
}

MATCH = {
    "type": Field(TEXT),
    "trade_id": Field(INTEGER),
    "maker_order_id": Field(TEXT, optional=True),
    "taker_order_id": Field(TEXT, optional=True),
    "side": Field(TEXT),
    "size": Field(TEXT),
    "price": Field(TEXT),
    "product_id": Field(TEXT),
    "sequence": Field(INTEGER, optional=True),
    "time": Field(TEXT),
}
"""A match; `sequence` counts the messages of the order book, not its trades."""

ADVANCED = Dialect(ADVANCED_TRADE, COLUMNS, build_interpreter("product_id"), MAPPED, SPELLINGS)
EXCHANGE = Dialect(MATCH, COLUMNS, build_interpreter("product_id"), MAPPED, SPELLINGS)

LAYOUTS = (
    # As recorded in 2026.
    FrameTemplate(
        ADVANCED,
        '{"product_id":<product_id>,"trade_id":<trade_id>,"price":<price>,"size":<size>,'
        '"time":<time>,"side":<side>}',
        before='{"channel":"market_trades","timestamp":<*>,"sequence_num":<*>,'
        '"events":[{"type":<*>,"trades":[',
        after="]}]}",
        has_several_trades=True,
    ),
    # As documented.
    FrameTemplate(
        ADVANCED,
        '{"trade_id":<trade_id>,"product_id":<product_id>,"price":<price>,"size":<size>,'
        '"side":<side>,"time":<time>}',
        before='{"channel":"market_trades","client_id":<*>,"timestamp":<*>,"sequence_num":<*>,'
        '"events":[{"type":<*>,"trades":[',
        after="]}]}",
        has_several_trades=True,
    ),
    FrameTemplate(
        EXCHANGE,
        '{"type":<type>,"trade_id":<trade_id>,"maker_order_id":<maker_order_id>,'
        '"taker_order_id":<taker_order_id>,"side":<side>,"size":<size>,"price":<price>,'
        '"product_id":<product_id>,"sequence":<sequence>,"time":<time>}',
    ),
)


def read_frame(frame: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read `market_trades` and `match` or `last_match`.

    Other channels, acknowledgements, heartbeats and errors are control frames.
    """
    if not isinstance(frame, dict):
        raise bad_shape("an object", frame)
    if frame.get("channel") == "market_trades":
        return ADVANCED, [
            try_read(trade, ADVANCED_TRADE)
            for event in _require_array(frame.get("events"), "events")
            for trade in _trades(event)
        ]
    if frame.get("type") in ("match", "last_match"):
        return EXCHANGE, [read_trade(frame, MATCH)]
    if any(isinstance(frame.get(name), str) for name in ("channel", "type")):
        return None
    raise bad_shape("a channel or a type", frame)


def _trades(event: Any) -> list[Any]:  # noqa: ANN401 - JSON may be anything
    if not isinstance(event, dict):
        raise bad_shape("an event object", event)
    return _require_array(event.get("trades"), "trades")


def _require_array(value: Any, noun: str) -> list[Any]:  # noqa: ANN401 - JSON may be anything
    if not isinstance(value, list):
        raise bad_shape(f"an array of {noun}", value)
    return value


def split_symbol(native_symbol: str, _: Collection[str]) -> Split | None:
    """Split `BTC-USD` into BTC/USD."""
    pair = split_at_separator(native_symbol, "-", {})
    return pair and ("/".join(pair), *pair)


HEARTBEATS = '{"type":"subscribe","channel":"heartbeats"}'

_PRODUCT = re.compile(r"\b[A-Z0-9]+-[A-Z0-9]+\b")


def subscribe(native_symbols: Sequence[str], request: int) -> str:  # noqa: ARG001 - Coinbase takes no id
    """Return {"type":"subscribe","product_ids":["BTC-USD"],"channel":"market_trades"}."""
    message = {"type": "subscribe", "product_ids": list(native_symbols), "channel": "market_trades"}
    return write_message(message)


def is_trade(frame: str) -> bool:
    """Return whether a frame holds new trades; a snapshot holds old ones."""
    return frame.startswith('{"channel":"market_trades"') and '"type":"update"' in frame


def parse_control(frame: str) -> ControlMessage:
    """Read a reply, which names all products subscribed so far, or a heartbeat.

    {"channel":"subscriptions",...,"events":[{"subscriptions":{"market_trades":["BTC-USD"]}}]}
    {"type":"error","message":"..."}
    {"channel":"heartbeats",...,"events":[{"current_time":"...","heartbeat_counter":"1"}]}
    """
    reply = parse_object(frame)
    if reply.get("channel") == "heartbeats":
        return HEARTBEAT
    if reply.get("channel") == "subscriptions":
        products = _subscribed_products(reply.get("events"))
        return ControlMessage(Kind.ACK, native_symbols=products) if products else OTHER
    if reply.get("type") == "error":
        reason = " ".join(str(reply[name]) for name in ("message", "reason") if name in reply)
        return ControlMessage(
            Kind.REFUSAL, native_symbols=tuple(_PRODUCT.findall(reason)), reason=reason
        )
    return OTHER


def _subscribed_products(events: Any) -> tuple[str, ...]:  # noqa: ANN401 - JSON may be anything
    names: list[str] = []
    for event in events if isinstance(events, list) else []:
        channels = event.get("subscriptions") if isinstance(event, dict) else None
        products = channels.get("market_trades") if isinstance(channels, dict) else None
        names += [name for name in products or [] if isinstance(name, str)]
    return tuple(names)


# Sources: Coinbase Developer Documentation, "Advanced Trade WebSocket", sections
# "WebSocket Endpoints" (channels close after 60 to 90 seconds without updates unless
# heartbeats are subscribed to), "Heartbeats" (one a second), "WebSocket Overview" (a
# connection that has not subscribed after 5 seconds is closed) and "WebSocket Rate
# Limits" (8 connections and 8 messages a second for an address). The error
# for a product that does not exist is not documented.
LIVE = WebSocketRules(
    url="wss://advanced-trade-ws.coinbase.com",
    # No limit is documented; small messages and connections fail in small parts.
    symbols_per_connection=50,
    symbols_per_message=10,
    messages_per_s=5,
    connect_every_s=0.25,
    dead_after_s=10,
    stalled_after_s=60,
    # No maximum age is known.
    max_age_s=None,
    subscribe=subscribe,
    is_trade=is_trade,
    parse_control=parse_control,
    opening_messages=(HEARTBEATS,),
    rejects_whole_message=True,
    replies_in_order=True,
)

COINBASE = Exchange(
    "coinbase",
    LAYOUTS,
    read_frame,
    split_symbol,
    LIVE,
    REST,
    read_response,
    candles=CANDLES,
    markets=MARKETS,
)
