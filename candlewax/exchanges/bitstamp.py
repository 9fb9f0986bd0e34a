"""Bitstamp, WebSocket API v2.

Source: Bitstamp, "WebSocket API v2", sections "Subscriptions", "Live ticker", "Heartbeat" and
"Forced reconnection".
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

from candlewax.exchanges.bitstamp_rest import (
    CANDLES,
    MARKETS,
    REST,
    SIDE_EXPECTED,
    SIDES,
    read_response,
)
from candlewax.exchanges.protocol.dialect import Exchange, FrameTemplate, Reading, Split, TradeIds
from candlewax.exchanges.protocol.fields import INTEGER, NUMBER, TEXT, Field, bad_shape, try_read
from candlewax.exchanges.protocol.symbols import split_before_quote
from candlewax.exchanges.protocol.times import MICROSECONDS
from candlewax.exchanges.protocol.trade_format import TradeFormat
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
    "id": Field(INTEGER),
    "timestamp": Field(TEXT, optional=True),
    "amount": Field(NUMBER, optional=True),
    "amount_str": Field(TEXT),
    "price": Field(NUMBER, optional=True),
    "price_str": Field(TEXT),
    "type": Field(INTEGER),
    "microtimestamp": Field(TEXT),
    "buy_order_id": Field(INTEGER, optional=True),
    "sell_order_id": Field(INTEGER, optional=True),
    "channel": Field(TEXT),
}
"""A trade, with the channel beside it. `id` counts the trades of all markets together, `type` is
the taker's side. `amount` and `price` have passed through floats; `_str` are exact.

{"data":{"id":1,"timestamp":"1790401277","amount":0.04,"amount_str":"0.04000000","price":2.5,
 "price_str":"2.5","type":0,"microtimestamp":"1790401277185000","buy_order_id":3,"sell_order_id":2},
 "channel":"live_trades_btcusd","event":"trade"}
"""

_CHANNEL: Final = "live_trades_"

LIVE_TRADES = TradeFormat(
    "channel", "id", "microtimestamp", "type", "price_str", "amount_str",
    time_form=MICROSECONDS,
    sides=SIDES,
    side_expected=SIDE_EXPECTED,
    trade_ids=TradeIds.UNIQUE,
    symbol_prefix=_CHANNEL,
).dialect(TRADE)  # fmt: skip

LAYOUTS = (
    FrameTemplate(
        LIVE_TRADES,
        '{"id":<id>,"timestamp":<timestamp>,"amount":<amount>,"amount_str":<amount_str>,'
        '"price":<price>,"price_str":<price_str>,"type":<type>,"microtimestamp":<microtimestamp>,'
        '"buy_order_id":<buy_order_id>,"sell_order_id":<sell_order_id>}',
        before='{"data":',
        after=',"channel":<channel>,"event":"trade"}',
    ),
)


def read_frame(frame: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read events of live trades; other events and other channels are control frames."""
    event = frame.get("event") if isinstance(frame, dict) else None
    if not isinstance(event, str):
        raise bad_shape("an object with an event", frame)
    channel, data = frame.get("channel"), frame.get("data")
    if event != "trade" or (isinstance(channel, str) and not channel.startswith(_CHANNEL)):
        return None
    if not isinstance(data, dict):
        raise bad_shape("an object in field 'data'", frame)
    return LIVE_TRADES, [try_read({**data, "channel": channel}, TRADE)]


QUOTES: Final = ("USD", "EUR", "GBP", "USDC", "USDT", "BTC", "ETH", "PAX", "RLUSD")
"""Quote assets, as symbols have no separator."""


def split_symbol(native_symbol: str, assets: Collection[str]) -> Split | None:
    """Split `btcusd` into BTC/USD. Perpetuals, `btcusd-perp`, must be listed."""
    if native_symbol != native_symbol.lower():
        return None
    pair = split_before_quote(native_symbol.upper(), QUOTES, assets)
    return pair and ("/".join(pair), *pair)


def subscribe(native_symbols: Sequence[str], request: int) -> str:  # noqa: ARG001 - there is no id
    """Return {"event":"bts:subscribe","data":{"channel":"live_trades_btcusd"}}, for one market."""
    (native_symbol,) = native_symbols
    message = {"event": "bts:subscribe", "data": {"channel": _CHANNEL + native_symbol}}
    return write_message(message)


def is_trade(frame: str) -> bool:
    """Return whether a frame holds new trades."""
    return frame.endswith('"event":"trade"}') and '"channel":"live_trades_' in frame


def parse_control(frame: str) -> ControlMessage:
    """Read a reply, the answer to a heartbeat or the request to connect again.

    {"event":"bts:subscription_succeeded","channel":"live_trades_btcusd","data":{}}
    {"event":"bts:error","channel":"","data":{"code":null,"message":"Bad subscription string."}}
    {"event":"bts:heartbeat","channel":"","data":{"status":"success"}}
    {"event":"bts:request_reconnect","channel":"","data":""}
    """
    reply = parse_object(frame)
    event, channel, data = (reply.get(name) for name in ("event", "channel", "data"))
    is_named = isinstance(channel, str) and channel.startswith(_CHANNEL)
    symbols = (str(channel).removeprefix(_CHANNEL),) if is_named else ()
    if event == "bts:heartbeat":
        return HEARTBEAT
    if event == "bts:request_reconnect":
        return SHUTDOWN
    if event == "bts:subscription_succeeded":
        return ControlMessage(Kind.ACK, None, symbols)
    if event == "bts:error":
        reason = data.get("message") if isinstance(data, dict) else None
        return ControlMessage(Kind.REFUSAL, None, symbols, str(reason or "no reason given"))
    return OTHER


# Sources: Bitstamp, "WebSocket API v2" (messages, one channel in each; heartbeats as often as the
# client asks; a client must connect again when it is requested to). Limits on messages, markets
# and connections are not documented; gocryptotrader, exchanges/bitstamp, sends a heartbeat each 8
# seconds.
LIVE = WebSocketRules(
    url="wss://ws.bitstamp.net",
    symbols_per_connection=50,
    symbols_per_message=1,
    messages_per_s=10,
    connect_every_s=1,
    # A heartbeat is answered at once.
    dead_after_s=30,
    stalled_after_s=120,
    # No maximum age is documented.
    max_age_s=None,
    subscribe=subscribe,
    is_trade=is_trade,
    parse_control=parse_control,
    # A refusal names no market.
    replies_in_order=True,
    ping=Ping('{"event":"bts:heartbeat"}', 10),
)

BITSTAMP = Exchange(
    "bitstamp",
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
