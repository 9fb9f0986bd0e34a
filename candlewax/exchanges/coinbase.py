"""Coinbase: Advanced Trade and Exchange.

Source: Coinbase Developer Documentation, "Advanced Trade WebSocket", section
"Market Trades Channel"; "Exchange WebSocket", section "Matches Channel". In both
`side` is the maker's: a maker who sold was bought from.
"""

import json
import re
from collections.abc import Collection, Sequence
from typing import Any

from candlewax.exchanges.coinbase_rest import COLUMNS, MAPPED, REST, SPELLINGS, answer, meaning
from candlewax.exchanges.protocol.dialect import Dialect, Exchange, FrameTemplate, Reading, Split
from candlewax.exchanges.protocol.fields import INTEGER, TEXT, Field, attempt, bad_shape, read
from candlewax.exchanges.protocol.symbols import split_at_separator
from candlewax.exchanges.protocol.websocket import (
    HEARTBEAT,
    OTHER,
    ControlMessage,
    Kind,
    WebSocketRules,
    parse_object,
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

ADVANCED = Dialect(ADVANCED_TRADE, COLUMNS, meaning("product_id"), MAPPED, SPELLINGS)
EXCHANGE = Dialect(MATCH, COLUMNS, meaning("product_id"), MAPPED, SPELLINGS)

LAYOUTS = (
    # As recorded in 2026.
    FrameTemplate(
        ADVANCED,
        '{"product_id":<product_id>,"trade_id":<trade_id>,"price":<price>,"size":<size>,'
        '"time":<time>,"side":<side>}',
        before='{"channel":"market_trades","timestamp":<*>,"sequence_num":<*>,'
        '"events":[{"type":<*>,"trades":[',
        after="]}]}",
        several=True,
    ),
    # As documented.
    FrameTemplate(
        ADVANCED,
        '{"trade_id":<trade_id>,"product_id":<product_id>,"price":<price>,"size":<size>,'
        '"side":<side>,"time":<time>}',
        before='{"channel":"market_trades","client_id":<*>,"timestamp":<*>,"sequence_num":<*>,'
        '"events":[{"type":<*>,"trades":[',
        after="]}]}",
        several=True,
    ),
    FrameTemplate(
        EXCHANGE,
        '{"type":<type>,"trade_id":<trade_id>,"maker_order_id":<maker_order_id>,'
        '"taker_order_id":<taker_order_id>,"side":<side>,"size":<size>,"price":<price>,'
        '"product_id":<product_id>,"sequence":<sequence>,"time":<time>}',
    ),
)


def reader(frame: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read `market_trades` and `match` or `last_match`. Other channels, acks,
    heartbeats and errors are control frames.
    """
    if not isinstance(frame, dict):
        raise bad_shape("an object", frame)
    if frame.get("channel") == "market_trades":
        return ADVANCED, [
            attempt(trade, ADVANCED_TRADE)
            for event in _array(frame.get("events"), "events")
            for trade in _trades(event)
        ]
    if frame.get("type") in ("match", "last_match"):
        return EXCHANGE, [read(frame, MATCH)]
    if any(isinstance(frame.get(name), str) for name in ("channel", "type")):
        return None
    raise bad_shape("a channel or a type", frame)


def _trades(event: Any) -> list[Any]:  # noqa: ANN401 - JSON may be anything
    if not isinstance(event, dict):
        raise bad_shape("an event object", event)
    return _array(event.get("trades"), "trades")


def _array(value: Any, what: str) -> list[Any]:  # noqa: ANN401 - JSON may be anything
    if not isinstance(value, list):
        raise bad_shape(f"an array of {what}", value)
    return value


def split(native: str, _: Collection[str]) -> Split | None:
    """`BTC-USD` is BTC/USD."""
    pair = split_at_separator(native, "-", {})
    return pair and ("/".join(pair), *pair)


HEARTBEATS = '{"type":"subscribe","channel":"heartbeats"}'

_PRODUCT = re.compile(r"\b[A-Z0-9]+-[A-Z0-9]+\b")


def subscribe(natives: Sequence[str], request: int) -> str:  # noqa: ARG001 - it takes no id
    """{"type":"subscribe","product_ids":["BTC-USD"],"channel":"market_trades"}"""
    message = {"type": "subscribe", "product_ids": list(natives), "channel": "market_trades"}
    return json.dumps(message, separators=(",", ":"))


def is_trade(frame: str) -> bool:
    """Whether a frame holds new trades; a snapshot holds old ones."""
    return frame.startswith('{"channel":"market_trades"') and '"type":"update"' in frame


def hear(frame: str) -> ControlMessage:
    """Read an answer, which names all that is subscribed by now, or a heartbeat.

    {"channel":"subscriptions",...,"events":[{"subscriptions":{"market_trades":["BTC-USD"]}}]}
    {"type":"error","message":"..."}
    {"channel":"heartbeats",...,"events":[{"current_time":"...","heartbeat_counter":"1"}]}
    """
    answer = parse_object(frame)
    if answer.get("channel") == "heartbeats":
        return HEARTBEAT
    if answer.get("channel") == "subscriptions":
        products = _subscribed(answer.get("events"))
        return ControlMessage(Kind.ACK, instruments=products) if products else OTHER
    if answer.get("type") == "error":
        reason = " ".join(str(answer[name]) for name in ("message", "reason") if name in answer)
        return ControlMessage(
            Kind.REFUSAL, instruments=tuple(_PRODUCT.findall(reason)), reason=reason
        )
    return OTHER


def _subscribed(events: Any) -> tuple[str, ...]:  # noqa: ANN401 - JSON may be anything
    found: list[str] = []
    for event in events if isinstance(events, list) else []:
        channels = event.get("subscriptions") if isinstance(event, dict) else None
        products = channels.get("market_trades") if isinstance(channels, dict) else None
        found += [name for name in products or [] if isinstance(name, str)]
    return tuple(found)


# Sources: Coinbase Developer Documentation, "Advanced Trade WebSocket", sections
# "WebSocket Endpoints" (channels close after 60 to 90 seconds without updates unless
# heartbeats are subscribed to), "Heartbeats" (one a second), "WebSocket Overview" (a
# connection that has not subscribed after 5 seconds is closed) and "WebSocket Rate
# Limits" (8 connections and 8 messages a second for an address). What an error says of
# a product that does not exist is not documented.
LIVE = WebSocketRules(
    url="wss://advanced-trade-ws.coinbase.com",
    # Documented is no number; small messages and connections fail in small parts.
    instruments=50,
    chunk=10,
    messages_s=5,
    connect_every_s=0.25,
    silent_s=10,
    stalled_s=60,
    # No longest age is known.
    longest_s=None,
    subscribe=subscribe,
    is_trade=is_trade,
    hear=hear,
    opening=(HEARTBEATS,),
    whole=True,
    in_turn=True,
)

COINBASE = Exchange("coinbase", LAYOUTS, reader, split, LIVE, REST, answer)
