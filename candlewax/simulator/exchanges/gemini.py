"""Side of Gemini of a websocket connection, and of its REST.

Source: Gemini developer documentation, WebSocket, "Message Format" and "Trade Stream"; REST APIs,
"List Trades", "List Candles", "Get Symbol Details".
"""

import json
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Any, Final

from candlewax.simulator.exchanges.client import Client
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
from candlewax.simulator.market.market import SECOND_US, Market, Trade

_STREAM: Final = "@trade"
_SECONDS_BELOW: Final = 10**11
"""A time below this is in seconds, not milliseconds."""

MARKETS: Final = [
    Market(
        exchange="gemini",
        native_symbol=native_symbol,
        base=base,
        quote="USD",
        symbol=f"{base}/USD",
        price_decimals=2,
        lot_decimals=8,
        price=first_price,
        lots=lots,
        gap_us=gap_us,
        first_id=first_id,
    )
    for native_symbol, base, first_price, lots, gap_us, first_id in (
        ("btcusd", "BTC", 7_124_055, 560_000, 10_000_000, 2_840_141_030_659_933),
        ("ethusd", "ETH", 210_537, 19_000_000, 15_000_000, 2_840_141_020_114_207),
    )
]


class GeminiFeed(Feed):
    """Trade streams, one trade a frame."""

    exchange = "gemini"
    single = True

    def opening(self, names: Sequence[str], time_us: int) -> Iterator[str]:  # noqa: ARG002 - none is sent
        yield _reply("1", 200)

    def trades(self, bundle: Bundle, sent_us: int) -> str:  # noqa: ARG002 - no send time
        trade = bundle[0]
        return (
            f'{{"E":{trade.time_us}000,"s":"{trade.market.native_symbol}","t":{trade.trade_id},'
            f'"p":"{price(trade)}000","q":"{quantity(trade)}00",'
            f'"m":{"false" if trade.bought else "true"}}}'
        )


def _reply(request_id: object, status: int, **fields: object) -> str:
    return json.dumps({"id": request_id, "status": status, **fields}, separators=(",", ":"))


class GeminiSession(Client):
    """Connection of a client of Gemini."""

    def handle_message(self, message: str) -> None:
        try:
            request = json.loads(message)
        except ValueError:
            request = None
        request = request if isinstance(request, dict) else {}
        method, params = str(request.get("method")).lower(), request.get("params")
        if method == "ping":
            self.send(_reply(request.get("id"), 200, result={}))
        elif method in ("subscribe", "unsubscribe") and isinstance(params, list):
            self._change_subscriptions(method, params, request.get("id"))
        else:
            self._refuse(request.get("id"), "Malformed request")

    def _change_subscriptions(self, method: str, params: list[Any], request_id: object) -> None:
        names = [str(stream).removesuffix(_STREAM) for stream in params]
        unknown = [name for name in names if not self.venue.is_known(name)]
        if unknown:
            # The whole request fails, also for its valid streams.
            self._refuse(request_id, f"Invalid stream: {unknown[0]}{_STREAM}")
            return
        for name in names:
            if method == "subscribe":
                self.venue.subscribe(self, name)
            else:
                self.venue.unsubscribe(self, name)
        self.send(_reply(request_id, 200))

    def _refuse(self, request_id: object, text: str) -> None:
        self.send(_reply(request_id, 400, error={"code": -1000, "msg": text}))


LIMITED: Final = '{"result":"error","reason":"RateLimited","message":"Too many requests."}'


def reply_gemini(request: RestRequest) -> Answer:
    """Answer a request for candles, or for trades, newest first: the oldest behind a time, or the
    newest.
    """
    if request.path.startswith("v2/candles/"):
        return _candles(request)
    root, _, native_symbol = request.path.rpartition("/")
    if root != "v1/trades" or not request.venue.is_known(native_symbol.lower()):
        text = f"Supplied value '{native_symbol}' is not a valid symbol"
        raise refuse(f'{{"result":"error","reason":"InvalidSymbol","message":"{text}"}}')
    invalid = refuse('{"result":"error","reason":"InvalidParameter","message":"limit_trades"}')
    limit = parse_limit(request.query, "limit_trades", 500, 50, invalid)
    since = parse_number(request.query, "timestamp", invalid)
    shown = sorted(request.trades(native_symbol.lower()), key=lambda trade: trade.time_us)
    if since is None:
        shown = shown[-limit:]
    else:
        begin_us = since * (SECOND_US if since < _SECONDS_BELOW else 1_000)
        first = bisect_left(shown, begin_us, key=lambda trade: trade.time_us)
        shown = shown[first : first + limit]
    rows = ",".join(_row(trade) for trade in reversed(show_page(request, shown)))
    return Answer(f"[{rows}]")


def _candles(request: RestRequest) -> Answer:
    """Answer with the candles of the last day, newest first; a minute without trades has none."""
    *_, native_symbol, unit = request.path.split("/")
    if unit != "1m" or not request.venue.is_known(native_symbol):
        raise refuse('{"result":"error","reason":"InvalidSymbol","message":"no such candles"}')
    write_price, write_lots = amount_writers(request.venue.markets[native_symbol])
    candles = market_candles(request, native_symbol, has_empty=False)[-_DAY_MINUTES:]
    rows = ",".join(
        f"[{candle.start_us // 1000},"
        f"{','.join(write_price(getattr(candle, name)) for name in _PRICES)},"
        f"{write_lots(candle.lots)}]"
        for candle in reversed(candles)
    )
    return Answer(f"[{rows}]")


_PRICES: Final = ("open", "high", "low", "close")
_DAY_MINUTES: Final = 1_440


def _row(trade: Trade) -> str:
    return (
        f'{{"timestamp":{trade.time_us // SECOND_US},"timestampms":{trade.time_us // 1000},'
        f'"tid":{trade.trade_id},"price":"{price(trade)}","amount":"{quantity(trade)}",'
        f'"exchange":"gemini","type":"{"buy" if trade.bought else "sell"}"}}'
    )
