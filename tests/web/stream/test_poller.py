"""The poller finds what other processes store, of any kind and age."""

import asyncio
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
from clickhouse_connect.driver.exceptions import ClickHouseError

from candlewax.clickhouse.client import BusyError, Database, UnavailableError, connect
from candlewax.core.cross_check import COLUMNS
from candlewax.web.cache.cache import CandleCache
from candlewax.web.cache.loader import Loader
from candlewax.web.cache.series import LATEST
from candlewax.web.queries import Series, Store
from candlewax.web.stream import poller
from candlewax.web.stream.client import StreamClient
from candlewax.web.stream.poller import Changes, StoredFeedStatus
from candlewax.web.stream.subscribers import Subscribers
from tests.support.web_server import BEGIN, candle, row, store_candles, store_rows

SERIES = Series("binance", "BTC/USDT", "1m")
COUNT = 700


class Polled:
    """The cache and subscribers of one server, with a poller that is called by hand."""

    def __init__(self, store: Store) -> None:
        self.cache = CandleCache()
        self.subscribers = Subscribers(StoredFeedStatus())
        self.subscribers.update_days(store.days())
        self.changes = Changes(store, self.subscribers, self.cache)
        self.loader = Loader(store, self.cache, lambda: self.subscribers.markets)

    def fill(self) -> None:
        asyncio.run(self.loader.fill())

    def poll(self) -> dict[Series, dict[int, bytes]]:
        return asyncio.run(self.changes.poll())

    def rows(self) -> list[dict[str, Any]]:
        page = self.cache.page(SERIES, 0, LATEST, 10_000, last=True)
        assert page is not None
        return [json.loads(line) for line in page.lines()]


@pytest.fixture
def polled(tables: Database, engine_path: Path) -> Iterator[Polled]:
    store_candles(tables, COUNT)
    store = Store(partial(connect, engine_path, str(tables.client.database)))
    polled = Polled(store)
    polled.fill()
    # Rows stored before the first poll are no changes.
    polled.poll()
    yield polled
    store.close()


def at(number: int) -> int:
    return int((BEGIN + timedelta(minutes=number)).timestamp())


def test_cache_is_filled_with_every_stored_candle(polled: Polled) -> None:
    """Each series is complete from its first candle."""
    starts = [row["trade_count"] for row in polled.rows()]
    assert starts == [candle(number)["trade_count"] for number in range(COUNT)]
    assert polled.cache.complete_since(SERIES) == 0
    assert polled.cache.count == COUNT + 1


def test_poll_finds_a_new_candle_and_an_old_one_that_changed(
    tables: Database, polled: Polled
) -> None:
    """Late trades change candles that are closed and packed. The next poll finds no change."""
    late = {**candle(3), "trade_count": 99}
    store_rows(tables, [row("1m", closed=True, **late), row("1m", closed=False, **candle(COUNT))])
    changes = polled.poll()
    assert set(changes[SERIES]) == {at(3), at(COUNT)}
    rows = polled.rows()
    assert (len(rows), rows[3]["trade_count"]) == (COUNT + 1, 99)
    assert polled.poll() == {}


def test_poll_finds_a_changed_certificate(tables: Database, polled: Polled) -> None:
    """A certificate does not change the version of a candle: the row stored last counts."""
    store_rows(tables, [{**row("1m", closed=True, **candle(3)), "missing": 5, "status": "gaps"}])
    polled.poll()
    assert (polled.rows()[3]["missing"], polled.rows()[3]["status"]) == (5, "gaps")


def test_poll_ignores_a_row_with_fewer_trades(tables: Database, polled: Polled) -> None:
    """The table ignores it too."""
    poorer = {**candle(3), "trade_count": 1}
    store_rows(tables, [row("1m", closed=True, **poorer)])
    polled.poll()
    assert polled.rows()[3]["trade_count"] == candle(3)["trade_count"]


def test_poll_finds_a_new_market(tables: Database, polled: Polled) -> None:
    """By its candle of a day; the loader then reads its other series."""
    store_candles(tables, 2, "ETH/USDT")
    polled.poll()
    assert ("binance", "ETH/USDT") in polled.subscribers.markets
    polled.fill()
    page = polled.cache.page(Series("binance", "ETH/USDT", "1m"), 0, LATEST, 9, last=True)
    assert page is not None
    assert page.count == 2


