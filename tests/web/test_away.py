"""A database that is away: requests are answered soon, and as ever once it is back."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from candlewax._readers import Server as Address
from candlewax.connectors.clickhouse import connect, open_tables
from candlewax.web.app import make
from candlewax.web.poll import Poll, Seen
from candlewax.web.recent import Recent
from candlewax.web.server import Server
from candlewax.web.store import Store
from candlewax.web.viewers import Viewers
from tests.clickhouse.serving import Serving
from tests.web.serving import CANDLES, MARKET, Client, store_candles

PATHS = (CANDLES, "/api/v1/trades", "/api/v1/symbols", "/api/v1/exchanges", "/api/v1/gaps")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """A server with some candles."""
    monkeypatch.setenv("no_proxy", "*")
    started = Serving(tmp_path / "server")
    tables = open_tables(Address(started.dsn), "market")
    store_candles(tables, 3)
    tables.close()
    yield started
    started.end()


def test_requests_are_refused_while_the_database_is_away(server: Serving) -> None:
    """At once, on every address that asks it; then they are answered again."""
    with ExitStack() as stack:
        store = Store(partial(connect, Address(server.dsn), "market", hasty=True))
        stack.callback(store.close)
        seen = Seen()
        viewers = Viewers(seen)
        recent = Recent()
        beside = [Poll(store, viewers, seen, recent).run]
        page = Server(
            make(store, viewers, recent, None, beside, what="a test"), viewers, "127.0.0.1", 0
        )
        page.start()
        stack.callback(page.stop)
        client = Client(page.port)
        assert client.ask("/api/v1/symbols").status == 200
        server.end()
        for path in PATHS:
            # Not what is kept, but what has to be asked for.
            begin = time.monotonic()
            answer = client.ask(path, {"from": 1, **MARKET} if path in PATHS[:2] else {})
            # Far below the ten minutes that the pipeline waits for a server.
            assert time.monotonic() - begin < 10, path
            assert answer.refusal[:2] == (503, "database_away"), path
            assert answer.headers["retry-after"] == "2"
        assert client.ask("/api/v1/health").json["cross_check"] is None
        server.start()
        assert client.ask("/api/v1/symbols").status == 200
