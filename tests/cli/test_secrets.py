"""No password of a server appears in any output, log, answer, health or metric."""

import base64
import logging
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from prometheus_client import REGISTRY, generate_latest

from candlewax.clickhouse.client import connect, open_tables
from candlewax.runtime.setting_parsers import Server as Address
from candlewax.web.app import build_app
from candlewax.web.cache.cache import CandleCache
from candlewax.web.queries import Store
from candlewax.web.server import Server
from candlewax.web.stream.poller import Poll, StoredFeedStatus
from candlewax.web.stream.subscribers import Subscribers
from tests.support import command_inside
from tests.support.clickhouse_process import Serving
from tests.support.web_server import CANDLES, MARKET, Client, store_candles

USER: Final = "can dle"
PASSWORD: Final = "Tr0ub:/%2F?#é&@dor"  # noqa: S105

COMMANDS: Final = (
    ("init",),
    ("check",),
    ("sql", "SELECT 1"),
    ("sql", "SELECT nonsense"),
    ("sql", "SELECT query, user FROM system.processes"),
    ("verify",),
    ("gaps", "--json"),
    ("serve", "--port", "99999"),
)

PATHS: Final = (
    "/api/v1", "/api/v1/health", "/api/v1/symbols", "/api/v1/exchanges", "/api/v1/gaps",
    "/openapi.json", "/", "/?query=SELECT+1", "/nothing",
)  # fmt: skip


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """A server with a password, and some candles."""
    monkeypatch.setenv("no_proxy", "*")
    started = Serving(tmp_path / "server", USER, PASSWORD)
    tables = open_tables(Address(started.dsn), "market")
    store_candles(tables, 3)
    tables.close()
    yield started
    started.end()


def assert_no_password(dsn: str, *texts: str) -> None:
    """Assert that no text holds the password in any of its forms."""
    account = dsn.partition("//")[2].partition("@")[0]
    coded = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    for secret in (PASSWORD, PASSWORD[:6], account, account.partition(":")[2], coded):
        assert not [text for text in texts if secret in text]


@pytest.mark.parametrize("is_there", [True, False])
def test_commands_do_not_print_passwords(
    server: Serving, caplog: pytest.LogCaptureFixture, *, is_there: bool
) -> None:
    """If they succeed or fail, with the right and a wrong password."""
    if not is_there:
        server.end()
    wrong = server.dsn.replace("Tr0ub", "Tr0ubXX")
    with caplog.at_level(logging.DEBUG):
        for dsn in (server.dsn, wrong, server.dsn.replace("http:", "https:")):
            for command in COMMANDS:
                done = command_inside.command(*command, CANDLEWAX_CLICKHOUSE=dsn)
                assert_no_password(dsn, done.stdout, done.stderr)
            for flow in ("ohlcv", "silver"):
                if dsn != server.dsn or not is_there:
                    done = command_inside.flow(flow, CANDLEWAX_CLICKHOUSE=dsn)
                    assert_no_password(dsn, done.stdout, done.stderr)
    assert_no_password(server.dsn, caplog.text, generate_latest(REGISTRY).decode())


def test_page_and_api_do_not_show_passwords(
    server: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    """While the server is there, and while it is away."""
    place = Address(server.dsn)
    with caplog.at_level(logging.DEBUG), ExitStack() as stack:
        store = Store(partial(connect, place, "market", fail_fast=True))
        stack.callback(store.close)
        status = StoredFeedStatus()
        subscribers = Subscribers(status)
        cache = CandleCache()
        background = [Poll(store, subscribers, status, cache).run]
        app = build_app(
            store, subscribers, cache, None, background, feed_title=f"{place}, database market"
        )
        page = Server(app, subscribers, "127.0.0.1", 0)
        page.start()
        stack.callback(page.stop)
        client = Client(page.port)
        statuses = set()
        for _ in range(2):
            for path in (*PATHS, CANDLES, "/api/v1/trades"):
                market = MARKET if path in {CANDLES, "/api/v1/trades"} else None
                answer = client.ask(path, market)
                statuses.add(answer.status)
                assert_no_password(server.dsn, answer.body.decode(), str(answer.headers))
            server.end()
        assert statuses == {200, 404, 503}
    assert_no_password(server.dsn, caplog.text, generate_latest(REGISTRY).decode())
