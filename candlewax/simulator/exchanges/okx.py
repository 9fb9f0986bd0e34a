"""Side of OKX of a websocket connection to its API v5, and of its REST.

Source: OKX API guide (v5), "WebSocket", "Connect", "Subscribe"; "WS / All trades channel"; "GET /
Trades history", "GET / Candlesticks history".
"""

import asyncio
import json
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from decimal import Decimal
from http import HTTPStatus
from typing import Any, Final

from websockets.asyncio.server import ServerConnection

from candlewax.simulator.exchanges.client import Client, now_us
from candlewax.simulator.exchanges.market_lists import price as list_price
from candlewax.simulator.exchanges.market_lists import tick, volume
from candlewax.simulator.exchanges.rest_candles import amount_writers, market_candles
from candlewax.simulator.exchanges.rest_request import (
    Answer,
    RestRequest,
    index_of,
    parse_limit,
    parse_number,
    refuse,
    show_page,
)
from candlewax.simulator.exchanges.venue import Venue
from candlewax.simulator.frames.channels import Bundle, Feed
from candlewax.simulator.frames.trades import price, quantity
from candlewax.simulator.market.market import MINUTE_US, Market, Trade

_CHANNEL: Final = "trades-all"
_CONNECTION: Final = "a4d3ae55"
_MOST_CANDLES: Final = 100
_NEVER: Final = 2**63
_INVALID: Final = '{"code":"51000","data":[],"msg":"Parameter error"}'
_NOTICE: Final = (
    '{"event":"notice","code":"64008","msg":"The connection will soon be closed for a service '
    f'upgrade. Please reconnect.","connId":"{_CONNECTION}"}}'
)

MARKETS: Final = [
    # Contracts of 0.01 BTC.
    Market(
        exchange="okx",
        native_symbol="BTC-USDT-SWAP",
        base="BTC",
        quote="USDT",
        symbol="BTC/USDT:USDT",
        price_decimals=1,
        lot_decimals=2,
        price=712_120,
        lots=56,
        gap_us=9_000_000,
        first_id=2_953_620_211,
    ),
    Market(
        exchange="okx",
        native_symbol="BTC-USDT",
        base="BTC",
        quote="USDT",
        symbol="BTC/USDT",
        price_decimals=1,
        lot_decimals=8,
        price=712_405,
        lots=560_000,
        gap_us=9_000_000,
        first_id=911_204_338,
    ),
]


def _write(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))


def _arg(native_symbol: str) -> dict[str, str]:
    return {"channel": _CHANNEL, "instId": native_symbol}


def _side(trade: Trade) -> str:
    return "buy" if trade.bought else "sell"


class OkxFeed(Feed):
    """Channel trades-all, one trade an update."""

    exchange = "okx"
    single = True

    def opening(self, names: Sequence[str], time_us: int) -> Iterator[str]:  # noqa: ARG002 - none is sent
        for name in names:
            yield _write({"event": "subscribe", "arg": _arg(name), "connId": _CONNECTION})

    def trades(self, bundle: Bundle, sent_us: int) -> str:  # noqa: ARG002 - no send time
        trade, name = bundle[0], bundle[0].market.native_symbol
        return (
            f'{{"arg":{{"channel":"{_CHANNEL}","instId":"{name}"}},"data":[{{"instId":"{name}",'
            f'"tradeId":"{trade.trade_id}","px":"{price(trade)}","sz":"{quantity(trade)}",'
            f'"side":"{_side(trade)}","source":"0","ts":"{trade.time_us // 1000}"}}]}}'
        )


class OkxSession(Client):
    """Connection of a client of OKX."""

    def __init__(self, venue: Venue, connection: ServerConnection, number: int) -> None:
        super().__init__(venue, connection, number)
        self._is_busy = False

    def background_tasks(self) -> Iterable[Coroutine[None, None, None]]:
        return (self._close_when_idle(),)

    async def _close_when_idle(self) -> None:
        while True:
            self._is_busy = False
            await asyncio.sleep(self.venue.limits.idle)
            if not self._is_busy:
                # In the background: the connection's handler, which owns this task, ends with it.
                self.venue.run_in_background(self.close(4004, "No data received in 30s."))
                return

    def send(self, text: str) -> None:
        self._is_busy = True
        super().send(text)

    def announce_close(self) -> None:
        self.send(_NOTICE)
        self.flush()

    def handle_message(self, message: str) -> None:
        self._is_busy = True
        if message == "ping":
            self.send("pong")
            return
        try:
            request = json.loads(message)
        except ValueError:
            request = None
        request = request if isinstance(request, dict) else {}
        args = request.get("args")
        if request.get("op") not in ("subscribe", "unsubscribe") or not isinstance(args, list):
            self._answer(request, "error", code="60012", msg=f"Invalid request: {message}")
            return
        for arg in args:
            self._change_subscription(request, arg if isinstance(arg, dict) else {})

    def _change_subscription(self, request: dict[str, Any], arg: dict[str, Any]) -> None:
        channel, name = arg.get("channel"), arg.get("instId")
        if channel != _CHANNEL or not isinstance(name, str) or not self.venue.is_known(name):
            text = (
                f"Wrong URL or channel:{channel},instId:{name} doesn't exist. Please use the "
                "correct URL, channel and parameters referring to API document."
            )
            self._answer(request, "error", code="60018", msg=text)
        elif request["op"] == "unsubscribe":
            self.venue.unsubscribe(self, name)
            self._answer(request, "unsubscribe", arg=_arg(name))
        else:
            self.venue.subscribe(self, name)
            self._answer(request, "subscribe", arg=_arg(name))

    def _answer(self, request: dict[str, Any], event: str, **fields: object) -> None:
        number = {"id": request["id"]} if "id" in request else {}
        self.send(_write({**number, "event": event, **fields, "connId": _CONNECTION}))


