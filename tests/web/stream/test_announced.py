"""Batches of rows: pages and the cache get of them what they get of columns."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.batch import Batch
from candlewax.core.rows.candle_rows import CandleRow
from candlewax.core.rows.columns import batch_columns, candle_columns, merge_rows, trade_columns
from candlewax.core.rows.forming import FormingCandles
from candlewax.core.rows.records import Trade
from candlewax.core.rows.row_batch import AnyBatch, RowBatch
from candlewax.web import encode
from candlewax.web.cache.cache import CandleCache
from candlewax.web.cache.series import LATEST, LoadedCandles
from candlewax.web.queries import Series
from candlewax.web.stream import announced
from candlewax.web.stream.batch_queue import BatchQueue, DrainedBatches
from candlewax.web.stream.broadcaster import Broadcaster
from candlewax.web.stream.client import StreamClient
from tests.support.announced_rows import BEGIN_US, MINUTE_US, candle_row, row_batch, trade_row

SERIES = Series("binance", "BTC/USDT", "1m")

AMOUNTS = st.integers(0, 10**30)
NUMBERS = st.integers(0, (1 << 63) - 1)
TIMES = st.integers(0, 4_291_747_200 * 10**6)
COUNTS = st.integers(0, 1 << 15)
STATUSES = st.sampled_from(sorted(encode.STATUSES))


@given(
    st.builds(
        CandleRow, st.integers(1, 6), st.just("A/B"), TIMES, *[AMOUNTS] * 6, NUMBERS, AMOUNTS,
        AMOUNTS, TIMES, TIMES, NUMBERS, NUMBERS, COUNTS, COUNTS, NUMBERS, STATUSES, NUMBERS,
        st.just("x"), st.booleans(), NUMBERS, st.just(1),
    )
)  # fmt: skip
def test_candle_of_a_row_is_the_same_json_as_of_columns(row: CandleRow) -> None:
    columns = candle_columns([row]).row(0, named=True)
    assert encode.candle_of_row(row) == encode.candle(columns)


@given(
    st.builds(
        Trade, st.just(0), *[st.just("A")] * 4, st.text(max_size=9), NUMBERS, TIMES,
        st.integers(1, 2), *[AMOUNTS] * 3, st.none() | st.text(max_size=9), TIMES, st.just("c"),
        COUNTS, COUNTS, COUNTS, st.just(1), COUNTS, st.just({}),
    )
)  # fmt: skip
def test_trade_of_a_row_is_the_same_json_as_of_columns(row: Trade) -> None:
    columns = trade_columns("x", [row]).row(0, named=True)
    assert encode.trade_of_row(row) == encode.trade(columns)


class Shown:
    """A pipeline's queue and writer, and a page that watches."""

    def __init__(self, *, watched: bool = True) -> None:
        self.queue, self.cache = BatchQueue(), CandleCache()
        self.live = Broadcaster(self.queue, self.cache)
        changes = self.cache.begin_read(SERIES)
        self.cache.extend(SERIES, changes, LoadedCandles(0, (), {}))
        self.forming = FormingCandles()
        self.pending: list[AnyBatch] = []
        self.pages = [self.open()] if watched else []

    def open(self) -> StreamClient:
        client = StreamClient(SERIES)
        self.live.add(client)
        return client

    def announce(self, *batches: AnyBatch) -> None:
        for batch in batches:
            self.queue.announce(batch)
            self.pending.append(batch)
        self.live.catch_up()

    def store(self) -> None:
        """Store as the writer does: as columns, without forming candles."""
        self.queue.put_announced(merge_rows(self.forming.hold(self.pending)))
        self.pending = []
        self.live.catch_up()

    def events(self) -> list[bytes]:
        """Return the events that each page received, without the health, which tells the time."""

        async def received() -> list[bytes]:
            # A wait in vain would bind a page to this loop.
            for page in self.pages:
                page.put_health(b"{}")
            return [await page.next(1) or b"" for page in self.pages]

        return [event.partition(b"event: health")[0] for event in asyncio.run(received())]

    def cached(self) -> list[tuple[str, int, bool]]:
        page = self.cache.page(SERIES, 0, LATEST, 100, last=True)
        rows = map(json.loads, page.lines() if page else [])
        return [(row["window_start"], row["trade_count"], row["closed"]) for row in rows]


