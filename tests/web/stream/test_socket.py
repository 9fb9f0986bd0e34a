"""The event stream as a WebSocket, over a real server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from candlewax.clickhouse.client import Database
from candlewax.core.batch import Batch
from candlewax.web.stream import subscribers
from tests.support.web_server import MARKET, Served, serving, store_candles
from tests.web.page.test_page import COUNT, changed

PATIENCE_S: Final = 20.0


@pytest.fixture(scope="module")
def served(shared_tables: Database, engine_path: Path) -> Iterator[Served]:
    with serving(shared_tables, engine_path) as server:
        yield server


@pytest.fixture(scope="module")
def shared_tables(databases: Any) -> Iterator[Database]:
    with databases.one() as tables:
        store_candles(tables, COUNT)
        yield tables


def opened(
    served: Served, headers: dict[str, str] | None = None, **changes: str
) -> ClientConnection:
    query = urlencode({**MARKET, "timeframe": "1m", **changes})
    address = f"ws://127.0.0.1:{served.client.port}/api/v1/stream?{query}"
    return connect(address, additional_headers=headers, compression=None, proxy=None)


def until(socket: ClientConnection, name: str) -> Any:
    """Receive messages until an event of this name comes; return its data."""
    while True:
        for event, data in json.loads(socket.recv(PATIENCE_S)):
            if event == name:
                return data


def test_socket_sends_the_events_of_its_series(served: Served) -> None:
    """The first message has the prices and the health, later ones what changed."""
    with opened(served) as socket:
        assert [row["symbol"] for row in until(socket, "tickers")] == ["BTC/USDT"]
        served.hub.put([Batch("binance", {"ohlcv": changed(COUNT, "150.5", closed=False)})])
        event = until(socket, "candles")
        assert {**MARKET, "timeframe": "1m"}.items() <= event.items()
        assert [row["close"] for row in event["data"]] == ["150.5"]


@pytest.mark.parametrize(
    ("headers", "changes", "status", "code"),
    [
        ({}, {"timeframe": "7m"}, 400, "bad_parameter"),
        ({}, {"colour": "red"}, 400, "bad_parameter"),
        ({"Origin": "https://evil.example"}, {}, 403, "foreign_origin"),
        ({"Sec-Fetch-Site": "cross-site"}, {}, 403, "foreign_origin"),
    ],
)
def test_socket_refuses_bad_parameters_and_other_sites(
    served: Served, headers: dict[str, str], changes: dict[str, str], status: int, code: str
) -> None:
    """Browsers let pages of any site open a WebSocket; the answer is that of HTTP."""
    with pytest.raises(InvalidStatus) as raised:
        opened(served, headers, **changes)
    assert raised.value.response.status_code == status
    assert json.loads(raised.value.response.body)["error"]["code"] == code


def test_socket_that_closes_frees_its_place(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One beyond the limit of streams is refused until another closes."""
    monkeypatch.setattr(subscribers, "most_streams", lambda: 1)
    with opened(served) as socket:
        until(socket, "health")
        with pytest.raises(InvalidStatus) as raised:
            opened(served)
        assert raised.value.response.status_code == 503
    while served.live.watched_series:
        served.client.ask("/api/v1")
    with opened(served) as socket:
        until(socket, "health")


def test_socket_is_closed_when_the_server_ends(tables: Database, engine_path: Path) -> None:
    """With the status of a server that goes away."""
    with serving(tables, engine_path) as served, opened(served) as socket:
        until(socket, "health")
        served.live.end()
        with pytest.raises(ConnectionClosed) as raised:
            until(socket, "an event that never comes")
        assert raised.value.rcvd is not None
        assert raised.value.rcvd.code == 1001
