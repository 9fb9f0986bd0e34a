"""What others store is found in the tables, whatever it is and however old."""

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


class Watched:
    """What is kept of the tables, and who looks for changes."""

    def __init__(self, store: Store) -> None:
        self.recent = CandleCache()
        self.viewers = Subscribers(StoredFeedStatus())
        self.viewers.update_days(store.days())
        self.changes = Changes(store, self.viewers, self.recent)
        self.loader = Loader(store, self.recent, lambda: self.viewers.markets)

    def fill(self) -> None:
        asyncio.run(self.loader.fill())

    def look(self) -> dict[Series, dict[int, bytes]]:
        return asyncio.run(self.changes.poll())

    def rows(self) -> list[dict[str, Any]]:
        found = self.recent.page(SERIES, 0, LATEST, 10_000, last=True)
        assert found is not None
        return [json.loads(line) for line in found.lines()]


@pytest.fixture
def watched(tables: Database, engine_path: Path) -> Iterator[Watched]:
    store_candles(tables, COUNT)
    store = Store(partial(connect, engine_path, str(tables.client.database)))
    watched = Watched(store)
    watched.fill()
    # What was stored before is nothing new.
    watched.look()
    yield watched
    store.close()


def at(number: int) -> int:
    return int((BEGIN + timedelta(minutes=number)).timestamp())


def test_all_that_is_stored_is_read_beforehand(watched: Watched) -> None:
    """Of each series from its first candle on."""
    starts = [one["trade_count"] for one in watched.rows()]
    assert starts == [candle(number)["trade_count"] for number in range(COUNT)]
    assert watched.recent.complete_since(SERIES) == 0
    assert watched.recent.count == COUNT + 1


def test_a_new_candle_and_one_of_long_ago_are_found(tables: Database, watched: Watched) -> None:
    """Late trades change what was closed and packed away."""
    late = {**candle(3), "trade_count": 99}
    store_rows(tables, [row("1m", closed=True, **late), row("1m", closed=False, **candle(COUNT))])
    found = watched.look()
    assert set(found[SERIES]) == {at(3), at(COUNT)}
    rows = watched.rows()
    assert (len(rows), rows[3]["trade_count"]) == (COUNT + 1, 99)
    assert watched.look() == {}


def test_a_certificate_that_changes_is_found(tables: Database, watched: Watched) -> None:
    """It leaves the version as it is: the row stored last counts."""
    store_rows(tables, [{**row("1m", closed=True, **candle(3)), "missing": 5, "status": "gaps"}])
    watched.look()
    assert (watched.rows()[3]["missing"], watched.rows()[3]["status"]) == (5, "gaps")


def test_a_poorer_row_changes_nothing(tables: Database, watched: Watched) -> None:
    """Nor does it in the table."""
    poorer = {**candle(3), "trade_count": 1}
    store_rows(tables, [row("1m", closed=True, **poorer)])
    watched.look()
    assert watched.rows()[3]["trade_count"] == candle(3)["trade_count"]


def test_a_market_that_is_new_is_known_and_read(tables: Database, watched: Watched) -> None:
    """By its day's candle."""
    store_candles(tables, 2, "ETH/USDT")
    watched.look()
    assert ("binance", "ETH/USDT") in watched.viewers.markets
    watched.fill()
    found = watched.recent.page(Series("binance", "ETH/USDT", "1m"), 0, LATEST, 9, last=True)
    assert found is not None
    assert found.count == 2


def test_when_too_much_changes_at_once_all_is_read_anew(
    tables: Database, watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By pages, too. And what was stored before that is no reason to do it again."""
    monkeypatch.setattr(poller, "MOST_CHANGES", 20)
    monkeypatch.setattr(poller, "OVERLAP_S", 0.0)
    store_candles(tables, 50, "ETH/USDT")
    viewer = StreamClient(SERIES)
    watched.viewers.add(viewer)
    watched.look()
    assert b"event: reset" in (asyncio.run(viewer.next(1.0)) or b"")
    assert watched.recent.page(SERIES, 0, LATEST, 1, last=True) is None
    watched.fill()
    watched.look()
    assert len(watched.rows()) == COUNT


def test_the_cross_check_of_other_processes_is_told(tables: Database, engine_path: Path) -> None:
    """Of all exchanges together, as of the one that was looked at longest ago; of days before
    nothing.
    """
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
    found = store.cross_check()
    assert found == {
        "checked_at": f"{now - timedelta(minutes=9):%Y-%m-%dT%H:%M:%SZ}",
        "candles": 127,
        "mismatches": 1,
        "missing_in_gold": 3,
        "missing_in_check": 2,
    }
    seen = StoredFeedStatus()
    assert json.loads(Subscribers(seen).health())["cross_check"] is None
    seen.cross_check = found
    assert json.loads(Subscribers(seen).health())["cross_check"] == found
    # A database of before has no such table.
    tables.client.command("DROP TABLE cross_checks")
    assert store.cross_check() is None
    store.close()


class Failing:
    """Tables that cannot be read for a while: what is raised at each look, None being nothing.
    After the last one it is looked no more.
    """

    def __init__(self, errors: Sequence[Exception | None]) -> None:
        self._errors = list(errors)

    async def look(self) -> dict[Series, dict[int, bytes]]:
        if not self._errors:
            raise asyncio.CancelledError
        if error := self._errors.pop(0):
            raise error
        return {}


def told(monkeypatch: pytest.MonkeyPatch, errors: Sequence[Exception | None]) -> list[str]:
    """The events that a page gets while `up` follows such tables of a server; what comes
    together is told in one order.
    """
    viewers = Subscribers(StoredFeedStatus())
    viewer = StreamClient(SERIES)
    viewers.add(viewer)
    said: list[str] = []

    async def take(_: float) -> None:
        said.append((await viewer.next(0.01) or b"").decode())

    changes = Changes(cast(Store, None), viewers, CandleCache())
    monkeypatch.setattr(changes, "poll", Failing(errors).look)
    monkeypatch.setattr("candlewax.web.stream.poller.asyncio.sleep", take)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(changes.run())
    lines = "".join(said).splitlines()
    return [
        f"{name.removeprefix('event: ')} {json.loads(data.removeprefix('data: ')).get('state')}"
        for name, data in pairwise(lines)
        if name in {"event: database", "event: reset"}
    ]


def test_tables_that_cannot_be_read_are_told_once_and_read_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever the reason is; a database that is just busy is not away."""
    away, busy = UnavailableError("no answer"), BusyError("later")
    refused = ClickHouseError("Code: 516. DB::Exception: no")
    assert told(monkeypatch, [None, busy, None]) == []
    for errors in ([away], [away, away], [away, busy, away], [None, refused]):
        assert told(monkeypatch, [*errors, None, None]) == [
            "database away", "database there", "reset None",
        ]  # fmt: skip
