"""A real server over real tables, and what a client sees of it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from starlette.routing import BaseRoute

from candlewax.clickhouse.client import Database, connect, open_tables
from candlewax.web.app import build_app
from candlewax.web.cache.cache import CandleCache
from candlewax.web.queries import Store
from candlewax.web.server import Server
from candlewax.web.sql.endpoint import Reader
from candlewax.web.stream.batch_queue import BatchQueue
from candlewax.web.stream.broadcaster import Broadcaster

BEGIN = datetime(2026, 9, 14, 12, tzinfo=UTC)
CANDLES = "/api/v1/ohlcv/1m"
MARKET = {"exchange": "binance", "symbol": "BTC/USDT"}


@dataclass
class Answer:
    """What a server says."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self.json["data"]
        return rows

    @property
    def refusal(self) -> tuple[int, str, str | None]:
        error = self.json["error"]
        assert set(self.json) == {"error"}
        assert error["message"]
        return self.status, error["code"], error.get("parameter")


@dataclass
class Client:
    """Asks as a program does that writes its requests itself."""

    port: int

    def ask(
        self,
        path: str,
        parameters: dict[str, Any] | None = None,
        *,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            address = f"{path}?{urlencode(parameters)}" if parameters else path
            connection.request(method, address, body, dict(headers or {}))
            answer = connection.getresponse()
            given = {name.lower(): text for name, text in answer.getheaders()}
            return Answer(answer.status, given, answer.read())
        finally:
            connection.close()


@dataclass
class Served:
    """What is served, and the ends that tests pull."""

    client: Client
    hub: BatchQueue
    live: Broadcaster
    store: Store
    tables: Database
    routes: list[BaseRoute]


@contextmanager
def serving(
    tables: Database, path: Path, hub: BatchQueue | None = None, port: int = 0, **options: Any
) -> Iterator[Served]:
    """The page, the API and SQL over a database, on a free port unless one is named.

    `options` are those of the application: names, prefix.
    """
    name = str(tables.client.database)
    hub = hub or BatchQueue()
    with ExitStack() as stack:
        store = Store(partial(connect, path, name))
        stack.callback(store.close)
        reader = Reader(path, name)
        stack.callback(reader.close)
        recent = CandleCache()
        live = Broadcaster(hub, recent)
        live.update_days(store.days())
        app = build_app(store, live, recent, reader, (live.run,), feed_title="a test", **options)
        server = Server(app, live, "127.0.0.1", port)
        server.start()
        stack.callback(server.stop)
        yield Served(Client(server.port), hub, live, store, tables, app.routes)


@contextmanager
def filled_tables(
    engine: Database, path: Path, name: str, candles: int, trades: int = 0
) -> Iterator[Database]:
    """The tables of a database with so many candles and trades, which is dropped at the end."""
    opened = open_tables(path, name)
    store_candles(opened, candles)
    if trades:
        store_trades(opened, trades)
    yield opened
    opened.close()
    engine.client.command(f"DROP DATABASE {name} SYNC")


def candle(number: int) -> dict[str, Any]:
    """The candle of a minute, made by rule: what the API must say of it."""
    return {
        "window_start": BEGIN + timedelta(minutes=number),
        "open": Decimal(100 + number),
        "high": Decimal(100 + number) + Decimal("1.5"),
        "low": Decimal(100 + number) - Decimal("0.000000000001"),
        "close": Decimal(100 + number) + Decimal("0.25"),
        "volume": Decimal("2.5") * (number + 1),
        "trade_count": number + 1,
    }


def store_candles(tables: Database, count: int, symbol: str = "BTC/USDT") -> None:
    """Store candles of the first minutes, the last one forming, and their day."""
    rows = [
        row("1m", symbol, closed=number < count - 1, **candle(number)) for number in range(count)
    ]
    day = {**candle(0), "window_start": BEGIN.replace(hour=0), "close": candle(count - 1)["close"]}
    store_rows(tables, [*rows, row("1d", symbol, closed=False, **day)])


def store_rows(tables: Database, rows: list[dict[str, Any]]) -> None:
    """Store rows of `ohlcv`."""
    names = list(rows[0])
    tables.client.insert("ohlcv", [list(one.values()) for one in rows], column_names=names)


def row(timeframe: str, symbol: str = "BTC/USDT", *, closed: bool, **values: Any) -> dict[str, Any]:
    """A row of `ohlcv`."""
    start = values["window_start"]
    return {
        "timeframe": timeframe,
        "exchange": "binance",
        "symbol": symbol,
        **values,
        "quote_volume": Decimal(1),
        "buy_volume": Decimal(1),
        "buy_quote_volume": Decimal(1),
        "open_time": start,
        "close_time": start + timedelta(seconds=59),
        "first_sequence": 1,
        "last_sequence": values["trade_count"],
        "status": "complete" if closed else "forming",
        "closed": closed,
        "version": 2 * values["trade_count"] + closed,
    }


def trade(number: int) -> dict[str, Any]:
    """A trade, made by rule: three of them in each microsecond."""
    return {
        "timestamp": BEGIN + timedelta(microseconds=number // 3),
        "trade_id": str(1000 + number),
        "sequence": 1000 + number,
        "side": "SELL" if number % 2 else "BUY",
        "price": Decimal(100 + number) + Decimal("0.1"),
        "quantity": Decimal("0.000000000001") * (number + 1),
    }


def store_trades(tables: Database, count: int) -> None:
    """Store the first trades."""
    rows = [
        {
            "exchange": "binance", "symbol": "BTC/USDT", "native_symbol": "BTCUSDT",
            "base": "BTC", "quote": "USDT", **trade(number),
            "quote_volume": Decimal(1), "conditions": [], "received_at": BEGIN,
            "source": "binance-0", "source_partition": 0, "source_offset": number,
            "source_index": 0, "vendor_data": {},
        }
        for number in range(count)
    ]  # fmt: skip
    values = [list(row.values()) for row in rows]
    tables.client.insert("silver_trades", values, column_names=list(rows[0]))
