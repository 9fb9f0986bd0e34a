"""Side of Bitstamp of a websocket connection to its API v2, and of its REST.

Source: Bitstamp, "WebSocket API v2"; HTTP API, "Transactions", "OHLC data", "Markets" and "Currency
pair tickers".
"""

import json
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final

from candlewax.simulator.exchanges.client import Client, now_us
from candlewax.simulator.exchanges.rest_candles import amount_writers, market_candles
from candlewax.simulator.exchanges.rest_request import (
    Answer,
    RestRequest,
    parse_limit,
    parse_number,
    refuse,
    show_page,
)
from candlewax.simulator.frames.channels import Bundle, Feed
from candlewax.simulator.frames.trades import price, quantity
from candlewax.simulator.market.market import MINUTE_US, SECOND_US, Market, Trade
from candlewax.simulator.market.rng import strip_zeros

_CHANNEL: Final = "live_trades_"

MARKETS: Final = [
    Market(
        exchange="bitstamp",
        native_symbol=native_symbol,
        base=base,
        quote="USD",
        symbol=f"{base}/USD",
        price_decimals=price_decimals,
        lot_decimals=8,
        price=first_price,
        lots=lots,
        gap_us=gap_us,
        first_id=first_id,
    )
    for native_symbol, base, price_decimals, first_price, lots, gap_us, first_id in (
        ("btcusd", "BTC", 0, 71_240, 560_000, 9_000_000, 643_660_480),
        ("ethusd", "ETH", 1, 21_053, 19_000_000, 14_000_000, 643_100_017),
    )
]


class BitstampFeed(Feed):
    """Live trades, one a frame. Times are whole milliseconds."""

    exchange = "bitstamp"
    single = True

    def opening(self, names: Sequence[str], time_us: int) -> Iterator[str]:  # noqa: ARG002 - none is sent
        for name in names:
            yield _event("bts:subscription_succeeded", name, {})

    def trades(self, bundle: Bundle, sent_us: int) -> str:  # noqa: ARG002 - no send time
        trade = bundle[0]
        amount, cost = quantity(trade), price(trade)
        orders = 2 * trade.order + 1, 2 * trade.order
        bought, sold = orders if trade.bought else reversed(orders)
        return (
            f'{{"data":{{"id":{trade.trade_id},"timestamp":"{trade.time_us // SECOND_US}",'
            f'"amount":{strip_zeros(amount)},"amount_str":"{amount}","price":{strip_zeros(cost)},'
            f'"price_str":"{cost}","type":{_type(trade)},'
            f'"microtimestamp":"{trade.time_us // 1000}000","buy_order_id":{bought},'
            f'"sell_order_id":{sold}}},"channel":"{_CHANNEL}{trade.market.native_symbol}",'
            '"event":"trade"}'
        )


def _type(trade: Trade) -> int:
    return 0 if trade.bought else 1


def _event(event: str, native_symbol: str | None, data: object) -> str:
    channel = _CHANNEL + native_symbol if native_symbol else ""
    message = {"event": event, "channel": channel, "data": data}
    return json.dumps(message, separators=(",", ":"))


class BitstampSession(Client):
    """Connection of a client of Bitstamp."""

    def handle_message(self, message: str) -> None:
        try:
            request = json.loads(message)
        except ValueError:
            request = None
        event = request.get("event") if isinstance(request, dict) else None
        if event == "bts:heartbeat":
            self.send(_event(event, None, {"status": "success"}))
        elif event in ("bts:subscribe", "bts:unsubscribe"):
            self._change_subscription(event, request.get("data"))
        else:
            self._refuse("Incorrect JSON format.")

    def _change_subscription(self, event: str, data: Any) -> None:  # noqa: ANN401 - JSON
        channel = data.get("channel") if isinstance(data, dict) else None
        name = str(channel).removeprefix(_CHANNEL)
        if name == channel or not self.venue.is_known(name):
            self._refuse("Bad subscription string.")
        elif event == "bts:subscribe":
            self.venue.subscribe(self, name)
            self.send(_event("bts:subscription_succeeded", name, {}))
        else:
            self.venue.unsubscribe(self, name)
            self.send(_event("bts:unsubscription_succeeded", name, {}))

    def _refuse(self, text: str) -> None:
        self.send(_event("bts:error", None, {"code": None, "message": text}))

    def announce_close(self) -> None:
        self.send('{"event":"bts:request_reconnect","channel":"","data":""}')
        self.flush()


_PRICES: Final = ("open", "high", "low", "close")
_SPANS_US: Final = {
    "minute": 60 * SECOND_US,
    "hour": 3_600 * SECOND_US,
    "day": 86_400 * SECOND_US,
}
LIMITED: Final = (
    '{"response_code":"400.002","response_explanation":"Request rejected due to exceeded rate '
    'limit."}'
)


def reply_bitstamp(request: RestRequest) -> Answer:
    """Answer a request for trades or candles of a market."""
    kind, _, native_symbol = request.path.removesuffix("/").rpartition("/")
    replies = {"api/v2/transactions": _trades, "api/v2/ohlc": _candles}
    if kind not in replies or not request.venue.is_known(native_symbol):
        raise refuse(
            '{"response_code":"404.001","response_explanation":"Not found."}', HTTPStatus.NOT_FOUND
        )
    return replies[kind](request, native_symbol)


def _trades(request: RestRequest, native_symbol: str) -> Answer:
    """Answer with the trades of the last minute, hour or day, newest first."""
    span_us = _SPANS_US.get(request.query.get("time", "hour"))
    if span_us is None:
        raise refuse('{"error":"Invalid time interval"}')
    since_us = now_us() - span_us
    shown = [trade for trade in request.trades(native_symbol) if trade.time_us >= since_us]
    rows = ",".join(
        f'{{"date":"{trade.time_us // SECOND_US}","tid":"{trade.trade_id}",'
        f'"amount":"{quantity(trade)}","type":"{_type(trade)}","price":"{price(trade)}"}}'
        for trade in reversed(show_page(request, shown))
    )
    return Answer(f"[{rows}]")


def _candles(request: RestRequest, native_symbol: str) -> Answer:
    """Answer with candles from `start` to `end`, oldest first; empty minutes are flat."""
    query = request.query
    invalid = refuse('{"code":"400.001","field":"step","message":"Invalid step"}')
    if query.get("step") != "60":
        raise invalid
    limit = parse_limit(query, "limit", 1_000, 1_000, invalid)
    begin, end = (parse_number(query, name, invalid) for name in ("start", "end"))
    open_us = now_us() // MINUTE_US * MINUTE_US
    candles = [
        candle
        for candle in market_candles(request, native_symbol)
        if (begin or 0) * SECOND_US <= candle.start_us
        and (end is None or candle.start_us <= end * SECOND_US)
        and (candle.start_us < open_us or query.get("exclude_current_candle") != "true")
    ]
    market = request.venue.markets[native_symbol]
    write_price, write_lots = amount_writers(market)
    shown = candles[:limit] if begin is not None else candles[-limit:]
    rows = [
        {
            "timestamp": str(candle.start_us // SECOND_US),
            **{name: write_price(getattr(candle, name)) for name in _PRICES},
            "volume": write_lots(candle.lots),
        }
        for candle in shown
    ]
    content = {"data": {"pair": f"{market.base}/{market.quote}", "ohlc": rows}}
    return Answer(json.dumps(content, separators=(",", ":")))