def _reply_candles(request: RestRequest, native_symbol: str) -> Answer:
    """Answer a request for the candles before a time and after another, newest first."""
    query = request.query
    invalid = refuse(_INVALID, HTTPStatus.OK)
    if query.get("bar", "1m") != "1m":
        raise invalid
    limit = parse_limit(query, "limit", _MOST_CANDLES, 100, invalid)
    after, before = (parse_number(query, name, invalid) for name in ("after", "before"))
    candles = [
        candle
        for candle in market_candles(request, native_symbol)
        if (before or 0) * 1000 < candle.start_us < (after or _NEVER) * 1000
    ]
    price_of, lots = amount_writers(request.venue.markets[native_symbol])
    now_minute_us = now_us() // MINUTE_US * MINUTE_US
    rows = [
        [
            str(candle.start_us // 1000),
            *map(price_of, (candle.open, candle.high, candle.low, candle.close)),
            *(lots(candle.lots) for _ in range(3)),
            str(int(candle.start_us < now_minute_us)),
        ]
        for candle in reversed(candles[-limit:])
    ]
    return Answer(_write({"code": "0", "msg": "", "data": rows}))


def _list_markets(request: RestRequest) -> Answer:
    """Answer a request for instruments or tickers of spot or of swaps."""
    is_swap = request.query.get("instType") == "SWAP"
    rows = [
        {
            "instId": name,
            "ctVal": "0.01" if is_swap else "",
            "ctValCcy": market.base if is_swap else "",
            "tickSz": tick(market),
            "state": "live",
            "last": f"{list_price(market):f}",
            "volCcy24h": f"{_day_volume(market, is_swap=is_swap):f}",
        }
        for name, market in request.venue.markets.items()
        if name.endswith("-SWAP") == is_swap and request.venue.is_known(name)
    ]
    return Answer(_write({"code": "0", "msg": "", "data": rows}))


def _day_volume(market: Market, *, is_swap: bool) -> Decimal:
    """Return the volume of 24 hours: of swaps in the base, of spot in the quote."""
    return volume(market) * (Decimal("0.01") if is_swap else list_price(market))


def reply_okx(request: RestRequest) -> Answer:
    """Answer a request for older trades, newest first, for candles or for markets."""
    query = request.query
    if request.path in ("api/v5/public/instruments", "api/v5/market/tickers"):
        return _list_markets(request)
    if request.path not in ("api/v5/market/history-trades", "api/v5/market/history-candles"):
        raise refuse('{"msg":"Not Found","code":"404"}', HTTPStatus.NOT_FOUND)
    native_symbol = query.get("instId", "")
    if not request.venue.is_known(native_symbol):
        text = "Instrument ID, Instrument ID code, or Spread ID doesn't exist."
        raise refuse(f'{{"code":"51001","data":[],"msg":"{text}"}}', HTTPStatus.OK)
    if request.path.endswith("candles"):
        return _reply_candles(request, native_symbol)
    invalid = refuse(_INVALID, HTTPStatus.OK)
    limit = parse_limit(query, "limit", 100, 100, invalid)
    after = parse_number(query, "after", invalid)
    shown = request.trades(native_symbol)
    end = index_of(shown, _NEVER if after is None else after)
    page = show_page(request, shown[max(0, end - limit) : end])
    rows = ",".join(
        f'{{"instId":"{native_symbol}","side":"{_side(trade)}","sz":"{quantity(trade)}",'
        f'"source":"0","px":"{price(trade)}","tradeId":"{trade.trade_id}",'
        f'"ts":"{trade.time_us // 1000}"}}'
        for trade in reversed(page)
    )
    return Answer(f'{{"code":"0","msg":"","data":[{rows}]}}')