def taken(page: StreamClient) -> dict[str, Any]:
    """The trade counts of candles and the ids of trades that a page received."""
    text = (asyncio.run(page.next(0.001)) or b"").decode()
    received: dict[str, Any] = {}
    for event in text.split("\n\n"):
        name, _, data = event.removeprefix("event: ").partition("\ndata: ")
        if name == "candles":
            rows = json.loads(data)["data"]
            received[name] = [(row["trade_count"], row["closed"]) for row in rows]
        if name == "trades":
            received[name] = [row["trade_id"] for row in json.loads(data)["data"]]
    return received


def test_announced_rows_are_sent_once() -> None:
    """Neither their trades nor their candle is sent again once it is stored."""
    shown = Shown()
    (page,) = shown.pages
    taken(page)
    for number in range(2):
        shown.announce(row_batch(candle_row(number + 1), trades=(trade_row(number),)))
    assert taken(page) == {"candles": [(2, False)], "trades": ["1000", "1001"]}
    shown.store()
    shown.queue.put_announced(merge_rows(shown.forming.release()))
    shown.live.catch_up()
    assert taken(page) == {}


def test_closed_candle_of_rows_is_sent_once_it_is_stored() -> None:
    """Its trades, and the candle that begins, are sent on arrival."""
    shown = Shown()
    (page,) = shown.pages
    taken(page)
    closed, begun = candle_row(7, closed=True), candle_row(1, start=BEGIN_US + MINUTE_US)
    shown.announce(row_batch(closed, begun, trades=(trade_row(7),)))
    assert taken(page) == {"candles": [(1, False)], "trades": ["1007"]}
    shown.store()
    assert taken(page) == {"candles": [(7, True)]}


def test_new_page_receives_what_is_not_stored() -> None:
    """A candle that is held back although its trades are stored, and trades that are not."""
    shown = Shown(watched=False)
    shown.announce(row_batch(candle_row(1), trades=(trade_row(1),)))
    shown.store()
    assert taken(shown.open()) == {"candles": [(1, False)]}
    shown.announce(row_batch(candle_row(2), trades=(trade_row(2),)))
    assert taken(shown.open()) == {"candles": [(2, False)], "trades": ["1002"]}
    shown.announce(row_batch(candle_row(2, closed=True)))
    assert taken(shown.open()) == {"trades": ["1002"]}
    shown.store()
    assert taken(shown.open()) == {}


def test_trade_announced_while_a_page_is_added_is_sent_to_it_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = Shown(watched=False)
    drain = shown.queue.drain

    def drain_then_announce() -> DrainedBatches:
        drained = drain()
        monkeypatch.setattr(shown.queue, "drain", drain)
        shown.queue.announce(row_batch(candle_row(1), trades=(trade_row(1),)))
        return drained

    monkeypatch.setattr(shown.queue, "drain", drain_then_announce)
    page = shown.open()
    first = taken(page)
    shown.live.catch_up()
    assert [*first.get("trades", []), *taken(page).get("trades", [])] == ["1001"]


def test_ticker_follows_announced_rows() -> None:
    """A late change of the day before is not the last price."""
    shown = Shown(watched=False)
    day = 1440 * MINUTE_US
    today, before = candle_row(5, timeframe=6, start=BEGIN_US + day), candle_row(9, timeframe=6)
    shown.announce(row_batch(today), batch_columns([row_batch(before)]))
    assert shown.live.markets == {("binance", "BTC/USDT")}
    assert b'"close":"5"' in (asyncio.run(shown.open().next(0.001)) or b"")
    shown.announce(batch_columns([row_batch(today._replace(close=6 * 10**12, version=12))]))
    assert b'"close":"6"' in (asyncio.run(shown.open().next(0.001)) or b"")


def test_last_trades_are_known_without_a_page() -> None:
    shown = Shown(watched=False)
    assert shown.live.last_trades() == {}
    candle = candle_row(5, timeframe=6)
    shown.announce(row_batch(candle._replace(close=7 * 10**12)))
    assert shown.live.last_trades()["binance", "BTC/USDT"].price == 7
    shown.announce(row_batch(candle._replace(close=8 * 10**12, version=12)))
    assert shown.live.last_trades()["binance", "BTC/USDT"].price == 8


