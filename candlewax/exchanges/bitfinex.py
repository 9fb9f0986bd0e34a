"""Bitfinex, WebSocket API v2.

Source: Bitfinex API documentation v2, "General", section "Conf Flags"; WebSocket Public, "Trades".

A frame of trades names no market, only a channel of its connection; the answer to the subscription
says which market the channel carries. With the flag SEQ_ALL each frame of a channel carries a
number that counts the frames of its connection, so a lost one shows.

Each trade is sent twice: te at once, and tu a little later, equal to it. Only te is read.
"""

from collections.abc import Sequence
from typing import Any

from candlewax.exchanges.bitfinex_rest import (
    CANDLES,
    FORMAT,
    MARKETS,
    REST,
    ROW,
    TRADES,
    read_response,
    read_rows,
    split_symbol,
    try_row,
)
from candlewax.exchanges.protocol.channels import (
    CHANNEL,
    CONNECTION_BEGINS,
    FRAME_NUMBER,
    NO_TRADES,
    ChannelChange,
    ChannelRules,
)
from candlewax.exchanges.protocol.dialect import Exchange, FrameTemplate, Reading
from candlewax.exchanges.protocol.fields import INTEGER, Field, bad_shape
from candlewax.exchanges.protocol.websocket import (
    HEARTBEAT,
    OTHER,
    SHUTDOWN,
    ControlMessage,
    Kind,
    WebSocketRules,
    parse_object,
    write_message,
)

SEQ_ALL = 65536
"""Flag that numbers the frames of a connection."""

_LAID_OUT = FORMAT.dialect(
    {CHANNEL: Field(INTEGER, optional=True), **ROW, FRAME_NUMBER: Field(INTEGER, optional=True)}
)

_TE = '[<channel>,"te",[<id>,<mts>,<amount>,<price>]'

LAYOUTS = (
    FrameTemplate(_LAID_OUT, f"{_TE},<frame_number>]"),
    FrameTemplate(_LAID_OUT, f"{_TE}]"),
)

_NO_NEW_TRADES = ("tu", "hb", "fte", "ftu", "cs")
"""Trades told before, heartbeats, loans, and checksums of books."""


