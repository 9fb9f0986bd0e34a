"""A database that is away, or silent: requests are answered soon, streams say so, and all goes on
once it is back.
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
class Shown:
    """A server of ClickHouse, what stands before it, and the page over it."""

    server: Serving
    between: Mute
    tables: Database
    """Run beside what stands between."""
    client: Client


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server of ClickHouse; who ends it starts it again."""
    with serving(tmp_path_factory.mktemp("server")) as started:
        yield started


@pytest.fixture
def shown(server: Serving, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shown]:
    """A page as `candlewax serve` makes it, over an empty database."""
    name = f"market_{next(_numbers)}"
    monkeypatch.setenv("no_proxy", "*")
    # A query that hangs does so until its end: nothing here may wait for its timeout.
    monkeypatch.setitem(clickhouse.SHORT_TIMEOUTS, "send_receive_timeout", 3_600)
    with ExitStack() as stack:
        between = stack.enter_context(mute(server.port))
        tables = stack.enter_context(closing(open_tables(Address(server.dsn), name)))
        store_series(tables, COUNT)
        dsn = server.dsn.replace(f":{server.port}", f":{between.port}")
        store = Store(partial(connect, Address(dsn), name, fail_fast=True))
        stack.callback(store.close)
        seen = StoredFeedStatus()
        viewers = Subscribers(seen)
        recent = CandleCache()
        beside = [Poll(store, viewers, seen, recent).run]
        app = build_app(store, viewers, recent, None, beside, feed_title="a test")
        page = Server(app, viewers, "127.0.0.1", 0)
        page.start()
        stack.callback(page.stop)
        yield Shown(server, between, tables, Client(page.port))


def ask_all(client: Client) -> None:
    """Ask on every address that asks the database, for what is not kept."""
    for path in PATHS:
        answer = client.ask(path, {"from": 1, **MARKET} if path in PATHS[:2] else {})
        assert answer.refusal[:2] == (503, "database_away"), path
        assert answer.headers["retry-after"] == "2"
    assert client.ask("/api/v1/health").json["cross_check"] is None


def test_requests_are_refused_while_the_database_is_away(shown: Shown) -> None:
    """At once, on every address that asks it; then they are answered again."""
    assert shown.client.ask("/api/v1/symbols").status == 200
    shown.server.end()
    begin = time.monotonic()
    ask_all(shown.client)
    # Far below the ten minutes that the pipeline waits for a server.
    assert time.monotonic() - begin < 60
    shown.server.start()
    assert answered(shown.client, "/api/v1/symbols").status == 200


@pytest.mark.parametrize("mode", [Mode.SILENT, Mode.HALF])
def test_requests_are_refused_while_the_database_is_silent(shown: Shown, mode: Mode) -> None:
    """It takes connections and queries, and says nothing, or half a head."""
    assert shown.client.ask("/api/v1/symbols").status == 200
    shown.between.mode = mode
    ask_all(shown.client)
    shown.between.speak()
    assert answered(shown.client, "/api/v1/symbols").status == 200


def answered(client: Client, path: str) -> Any:
    """Ask until the database is back."""
    while (answer := client.ask(path)).status == 503:
        assert answer.refusal[1] == "database_away"
    return answer


@contextmanager
def streaming(client: Client) -> Iterator[Iterator[tuple[str, Any]]]:
    """The events of a stream, as they come."""
    connection = HTTPConnection("127.0.0.1", client.port, timeout=60)
    connection.request("GET", f"/api/v1/stream?{urlencode(MARKET)}")
    answer = connection.getresponse()
    assert answer.status == 200
    yield events(answer)
    connection.close()


def events(answer: HTTPResponse) -> Iterator[tuple[str, Any]]:
    """Parse what a stream says; it ends with the stream."""
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
def test_stream_reports_a_database_that_is_away_and_continues(shown: Shown, mode: Mode) -> None:
    """What was stored meanwhile is told or to be read anew, before anything else."""
    with streaming(shown.client) as told:
        assert next(said for name, said in told if name == "health")["database"] == "there"
        shown.between.mode = mode
        away = next(said for name, said in told if name == "database")
        assert away == {"state": "away", "message": "ClickHouse does not answer"}
        health = next(said for name, said in told if name == "health")
        assert (health["database"], health["status"]) == ("away", "degraded")
        with streaming(shown.client) as late:
            assert next(said for name, said in late if name == "database") == away
        store_one(shown.tables, 500)
        shown.between.speak()
        there = next(said for name, said in told if name == "database")
        assert there == {"state": "there", "message": None}
        assert next(name for name, _ in told if name != "health") == "reset"
        rows = shown.client.ask(CANDLES, MARKET).rows
        assert rows[-1]["trade_count"] == candle(500)["trade_count"]
        store_one(shown.tables, 501)
        closes = [one["trade_count"] for said in candles(told) for one in said["data"]]
        assert closes == [candle(501)["trade_count"]]


def candles(told: Iterator[tuple[str, Any]]) -> Iterator[Any]:
    """Yield the next news of candles; what was found before the reset may come again."""
    for name, said in told:
        if name == "candles":
            said["data"] = [
                one for one in said["data"] if one["trade_count"] > candle(500)["trade_count"]
            ]
            if said["data"]:
                yield said
                return


def test_page_shows_that_the_database_is_away(browser: Browser, shown: Shown) -> None:
    """Beside the candles that it has; then it shows what was stored meanwhile."""
    chosen = Chosen("BTC/USDT", "1m")
    with opened(browser, shown.client.port, chosen) as faulty:
        faulty.load()
        faulty.expect_drawn(shown.client, chosen)
        shown.between.mode = Mode.SILENT
        expect(faulty.page.locator("#state")).to_have_attribute("data-state", "database")
        said = faulty.page.locator("#empty")
        expect(said).to_contain_text("The database is away: ClickHouse does not answer")
        store_series(shown.tables, COUNT + 3)
        shown.between.speak()
        faulty.until("(count) => candlewax.drawn().length === count", COUNT + 3)
        faulty.expect_drawn(shown.client, chosen, COUNT + 3)