def test_cache_is_read_again_after_too_many_changes(
    tables: Database, polled: Polled, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients receive a reset. The same changes cause no second reset."""
    monkeypatch.setattr(poller, "MOST_CHANGES", 20)
    monkeypatch.setattr(poller, "OVERLAP_S", 0.0)
    store_candles(tables, 50, "ETH/USDT")
    client = StreamClient(SERIES)
    polled.subscribers.add(client)
    polled.poll()
    assert b"event: reset" in (asyncio.run(client.next(1.0)) or b"")
    assert polled.cache.page(SERIES, 0, LATEST, 1, last=True) is None
    polled.fill()
    polled.poll()
    assert len(polled.rows()) == COUNT


def test_health_reports_the_cross_check_of_other_processes(
    tables: Database, engine_path: Path
) -> None:
    """Exchanges are summed up, with the oldest of their times; earlier days do not count."""
    store = Store(partial(connect, engine_path, str(tables.client.database)))
    assert store.cross_check() is None
    now = datetime.now(UTC).replace(microsecond=0)
    rows = [
        ("binance", now - timedelta(minutes=1), 100, 0, 0, 0),
        ("binance", now, 120, 1, 0, 2),
        ("kraken", now - timedelta(minutes=9), 7, 0, 3, 0),
        ("coinbase", now - timedelta(days=2), 1000, 50, 0, 0),
    ]
    tables.client.insert("cross_checks", rows, column_names=COLUMNS)
    stored = store.cross_check()
    assert stored == {
        "checked_at": f"{now - timedelta(minutes=9):%Y-%m-%dT%H:%M:%SZ}",
        "candles": 127,
        "mismatches": 1,
        "missing_in_gold": 3,
        "missing_in_check": 2,
    }
    status = StoredFeedStatus()
    assert json.loads(Subscribers(status).health())["cross_check"] is None
    status.cross_check = stored
    assert json.loads(Subscribers(status).health())["cross_check"] == stored
    # A database of an older release has no such table.
    tables.client.command("DROP TABLE cross_checks")
    assert store.cross_check() is None
    store.close()


class Failing:
    """Tables that cannot be read for a while: the error of each poll, None where it succeeds.

    The poll after the last one ends the poller.
    """

    def __init__(self, errors: Sequence[Exception | None]) -> None:
        self._errors = list(errors)

    async def poll(self) -> dict[Series, dict[int, bytes]]:
        if not self._errors:
            raise asyncio.CancelledError
        if error := self._errors.pop(0):
            raise error
        return {}


def database_events(
    monkeypatch: pytest.MonkeyPatch, errors: Sequence[Exception | None]
) -> list[str]:
    """Events that a client of `up` receives while polls of a server's tables fail so."""
    subscribers = Subscribers(StoredFeedStatus())
    client = StreamClient(SERIES)
    subscribers.add(client)
    received: list[str] = []

    async def receive(_: float) -> None:
        received.append((await client.next(0.01) or b"").decode())

    changes = Changes(cast(Store, None), subscribers, CandleCache())
    monkeypatch.setattr(changes, "poll", Failing(errors).poll)
    monkeypatch.setattr("candlewax.web.stream.poller.asyncio.sleep", receive)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(changes.run())
    lines = "".join(received).splitlines()
    return [
        f"{name.removeprefix('event: ')} {json.loads(data.removeprefix('data: ')).get('state')}"
        for name, data in pairwise(lines)
        if name in {"event: database", "event: reset"}
    ]


def test_failed_polls_are_reported_once_and_followed_by_a_reset(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For any error that lasts; a database that is only busy is not reported."""
    away, busy = UnavailableError("no answer"), BusyError("later")
    refused = ClickHouseError("Code: 516. DB::Exception: no")
    assert database_events(monkeypatch, [None, busy, None]) == []
    for errors in ([away], [away, away], [away, busy, away], [None, refused]):
        assert database_events(monkeypatch, [*errors, None, None]) == [
            "database away", "database there", "reset None",
        ]  # fmt: skip