def test_rows_that_nobody_asks_for_are_not_converted(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> bytes:
        raise AssertionError("nobody asked for it")

    for module, name in (
        (encode, "candle_of_row"), (encode, "trade_of_row"), (announced, "candle_columns")
    ):  # fmt: skip
        monkeypatch.setattr(module, name, refuse)
    shown = Shown(watched=False)
    for number in range(3):
        shown.queue.announce(row_batch(candle_row(number + 1), trades=(trade_row(number),)))
        shown.live._send_news()  # noqa: SLF001 - a round of its loop


def test_page_awaits_announced_candles_of_its_market() -> None:
    shown = Shown()
    batch = row_batch(candle_row(1), trades=(trade_row(1),))
    assert shown.live.is_awaited(batch, was_announced=False)
    assert not shown.live.is_awaited(replace(batch, candles=()), was_announced=False)
    assert not shown.live.is_awaited(replace(batch, exchange="kraken"), was_announced=False)
    other = row_batch(candle_row(1, symbol="ETH/USDT"))
    assert not shown.live.is_awaited(other, was_announced=False)


STEPS = st.lists(
    st.sampled_from(["trade", "trade", "trade", "close", "other", "columns", "store", "open"]),
    max_size=30,
)


@given(STEPS)
def test_pages_and_cache_hold_the_same_with_rows_and_with_columns(steps: list[str]) -> None:
    """Bytes of events are equal, whichever batches are rows, and whenever they are stored. The
    cache holds the latest state of a forming candle, and a closed one once it is stored.
    """
    mixed, columnar = Shown(), Shown()
    minute = trades = 0
    is_column = False
    expected: dict[int, tuple[int, bool]] = {}
    unstored: dict[int, tuple[int, bool]] = {}
    for number, step in enumerate(steps):
        batch: RowBatch | None = None
        start = BEGIN_US + minute * MINUTE_US
        if step == "trade":
            trades += 1
            row = candle_row(trades, start=start)
            batch = row_batch(row, candle_row(number + 1, timeframe=6), trades=(trade_row(number),))
            expected[minute] = trades, False
        if step == "close" and trades:
            batch = row_batch(candle_row(trades, start=start, closed=True))
            unstored[minute] = trades, True
            minute, trades = minute + 1, 0
        if step == "other":
            row = candle_row(number, symbol="ETH/USDT")
            batch = row_batch(row, trades=(trade_row(number, "ETH/USDT"),))
        is_column ^= step == "columns"
        if batch:
            columns = batch_columns([batch])
            mixed.announce(columns if is_column else batch)
            columnar.announce(columns)
        if step == "store":
            expected |= unstored
            unstored = {}
        for shown in (mixed, columnar):
            if step == "store":
                shown.store()
            if step == "open":
                shown.pages.append(shown.open())
        assert mixed.events() == columnar.events()
    mixed.store()
    expected |= unstored
    assert [state[1:] for state in mixed.cached()] == [expected[n] for n in sorted(expected)]


def test_cache_holds_a_candle_that_is_held_back() -> None:
    """Before an answer of the API, which shows no older state than the tables."""
    shown = Shown(watched=False)
    shown.announce(row_batch(candle_row(1)))
    shown.store()
    shown.announce(row_batch(candle_row(2)))
    assert [state[1:] for state in shown.cached()] == [(2, False)]
    shown.announce(row_batch(candle_row(2, closed=True)))
    assert [state[1:] for state in shown.cached()] == [(2, False)]
    shown.store()
    assert [state[1:] for state in shown.cached()] == [(2, True)]


def test_recomputed_forming_candle_takes_the_place_of_an_announced_one() -> None:
    """A new page gets it alone."""
    shown = Shown(watched=False)
    shown.announce(row_batch(candle_row(1)))
    shown.queue.put([Batch("binance", {"ohlcv": candle_columns([candle_row(2)])})])
    assert taken(shown.open()) == {"candles": [(2, False)]}
