"""OKX, spot and swaps, WebSocket API v5.

Source: OKX API guide (v5), "Order Book Trading", "Market Data", sections "WS / All trades channel"
(one trade an update) and "WS / Trades channel" (trades of one order at one price in one update).
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from candlewax.exchanges.okx_markets import MARKETS, split_symbol
from candlewax.exchanges.okx_rest import ANSWERS, CANDLES, DUMP, REST, TRADES
from candlewax.exchanges.protocol.dialect import Dialect, Exchange, FrameTemplate, Reading, TradeIds
from candlewax.exchanges.protocol.fields import INTEGER, TEXT, bad_shape, fields_of, try_read
from candlewax.exchanges.protocol.websocket import (
    HEARTBEAT,
    OTHER,
    SHUTDOWN,
    ControlMessage,
    Kind,
    Ping,
    WebSocketRules,
    parse_object,
    write_message,
)

TRADE = {
    **fields_of(TEXT, "instId", "tradeId", "px", "sz", "side"),
    **fields_of(TEXT, "source", optional=True),
    **fields_of(TEXT, "ts"),
}
"""A trade; tradeId counts within the market, side is the taker's, source 1 is an order of the
Enhanced Liquidity Program."""

UPDATE = {
    **TRADE,
    **fields_of(TEXT, "count", optional=True),
    **fields_of(INTEGER, "seqId", optional=True),
}
"""An update of the channel `trades`: `count` trades, the last of which has the tradeId."""

ALL_TRADES = TRADES.dialect(TRADE)
# One update may stand for several numbers, so that numbers without an update are no gap.
UPDATES = replace(TRADES, trade_ids=TradeIds.UNIQUE).dialect(UPDATE)

_START = '{"instId":<instId>,"tradeId":<tradeId>,"px":<px>,"sz":<sz>,"side":<side>,'


def _layout(dialect: Dialect, channel: str, rest: str) -> FrameTemplate:
    before = f'{{"arg":{{"channel":"{channel}","instId":<*>}},"data":['
    return FrameTemplate(dialect, _START + rest, before, "]}", has_several_trades=True)


LAYOUTS = (
    # {"arg":{"channel":"trades-all","instId":"BTC-USDT"},"data":[{"instId":"BTC-USDT","tradeId":
    #  "130639474","px":"42219.9","sz":"0.12","side":"buy","source":"0","ts":"1630048897897"}]}
    _layout(ALL_TRADES, "trades-all", '"source":<source>,"ts":<ts>}'),
    _layout(ALL_TRADES, "trades-all", '"ts":<ts>,"source":<source>}'),
    _layout(ALL_TRADES, "trades-all", '"ts":<ts>}'),
    _layout(UPDATES, "trades", '"ts":<ts>,"count":<count>,"source":<source>,"seqId":<seqId>}'),
    _layout(UPDATES, "trades", '"ts":<ts>}'),
)

_CHANNELS = {"trades-all": (ALL_TRADES, TRADE), "trades": (UPDATES, UPDATE)}


def read_frame(frame: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read updates of both channels of trades.

    Other channels, acknowledgements, errors and notices are control frames.
    """
    if not isinstance(frame, dict):
        raise bad_shape("an object", frame)
    arg = frame.get("arg")
    channel = arg.get("channel") if isinstance(arg, dict) else None
    if isinstance(frame.get("event"), str):
        return None
    if not isinstance(channel, str) or "data" not in frame:
        raise bad_shape("an event, or a channel with data", frame)
    if channel not in _CHANNELS:
        return None
    if not isinstance(frame["data"], list):
        raise bad_shape("an array of trades", frame["data"])
    dialect, shape = _CHANNELS[channel]
    return dialect, [try_read(trade, shape) for trade in frame["data"]]


def subscribe(native_symbols: Sequence[str], request: int) -> str:
    """Return the message that subscribes.

    {"id":"1","op":"subscribe","args":[{"channel":"trades-all","instId":"BTC-USDT"}]}
    """
    args = [{"channel": "trades-all", "instId": symbol} for symbol in native_symbols]
    message = {"id": str(request), "op": "subscribe", "args": args}
    return write_message(message)


def is_trade(frame: str) -> bool:
    """Return whether a frame holds new trades."""
    return frame.startswith('{"arg":{"channel":"trades') and '"data":[' in frame


PONG = "pong"

_MARKET = re.compile(r"instId:([A-Z0-9_-]+)")
_TOO_OFTEN = "60014"
_CLOSING = "64008"


def parse_control(frame: str) -> ControlMessage:
    """Read a reply, one for each market, the answer to a ping, or the announced end.

    {"id":"1","event":"subscribe","arg":{"channel":"trades-all","instId":"BTC-USDT"},
     "connId":"accb8e21"}
    {"id":"1","event":"error","code":"60018","msg":"Wrong URL or channel:trades-all,
     instId:NOPE-USDT doesn't exist. ...","connId":"a4d3ae55"}
    {"event":"notice","code":"64008","msg":"The connection will soon be closed for a service
     upgrade. Please reconnect.","connId":"a4d3ae55"}
    """
    if frame == PONG:
        return HEARTBEAT
    reply = parse_object(frame)
    event, code, arg = reply.get("event"), reply.get("code"), reply.get("arg")
    number = str(reply.get("id", ""))
    request = int(number) if number.isascii() and number.isdigit() else None
    if event == "notice" and code == _CLOSING:
        return SHUTDOWN
    if event == "subscribe" and isinstance(arg, dict):
        return ControlMessage(Kind.ACK, request, (str(arg.get("instId")),))
    if event != "error":
        return OTHER
    reason = f"{code}: {reply.get('msg', '')}"
    if code == _TOO_OFTEN:
        return ControlMessage(Kind.REFUSAL, reason=reason)
    return ControlMessage(Kind.REFUSAL, request, tuple(_MARKET.findall(reason)), reason)


# Source: "Overview", "WebSocket", "Connect" (3 connections a second for an address; 480 requests
# an hour for a connection; closed after 30 seconds without data, so that a client sends the text
# ping) and "Subscribe" (the arguments of a message are 64 KB; other clients stay below 4096
# bytes); "Notification" (64008, 60 seconds before the end). The number of markets of a connection
# and whether one refused argument refuses the others are not documented: these are subscribed to
# again, which is acknowledged again.
LIVE = WebSocketRules(
    url="wss://ws.okx.com:8443/ws/v5/business",
    symbols_per_connection=100,
    symbols_per_message=50,
    messages_per_s=2,
    connect_every_s=0.5,
    dead_after_s=30,
    stalled_after_s=60,
    # No maximum age is known.
    max_age_s=None,
    subscribe=subscribe,
    is_trade=is_trade,
    parse_control=parse_control,
    rejects_whole_message=True,
    ping=Ping("ping", 20),
)

OKX = Exchange(
    "okx",
    LAYOUTS,
    read_frame,
    split_symbol,
    LIVE,
    REST,
    ANSWERS.read,
    DUMP,
    candles=CANDLES,
    markets=MARKETS,
    contract_kinds=frozenset({"perpetual"}),
    control_texts=frozenset({PONG}),
)
