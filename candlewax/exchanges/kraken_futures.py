"""Kraken Futures, WebSocket API v1: perpetuals and dated futures.

Source: Kraken API Center, Futures WebSocket, section "Trade". `seq` is called the sequence number
of the subscription there. In recordings it counts the trades of the product, without holes, through
snapshots and later connections. It has started again at 1 some times, so it is a number of a
numbering. `uid` identifies a trade.

Quantities are contracts of 1 USD for inverse products (PI, FI), and in the base otherwise.
"""

from collections.abc import Sequence
from typing import Any

from candlewax.exchanges.kraken_futures_markets import MARKETS, split_symbol
from candlewax.exchanges.kraken_futures_rest import CANDLES, CONDITION, CONDITIONS, REST, TRADES
from candlewax.exchanges.protocol.dialect import Exchange, FrameTemplate, Reading
from candlewax.exchanges.protocol.fields import (
    INTEGER,
    NUMBER,
    TEXT,
    bad_shape,
    fields_of,
    read_trade,
    try_read,
)
from candlewax.exchanges.protocol.rest import require_list
from candlewax.exchanges.protocol.trade_format import TradeFormat
from candlewax.exchanges.protocol.websocket import (
    HEARTBEAT,
    OTHER,
    ControlMessage,
    Kind,
    WebSocketRules,
    parse_object,
    write_message,
)

TRADE = {
    **fields_of(TEXT, "product_id", "uid", "side", "type"),
    **fields_of(INTEGER, "seq", "time"),
    **fields_of(NUMBER, "qty", "price"),
}
"""A trade; `side` is the taker's."""

FUTURES = TradeFormat(
    "product_id", "uid", "time", "side", "price", "qty",
    number="seq",
    condition=CONDITION,
).dialect(TRADE)  # fmt: skip

_LIVE_TRADE = (
    '{"feed":"trade","product_id":<product_id>,"uid":<uid>,"side":<side>,"type":<type>,'
    '"seq":<seq>,"time":<time>,"qty":<qty>,"price":<price>}'
)
_SNAPSHOT = '{"feed":"trade_snapshot","product_id":<*>,"trades":['

LAYOUTS = (
    FrameTemplate(FUTURES, _LIVE_TRADE),
    # As recorded in 2026; until 2022 its trades were laid out as single ones.
    FrameTemplate(
        FUTURES,
        '{"product_id":<product_id>,"feed":"trade","uid":<uid>,"side":<side>,"type":<type>,'
        '"time":<time>,"qty":<qty>,"price":<price>,"seq":<seq>}',
        before=_SNAPSHOT,
        after="]}",
        has_several_trades=True,
    ),
    FrameTemplate(FUTURES, _LIVE_TRADE, before=_SNAPSHOT, after="]}", has_several_trades=True),
)


_FEED = frozenset({"feed"})
"""Fields that are of the frame, not of the trade."""


def read_frame(frame: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read a trade, and the snapshot of the last 100 that each subscription begins with.

    Other feeds, acknowledgements, errors and heartbeats are control frames.
    """
    if not isinstance(frame, dict):
        raise bad_shape("an object", frame)
    feed = frame.get("feed")
    if feed == "trade" and "event" not in frame:
        return FUTURES, [read_trade(frame, TRADE, _FEED)]
    if feed == "trade_snapshot" and "event" not in frame:
        rows = require_list(frame.get("trades"), "trades")
        return FUTURES, [try_read(row, TRADE, _FEED) for row in rows]
    if any(isinstance(frame.get(name), str) for name in ("event", "feed")):
        return None
    raise bad_shape("a feed or an event", frame)


def subscribe(native_symbols: Sequence[str], _: int) -> str:
    """Return {"event":"subscribe","feed":"trade","product_ids":["PF_XBTUSD"]}."""
    message = {"event": "subscribe", "feed": "trade", "product_ids": list(native_symbols)}
    return write_message(message)


HEARTBEATS = '{"event":"subscribe","feed":"heartbeat"}'


def is_trade(frame: str) -> bool:
    """Return whether a frame is a new trade; a snapshot holds old ones."""
    return frame.startswith('{"feed":"trade",')


def parse_control(frame: str) -> ControlMessage:
    """Read a reply, one for each product, or a heartbeat.

    {"event":"subscribed","feed":"trade","product_ids":["PF_XBTUSD"]}
    {"event":"error","message":"Invalid product id"}, which names no product
    {"event":"alert","message":"Bad request"}
    {"feed":"heartbeat","time":1790359963339}
    """
    reply = parse_object(frame)
    event = reply.get("event")
    if event is None and reply.get("feed") == "heartbeat":
        return HEARTBEAT
    names = reply.get("product_ids")
    symbols = tuple(names) if isinstance(names, list) and reply.get("feed") == "trade" else ()
    if event == "subscribed" and symbols:
        return ControlMessage(Kind.ACK, native_symbols=symbols)
    reason = str(reply.get("message", event))
    # The exchange says so when it subscribes a product a second time.
    if event in ("error", "alert", "subscribed_failed") and not reason.startswith("Already"):
        return ControlMessage(Kind.REFUSAL, native_symbols=symbols, reason=reason)
    return OTHER


# Sources: Kraken API Center, Futures WebSocket, "Introduction" (a ping at least each 60 seconds,
# which those of the websocket protocol are) and "Heartbeat" (a feed of its own); "Rate Limits" of
# Futures (100 requests a second, 100 connections).
LIVE = WebSocketRules(
    url="wss://futures.kraken.com/ws/v1",
    # No limit is documented.
    symbols_per_connection=100,
    # A refusal names no product, so each is asked for by itself.
    symbols_per_message=1,
    messages_per_s=20,
    connect_every_s=1,
    dead_after_s=30,
    stalled_after_s=120,
    # No maximum age is known.
    max_age_s=None,
    subscribe=subscribe,
    is_trade=is_trade,
    parse_control=parse_control,
    opening_messages=(HEARTBEATS,),
    replies_in_order=True,
)

KRAKEN_FUTURES = Exchange(
    "kraken_futures",
    LAYOUTS,
    read_frame,
    split_symbol,
    LIVE,
    REST,
    TRADES.read,
    known_conditions=CONDITIONS,
    candles=CANDLES,
    markets=MARKETS,
)
