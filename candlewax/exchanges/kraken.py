"""Kraken spot, WebSocket API v2 and v1.

Source: Kraken API Center, "Spot Websockets (v2)", section "Trade"; "Spot
Websockets (v1)", section "Trade".
"""

import json
from collections.abc import Collection, Sequence
from typing import Any

import polars as pl

from candlewax.exchanges.kraken_rest import (
    REST,
    SECONDS,
    SIDES,
    SPELLINGS,
    answer,
    read_seconds,
    side,
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
    INTEGER,
    NUMBER,
    TEXT,
    Field,
    NativeTrade,
    attempt,
    bad_shape,
)
from candlewax.exchanges.protocol.symbols import split_at_separator
from candlewax.exchanges.protocol.times import ISO_EXPECTED, iso_time, read_iso
from candlewax.exchanges.protocol.websocket import (
    HEARTBEAT,
    OTHER,
    ControlMessage,
    Kind,
    WebSocketRules,
    number,
    parse_object,
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
"""A trade of v1, an array without names: price, volume, seconds, side b or s of
the taker, order type l or m, and a text; the pair stands behind the trades."""

_V1_FIELDS = ("price", "volume", "time", "side", "type", "misc")


_V2_SIDES = {"buy": BUY, "sell": SELL}


def _v2_meaning(trade: NativeTrade) -> Meaning:
    time, side = read_iso(trade["timestamp"]), _V2_SIDES.get(trade["side"])
    return Meaning(trade["symbol"], trade["trade_id"], time, side, trade["price"], trade["qty"])


def _v1_meaning(trade: NativeTrade) -> Meaning:
    """Return the meaning of a trade of v1, whose id is its content."""
    fields = ("time", "price", "volume", "side", "type", "misc")
    trade_id = "_".join(trade[name] for name in fields)
    time, side = read_seconds(trade["time"]), SIDES.get(trade["side"])
    return Meaning(trade["pair"], trade_id, time, side, trade["price"], trade["volume"])


V2 = Dialect(
    V2_TRADE,
    {
        "native_symbol": pl.col("symbol"),
        "trade_id": pl.col("trade_id"),
        "time": iso_time("timestamp"),
        "side": side("side", "buy", "sell"),
        "price": pl.col("price"),
        "quantity": pl.col("qty"),
        "condition": pl.lit(None, pl.String),
    },
    _v2_meaning,
    mapped=frozenset({"symbol", "trade_id", "timestamp", "side", "price", "qty"}),
    spellings={
        "time": Spelling("timestamp", ISO_EXPECTED),
        "side": Spelling("side", "buy or sell"),
    },
)

V1 = Dialect(
    V1_TRADE,
    {
        "native_symbol": pl.col("pair"),
        "trade_id": pl.concat_str(_V1_FIELDS[2], *_V1_FIELDS[:2], *_V1_FIELDS[3:], separator="_"),
        "time": SECONDS,
        "side": side("side", "b", "s"),
        "price": pl.col("price"),
        "quantity": pl.col("volume"),
        "condition": pl.lit(None, pl.String),
    },
    _v1_meaning,
    mapped=frozenset({"pair", "time", "side", "price", "volume"}),
    spellings=SPELLINGS,
    numbered=False,
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
        several=True,
    ),
    # [0,[["5541.20000","0.15850568","1534614057.321597","s","l",""]],"trade","XBT/USD"]
    FrameTemplate(
        V1,
        "[<price>,<volume>,<time>,<side>,<type>,<misc>]",
        before="[<*>,[",
        after='],"trade",<pair>]',
        several=True,
    ),
)


def reader(frame: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read v2 objects and v1 arrays. Other channels, acks, status, heartbeats and
    answers of REST shape are control frames.
    """
    if isinstance(frame, list):
        return _read_v1(frame)
    if not isinstance(frame, dict):
        raise bad_shape("an object or an array", frame)
    if frame.get("channel") == "trade" and "data" in frame:
        return V2, [attempt(trade, V2_TRADE) for trade in _array(frame["data"])]
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
    return V1, [attempt(_named(trade, pair), V1_TRADE) for trade in _array(frame[1])]


def _named(trade: Any, pair: str) -> Any:  # noqa: ANN401 - JSON may be anything
    if not isinstance(trade, list) or len(trade) != len(_V1_FIELDS):
        return trade
    return {**dict(zip(_V1_FIELDS, trade, strict=True)), "pair": pair}


def _array(value: Any) -> list[Any]:  # noqa: ANN401 - JSON may be anything
    if not isinstance(value, list):
        raise bad_shape("an array of trades", value)
    return value


ALIASES = {"XBT": "BTC", "XDG": "DOGE"}
"""Kraken's own names of assets."""


def split(native: str, _: Collection[str]) -> Split | None:
    """`XBT/USD` is BTC/USD."""
    pair = split_at_separator(native, "/", ALIASES)
    return pair and ("/".join(pair), *pair)


def subscribe(natives: Sequence[str], request: int) -> str:
    """{"method":"subscribe","params":{"channel":"trade","symbol":["BTC/USD"],
    "snapshot":true},"req_id":1}

    The snapshot holds the last 50 trades: what was missed while not connected.
    """
    params = {"channel": "trade", "symbol": list(natives), "snapshot": True}
    message = {"method": "subscribe", "params": params, "req_id": request}
    return json.dumps(message, separators=(",", ":"))


def is_trade(frame: str) -> bool:
    """Whether a frame holds new trades; a snapshot holds old ones."""
    return frame.startswith('{"channel":"trade","type":"update"')


def hear(frame: str) -> ControlMessage:
    """Read an answer, one for each symbol, or a heartbeat.

    {"method":"subscribe","req_id":1,"result":{"channel":"trade","symbol":"BTC/USD"},
     "success":true}
    {"error":"Currency pair not supported FOO/USD","method":"subscribe","req_id":1,
     "success":false,"symbol":"FOO/USD"}
    {"channel":"heartbeat"}
    """
    answer = parse_object(frame)
    if answer.get("channel") == "heartbeat" or answer.get("event") == "heartbeat":
        return HEARTBEAT
    if answer.get("method") != "subscribe":
        return OTHER
    result, request = answer.get("result"), number(answer.get("req_id"))
    symbol = (result if isinstance(result, dict) else answer).get("symbol")
    symbols = (symbol,) if isinstance(symbol, str) else ()
    reason = str(answer.get("error", ""))
    if answer.get("success") is True or reason.startswith("Already subscribed"):
        return ControlMessage(Kind.ACK, request, symbols)
    # Only what names a symbol refuses it; "Exceeded msg rate" refuses none.
    return ControlMessage(Kind.REFUSAL, request if symbols else None, symbols, reason)


# Sources: Kraken API Center, "Spot WebSocket (v2)", sections "Trade" (messages) and
# "Heartbeat" (one a second when nothing else is sent, once there is a subscription);
# guide "Reconnection and resilience" (without any message for about 5 seconds a
# connection is to be made anew); "Spot WebSocket Introduction", section "General
# Considerations" (about 150 connections in 10 minutes; no number for messages).
LIVE = WebSocketRules(
    url="wss://ws.kraken.com/v2",
    instruments=100,
    chunk=50,
    messages_s=3,
    connect_every_s=4,
    # Twice the 5 seconds advised: a machine that swaps or compiles is not a dead exchange.
    silent_s=10,
    stalled_s=60,
    # No longest age is known.
    longest_s=None,
    subscribe=subscribe,
    is_trade=is_trade,
    hear=hear,
)

KRAKEN = Exchange("kraken", LAYOUTS, reader, split, LIVE, REST, answer)