def read_frame(frame: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read a trade, or the last 30 that follow a subscription, newest first.

    Events, heartbeats and the second message of a trade are control frames.
    """
    if isinstance(frame, dict) and isinstance(frame.get("event"), str):
        return None
    if not isinstance(frame, list) or len(frame) < 2 or read_channel(frame) is None:
        raise bad_shape("an event or [channel, ...]", frame)
    if frame[1] == "te":
        return TRADES, [try_row(frame[2] if len(frame) > 2 else None)]
    if frame[1] in _NO_NEW_TRADES:
        return None
    if isinstance(frame[1], list):
        return TRADES, read_rows(frame[1])
    raise bad_shape("te, tu, hb or an array of trades", frame[1])


def read_channel(frame: Any) -> str | None:  # noqa: ANN401 - JSON may be anything
    """Return the channel of a frame, None if it has none."""
    if not isinstance(frame, list) or not frame:
        return None
    channel = frame[0]
    return str(channel) if isinstance(channel, int) and not isinstance(channel, bool) else None


def read_number(frame: Any) -> int | None:  # noqa: ANN401 - JSON may be anything
    """Return the number of a frame, behind its content; None if the connection counts none."""
    if read_channel(frame) is None or len(frame) < 3:
        return None
    place = 3 if isinstance(frame[1], str) and frame[1] != "hb" else 2
    number = frame[place] if len(frame) > place else None
    return number if isinstance(number, int) and not isinstance(number, bool) else None


def read_change(frame: Any) -> ChannelChange | None:  # noqa: ANN401 - JSON may be anything
    """Read the first message of a connection, and the begin or end of a channel.

    {"event":"info","version":2,"serverId":"...","platform":{"status":1}}
    {"event":"subscribed","channel":"trades","chanId":232959,"symbol":"tBTCUSD","pair":"BTCUSD"}
    {"event":"unsubscribed","status":"OK","chanId":232959}
    """
    if not isinstance(frame, dict):
        return None
    event, channel = frame.get("event"), read_channel([frame.get("chanId")])
    if event == "info" and "version" in frame:
        return CONNECTION_BEGINS
    if channel is None or event not in ("subscribed", "unsubscribed"):
        return None
    if event == "unsubscribed":
        return ChannelChange(channel)
    symbol = frame.get("symbol")
    # Channels of funding (fUSD) tell loans, not trades.
    is_market = isinstance(symbol, str) and symbol.startswith("t")
    carries_trades = frame.get("channel") == "trades" and is_market
    return ChannelChange(channel, symbol if carries_trades else NO_TRADES)


def subscribe(native_symbols: Sequence[str], _: int) -> str:
    """Return {"event":"subscribe","channel":"trades","symbol":"tBTCUSD"}, of one market."""
    message = {"event": "subscribe", "channel": "trades", "symbol": native_symbols[0]}
    return write_message(message)


def is_trade(frame: str) -> bool:
    """Return whether a frame is a new trade; a snapshot holds old ones."""
    return frame.startswith("[") and frame.find(',"te",', 0, 24) > 0


_ALREADY_SUBSCRIBED = 10301
_RESTART, _MAINTENANCE, _MAINTENANCE_END = 20051, 20060, 20061


def parse_control(frame: str) -> ControlMessage:
    """Read an answer, an announcement, or a heartbeat of a channel.

    {"event":"subscribed","channel":"trades","chanId":232959,"symbol":"tBTCUSD","pair":"BTCUSD"}
    {"event":"error","msg":"symbol: invalid","code":10300,"channel":"trades","symbol":"tNOPE"}
    {"event":"info","code":20051,"msg":"Stopping. Please try to reconnect"}
    [232959,"hb",17]
    """
    if frame.startswith("["):
        return HEARTBEAT if frame.find(',"hb"', 0, 24) > 0 else OTHER
    reply = parse_object(frame)
    event, code, symbol = (reply.get(name) for name in ("event", "code", "symbol"))
    symbols = (symbol,) if isinstance(symbol, str) else ()
    if event == "subscribed" or (event == "error" and code == _ALREADY_SUBSCRIBED):
        return ControlMessage(Kind.ACK, native_symbols=symbols) if symbols else OTHER
    if event == "error":
        reason = str(reply.get("msg", code))
        return ControlMessage(Kind.REFUSAL, native_symbols=symbols, reason=reason)
    # After a pause the exchange asks for new subscriptions: a new connection makes them.
    is_end = event == "info" and code in (_RESTART, _MAINTENANCE_END)
    return SHUTDOWN if is_end else OTHER


# Sources: Bitfinex API documentation v2, "General" (20 connections a minute; "Info Codes") and
# WebSocket Public, "Introduction" (25 channels a connection; a heartbeat of each channel after 15
# seconds without another frame).
LIVE = WebSocketRules(
    url="wss://api-pub.bitfinex.com/ws/2",
    symbols_per_connection=25,
    symbols_per_message=1,
    messages_per_s=5,
    connect_every_s=3.5,
    dead_after_s=45,
    stalled_after_s=300,
    # None is known. Answers to subscriptions must not outlive the retention of frames.
    max_age_s=23 * 3600,
    subscribe=subscribe,
    is_trade=is_trade,
    parse_control=parse_control,
    opening_messages=(f'{{"event":"conf","flags":{SEQ_ALL}}}',),
    replies_in_order=True,
)

BITFINEX = Exchange(
    "bitfinex",
    LAYOUTS,
    read_frame,
    split_symbol,
    LIVE,
    REST,
    read_response,
    candles=CANDLES,
    markets=MARKETS,
    channels=ChannelRules(read_change, read_channel, read_number),
)
