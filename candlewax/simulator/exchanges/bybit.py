"""Side of Bybit of a websocket connection to its API v5, and of its REST, spot and linear alike.

Source: Bybit API documentation (v5), "Connect"; "WebSocket Stream", "Public", "Trade"; "Market",
"Get Recent Public Trades", "Get Kline", "Get Instruments Info" and "Get Tickers".
"""

import json
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from typing import Any, Final

from candlewax.simulator.exchanges.client import Client, now_us
from candlewax.simulator.exchanges.market_lists import price as list_price
from candlewax.simulator.exchanges.market_lists import tick, volume
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
from candlewax.simulator.market.market import Market, Trade

_CONNECTION: Final = "d5phu6rboasumi7uds7g-223s"
_PREFIX: Final = "publicTrade."
_MOST_TOPICS: Final = 10
_FOREVER: Final = 2**63

SPOT: Final = [
    Market(
        exchange="bybit",
        native_symbol="BTCUSDT",
        base="BTC",
        quote="USDT",
        symbol="BTC/USDT",
        price_decimals=1,
        lot_decimals=6,
        price=712_405,
        lots=5_600,
        gap_us=9_000_000,
        first_id=2_290_000_000_923_750_370,
    )
]
LINEAR: Final = [
    Market(
        exchange="bybit_linear",
        native_symbol="BTCUSDT",
        base="BTC",
        quote="USDT",
        symbol="BTC/USDT:USDT",
        price_decimals=1,
        lot_decimals=3,
        price=712_120,
        lots=6,
        gap_us=9_000_000,
        first_id=520_443_950,
    )
]


def _write(message: dict[str, Any]) -> str:
    return json.dumps(message, separators=(",", ":"))


def _side(trade: Trade) -> str:
    return "Buy" if trade.bought else "Sell"


def _topic(bundle: Bundle) -> str:
    return f'"topic":"{_PREFIX}{bundle[0].market.native_symbol}"'


class BybitFeed(Feed):
    """Topic publicTrade of spot, several trades an update."""

    exchange = "bybit"

    def opening(self, names: Sequence[str], time_us: int) -> Iterator[str]:  # noqa: ARG002 - none is sent
        for _ in names:
            yield _write({"success": True, "ret_msg": "subscribe", "op": "subscribe"})

    def trades(self, bundle: Bundle, sent_us: int) -> str:
        topic, rows = _topic(bundle), ",".join(map(self._row, bundle))
        return f'{{{topic},"ts":{sent_us // 1000},"type":"snapshot","data":[{rows}]}}'

    def _row(self, trade: Trade) -> str:
        return (
            f'{{"i":"{self.trade_id(trade)}","T":{trade.time_us // 1000},"p":"{price(trade)}",'
            f'"v":"{quantity(trade)}","S":"{_side(trade)}","seq":{89_200_463_112 + trade.order},'
            f'"s":"{trade.market.native_symbol}","BT":false,"RPI":false}}'
        )


class BybitLinearFeed(BybitFeed):
    """Feed of linear contracts: ids are UUIDs, and fields have another order."""

    exchange = "bybit_linear"

    def trades(self, bundle: Bundle, sent_us: int) -> str:
        topic, rows = _topic(bundle), ",".join(map(self._row, bundle))
        return f'{{{topic},"type":"snapshot","ts":{sent_us // 1000},"data":[{rows}]}}'

    def _row(self, trade: Trade) -> str:
        return (
            f'{{"T":{trade.time_us // 1000},"s":"{trade.market.native_symbol}",'
            f'"S":"{_side(trade)}","v":"{quantity(trade)}","p":"{price(trade)}","L":"PlusTick",'
            f'"i":"{self.trade_id(trade)}","BT":false,"RPI":false,'
            f'"seq":{89_200_463_112 + trade.order}}}'
        )

    def trade_id(self, trade: Trade) -> str:
        """Return a UUID."""
        first_id = trade.market.first_id
        return (
            f"{trade.trade_id & 0xFFFFFFFF:08x}-{first_id & 0xFFFF:04x}-5b31-9112-"
            f"{trade.trade_id:012x}"
        )


FEEDS: Final = {"bybit": BybitFeed(), "bybit_linear": BybitLinearFeed()}


