"""A database that is away or silent: requests are refused soon, streams report it, and both
continue once it is back.
"""

import itertools
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, expect

from candlewax.clickhouse import client as clickhouse
from candlewax.clickhouse.client import Database, connect, open_tables
from candlewax.runtime.setting_parsers import Server as Address
from candlewax.web.app import build_app
from candlewax.web.cache.cache import CandleCache
from candlewax.web.queries import Store
from candlewax.web.server import Server
from candlewax.web.stream.poller import Poll, StoredFeedStatus
from candlewax.web.stream.subscribers import Subscribers
from tests.support.browser import browser
from tests.support.clickhouse_process import Serving, serving
from tests.support.faulty_web import COUNT, Chosen, opened, store_series
from tests.support.mute_server import Mode, Mute, mute
from tests.support.web_server import CANDLES, MARKET, Client, candle, row, store_rows

pytestmark = pytest.mark.slow("a server, and a browser", seconds=15)

__all__ = ["browser"]

_numbers = itertools.count()

PATHS = (CANDLES, "/api/v1/trades", "/api/v1/symbols", "/api/v1/exchanges", "/api/v1/gaps")


@dataclass
class WebServer:
    """The page over a ClickHouse server, with a proxy between that can fall silent."""

    server: Serving
    proxy: Mute
    tables: Database
    """A connection that does not pass through the proxy."""
    client: Client


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A ClickHouse server. A test that ends it starts it again."""
    with serving(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture
def web(server: Serving, monkeypatch: pytest.MonkeyPatch) -> Iterator[WebServer]:
    """The page as `candlewax serve` runs it, over a database with a few candles."""
    name = f"market_{next(_numbers)}"
    monkeypatch.setenv("no_proxy", "*")
    # A query hangs until its connection ends: no test may wait for the timeout.
    monkeypatch.setitem(clickhouse.SHORT_TIMEOUTS, "send_receive_timeout", 3_600)
    with ExitStack() as stack:
        proxy = stack.enter_context(mute(server.port))
        tables = stack.enter_context(closing(open_tables(Address(server.dsn), name)))
        store_series(tables, COUNT)
        dsn = server.dsn.replace(f":{server.port}", f":{proxy.port}")
        store = Store(partial(connect, Address(dsn), name, fail_fast=True))
        stack.callback(store.close)
        status = StoredFeedStatus()
        subscribers = Subscribers(status)
        cache = CandleCache()
        background = [Poll(store, subscribers, status, cache).run]
        app = build_app(store, subscribers, cache, None, background, feed_title="a test")
        page = Server(app, subscribers, "127.0.0.1", 0)
        page.start()
        stack.callback(page.stop)
        yield WebServer(server, proxy, tables, Client(page.port))


def assert_all_refused(client: Client) -> None:
    """Assert that each endpoint that queries the database refuses, for rows that are not cached."""
    for path in PATHS:
        answer = client.ask(path, {"from": 1, **MARKET} if path in PATHS[:2] else {})
        assert answer.refusal[:2] == (503, "database_away"), path
        assert answer.headers["retry-after"] == "2"
    assert client.ask("/api/v1/health").json["cross_check"] is None


def test_requests_are_refused_while_the_database_is_away(web: WebServer) -> None:
    """At once, on each endpoint; requests are answered once the database is back."""
    assert web.client.ask("/api/v1/symbols").status == 200
    web.server.end()
    begin = time.monotonic()
    assert_all_refused(web.client)
    # Far below the ten minutes that the pipeline waits for a server.
    assert time.monotonic() - begin < 60
    web.server.start()
    assert wait_for_answer(web.client, "/api/v1/symbols").status == 200


@pytest.mark.parametrize("mode", [Mode.SILENT, Mode.HALF])
def test_requests_are_refused_while_the_database_is_silent(web: WebServer, mode: Mode) -> None:
    """It accepts connections and queries, and answers nothing or half a header."""
    assert web.client.ask("/api/v1/symbols").status == 200
    web.proxy.mode = mode
    assert_all_refused(web.client)
    web.proxy.speak()
    assert wait_for_answer(web.client, "/api/v1/symbols").status == 200


def wait_for_answer(client: Client, path: str) -> Any:
    """Ask until the database is back; return the answer."""
    while (answer := client.ask(path)).status == 503:
        assert answer.refusal[1] == "database_away"
    return answer


@contextmanager
def streaming(client: Client) -> Iterator[Iterator[tuple[str, Any]]]:
    """The events of a stream, on arrival."""
    connection = HTTPConnection("127.0.0.1", client.port, timeout=60)
    connection.request("GET", f"/api/v1/stream?{urlencode(MARKET)}")
    answer = connection.getresponse()
    assert answer.status == 200
    yield events(answer)
    connection.close()


def events(answer: HTTPResponse) -> Iterator[tuple[str, Any]]:
    """Yield the name and data of each event until the stream ends."""
    name = ""
    for line in answer:
        word, _, text = line.decode().rstrip("\n").partition(": ")
        if word == "event":
            name = text
        elif word == "data":
            yield name, json.loads(text)


def store_one(tables: Database, number: int) -> None:
    store_rows(tables, [row("1m", closed=True, **candle(number))])


@pytest.mark.parametrize("mode", [Mode.SILENT, Mode.HALF])
def test_stream_reports_a_database_that_is_away_and_continues(web: WebServer, mode: Mode) -> None:
    """Once the database is back, a reset comes first, then new candles."""
    with streaming(web.client) as events_:
        assert next(data for name, data in events_ if name == "health")["database"] == "there"
        web.proxy.mode = mode
        away = next(data for name, data in events_ if name == "database")
        assert away == {"state": "away", "message": "ClickHouse does not answer"}
        health = next(data for name, data in events_ if name == "health")
        assert (health["database"], health["status"]) == ("away", "degraded")
        with streaming(web.client) as late_events:
            assert next(data for name, data in late_events if name == "database") == away
        store_one(web.tables, 500)
        web.proxy.speak()
        there = next(data for name, data in events_ if name == "database")
        assert there == {"state": "there", "message": None}
        assert next(name for name, _ in events_ if name != "health") == "reset"
        rows = web.client.ask(CANDLES, MARKET).rows
        assert rows[-1]["trade_count"] == candle(500)["trade_count"]
        store_one(web.tables, 501)
        closes = [
            candle_["trade_count"] for data in next_candles(events_) for candle_ in data["data"]
        ]
        assert closes == [candle(501)["trade_count"]]


def next_candles(events_: Iterator[tuple[str, Any]]) -> Iterator[Any]:
    """Yield the next event of candles stored after the reset; earlier ones may be repeated."""
    for name, data in events_:
        if name == "candles":
            data["data"] = [
                candle_
                for candle_ in data["data"]
                if candle_["trade_count"] > candle(500)["trade_count"]
            ]
            if data["data"]:
                yield data
                return


def test_page_shows_that_the_database_is_away(browser: Browser, web: WebServer) -> None:
    """It keeps its candles, and later shows those stored meanwhile."""
    chosen = Chosen("BTC/USDT", "1m")
    with opened(browser, web.client.port, chosen) as faulty:
        faulty.load()
        faulty.expect_drawn(web.client, chosen)
        web.proxy.mode = Mode.SILENT
        expect(faulty.page.locator("#state")).to_have_attribute("data-state", "database")
        message = faulty.page.locator("#empty")
        expect(message).to_contain_text("The database is away: ClickHouse does not answer")
        store_series(web.tables, COUNT + 3)
        web.proxy.speak()
        faulty.until("(count) => candlewax.drawn().length === count", COUNT + 3)
        faulty.expect_drawn(web.client, chosen, COUNT + 3)