class BybitSession(Client):
    """Connection of a client of Bybit."""

    def handle_message(self, message: str) -> None:
        try:
            request = json.loads(message)
        except ValueError:
            request = None
        request = request if isinstance(request, dict) else {}
        operation, topics = request.get("op"), request.get("args")
        if operation == "ping":
            self._answer(request, "pong")
        elif operation not in ("subscribe", "unsubscribe"):
            self._answer(request, "Invalid op", is_success=False)
        elif not isinstance(topics, list) or not all(isinstance(topic, str) for topic in topics):
            self._answer(request, "Params Error", is_success=False)
        elif self.venue.exchange == "bybit" and len(topics) > _MOST_TOPICS:
            self._answer(request, "args size >10", is_success=False)
        else:
            self._change_subscription(request, [topic.removeprefix(_PREFIX) for topic in topics])

    def _change_subscription(self, request: dict[str, Any], names: list[str]) -> None:
        unknown = [name for name in names if not self.venue.is_known(name)]
        if unknown:
            reason = f"Invalid symbol :[{_PREFIX}{unknown[0]}]"
            self._answer(request, reason, is_success=False)
            return
        change = self.venue.subscribe if request["op"] == "subscribe" else self.venue.unsubscribe
        for name in names:
            change(self, name)
        self._answer(request, "subscribe" if self.venue.exchange == "bybit" else "")

    def _answer(self, request: dict[str, Any], text: str, *, is_success: bool = True) -> None:
        number = {"req_id": request["req_id"]} if "req_id" in request else {}
        answer = {"success": is_success, "ret_msg": text, "conn_id": _CONNECTION, **number}
        self.send(_write({**answer, "op": request.get("op", "")}))


def _respond(rows: list[Any]) -> Answer:
    content = {"retCode": 0, "retMsg": "OK", "result": {"list": rows}, "retExtInfo": {}}
    return Answer(_write({**content, "time": now_us() // 1000}))


def reply_bybit(request: RestRequest) -> Answer:
    """Answer a request for the newest trades, for candles or for markets."""
    name, query = request.path.removeprefix("v5/market/"), request.query
    is_spot = request.venue.exchange == "bybit"
    if query.get("category") != ("spot" if is_spot else "linear"):
        raise refuse('{"retCode":10001,"retMsg":"Illegal category"}', HTTPStatus.OK)
    if name in ("instruments-info", "tickers"):
        return _respond(_list_markets(request, is_spot=is_spot))
    native_symbol = query.get("symbol", "")
    if not request.venue.is_known(native_symbol):
        raise refuse('{"retCode":10001,"retMsg":"params error: Symbol Invalid"}', HTTPStatus.OK)
    invalid = refuse('{"retCode":10001,"retMsg":"params error: limit invalid"}', HTTPStatus.OK)
    if name == "kline":
        limit = parse_limit(query, "limit", 1000, 200, invalid)
        begin, end = (parse_number(query, which, invalid) for which in ("start", "end"))
        return _respond(_candles(request, native_symbol, limit, begin or 0, end or _FOREVER))
    if name == "recent-trade":
        most = 60 if is_spot else 1000
        limit = parse_limit(query, "limit", most, 60 if is_spot else 500, invalid)
        page = show_page(request, request.trades(native_symbol)[-limit:])
        feed = FEEDS[request.venue.exchange]
        return _respond(
            [
                {
                    "execId": feed.trade_id(trade),
                    "symbol": native_symbol,
                    "price": price(trade),
                    "size": quantity(trade),
                    "side": _side(trade),
                    "time": str(trade.time_us // 1000),
                    "isBlockTrade": False,
                    "isRPITrade": False,
                }
                for trade in reversed(page)
            ]
        )
    raise refuse("404 page not found", HTTPStatus.NOT_FOUND)


def _candles(
    request: RestRequest, native_symbol: str, limit: int, begin: int, end: int
) -> list[list[str]]:
    """Return the rows of candles between two times in milliseconds, newest first."""
    price_of, lots = amount_writers(request.venue.markets[native_symbol])
    candles = [
        candle
        for candle in market_candles(request, native_symbol)
        if begin <= candle.start_us // 1000 <= end
    ]
    return [
        [
            str(candle.start_us // 1000),
            *map(price_of, (candle.open, candle.high, candle.low, candle.close)),
            lots(candle.lots),
            "0",
        ]
        for candle in reversed(candles[-limit:])
    ]


def _list_markets(request: RestRequest, *, is_spot: bool) -> list[dict[str, Any]]:
    contract = {} if is_spot else {"contractType": "LinearPerpetual", "settleCoin": "USDT"}
    return [
        {
            "symbol": name,
            "baseCoin": market.base,
            "quoteCoin": market.quote,
            "status": "Trading",
            **contract,
            "priceFilter": {"tickSize": tick(market)},
            "lastPrice": f"{list_price(market):f}",
            "turnover24h": f"{list_price(market) * volume(market):f}",
        }
        for name, market in request.venue.markets.items()
        if request.venue.is_known(name)
    ]
