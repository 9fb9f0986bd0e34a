"""A live pipeline fills a span before its start by REST."""

import itertools
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from bytewax.testing import run_main

from candlewax.clickhouse.client import Database
from candlewax.core.gaps import fill_plan
from candlewax.core.kind_marks import SIMULATED
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.frame_buffer import Row
from candlewax.feeds.rest.client import RetryPolicy
from candlewax.feeds.rest.gap_fill import GapFillSource
from candlewax.feeds.rest.start_fill import StartSpan, markets_to_fill, span_begin
from candlewax.feeds.rest.worker import WorkerStopped, WorkerThread
from candlewax.pipeline import builder
from candlewax.pipeline.data_kind import claim
from candlewax.pipeline.process import ProcessContext
from candlewax.runtime.counters import Counters
from candlewax.simulator.server import Simulator
from candlewax.verification.verify import check_totals, verify
from dataflows import repair
from tests.support.mending import QUICK, asked, gaps, hear, markets, numbers, played, stored
from tests.support.playing import INSTRUMENTS

pytestmark = pytest.mark.slow("each test runs the whole pipeline", seconds=15)

EVERY = ("binance", "binance_usdm", "kraken", "coinbase")
HASTE = RetryPolicy(first_backoff_s=0.01, max_backoff_s=0.05)


def fill(
    tables: Database, simulator: Simulator, exchange: str, begin_us: int, until: int
) -> Counters:
    """Run a pipeline with a start span, by pages of 20, until so many trades are new to it."""
    tally, end = Counters(), time.monotonic() + 60
    endpoint = asked(simulator, exchange)[exchange]
    source = GapFillSource(
        {exchange: replace(endpoint, rest=replace(endpoint.rest, page_rows=20))},
        tables,
        tally,
        lambda: tally.total("trades") >= until or time.monotonic() > end,
        timing=QUICK,
        retry_policy=HASTE,
        start_span=StartSpan(begin_us, {exchange: list(markets(simulator, exchange))}),
    )
    process = ProcessContext(INSTRUMENTS, INSTRUMENTS.exchanges, tally)
    run_main(repair.build(builder.build_embedded(process, source, tables)))
    return tally


def begin_of(simulator: Simulator, exchange: str, share: float) -> int:
    """A time, in whole milliseconds, before which this share of an exchange's trades happened."""
    times = sorted(t.time_us for trades in markets(simulator, exchange).values() for t in trades)
    return times[int(len(times) * share)] // 1000 * 1000


def since(simulator: Simulator, exchange: str, begin_us: int) -> set[tuple[str, int]]:
    """Native symbol and number of each trade since a time."""
    expected: set[tuple[str, int]] = set()
    for trades in markets(simulator, exchange).values():
        expected |= numbers([t for t in trades if t.time_us >= begin_us])
    return expected


def require_exact(tables: Database, exchange: str, expected: set[tuple[str, int]]) -> None:
    """Check that exactly these trades are stored, once, and that candles agree with them."""
    assert stored(tables, exchange).keys() == expected
    rows = tables.query("SELECT count() AS n FROM silver_trades").item()
    assert rows == len(expected)
    assert verify(tables.client).equal
    assert not check_totals(tables.client)
    assert all(gap["missing"] == 0 for gap in gaps(tables))


@pytest.mark.parametrize("exchange", EVERY)
def test_span_before_the_first_trade_received_is_filled_exactly(
    tables: Database, exchange: str
) -> None:
    """From the trades of its first hour on, and not one before."""
    with played() as (simulator, _):
        begin = begin_of(simulator, exchange, 0.2)
        later = begin_of(simulator, exchange, 0.7)
        hear(tables, simulator, exchange, lambda _, trade: trade.time_us >= later)
        expected = since(simulator, exchange, begin)
        fill(tables, simulator, exchange, begin, len(expected - since(simulator, exchange, later)))
    require_exact(tables, exchange, expected)


def test_span_is_filled_without_any_trade_received(tables: Database) -> None:
    """A quiet market may send nothing for hours."""
    with played() as (simulator, _):
        claim(tables, Path("/heard"), "market", SIMULATED)
        begin = begin_of(simulator, "binance", 0.3)
        expected = since(simulator, "binance", begin)
        fill(tables, simulator, "binance", begin, len(expected))
    require_exact(tables, "binance", expected)


@pytest.mark.parametrize("exchange", ["bitstamp", "gemini"])
def test_whole_span_is_requested_where_ids_count_nothing(tables: Database, exchange: str) -> None:
    """Also of markets that are stored before it. What the websocket delivered is not stored twice,
    though REST tells other times, and no gap is claimed.
    """
    with played() as (simulator, _):
        hear(tables, simulator, exchange, lambda place, _: place % 3 == 0)
        known, expected = ids(tables, exchange), since(simulator, exchange, 0)
        fill(
            tables,
            simulator,
            exchange,
            begin_of(simulator, exchange, 0),
            len(expected) - len(known),
        )
    assert known < expected
    assert ids(tables, exchange) == expected
    rows = tables.query("SELECT count() AS n FROM silver_trades").item()
    assert rows == len(expected)
    assert gaps(tables) == []
    assert verify(tables.client).equal
    assert not check_totals(tables.client)


def ids(tables: Database, exchange: str) -> set[tuple[str, int]]:
    """Native symbol and id of each stored trade."""
    rows = tables.query(
        "SELECT native_symbol, toUInt64(trade_id) FROM silver_trades "
        "WHERE exchange = {name:String}",
        {"name": exchange},
    ).rows()
    return set(rows)


def test_restart_in_the_middle_goes_on_and_stores_no_trade_twice(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trades that were stored before are asked for again and recognized."""
    with played() as (simulator, _):
        claim(tables, Path("/heard"), "market", SIMULATED)
        begin = begin_of(simulator, "kraken", 0.1)
        expected = since(simulator, "kraken", begin)
        with monkeypatch.context() as patch:
            patch.setattr(WorkerThread, "put", ending_after(20, WorkerThread.put))
            fill(tables, simulator, "kraken", begin, len(expected))
        count_before = len(stored(tables, "kraken"))
        assert 0 < count_before < len(expected)
        fill(tables, simulator, "kraken", begin, len(expected) - count_before)
    require_exact(tables, "kraken", expected)


def ending_after(count: int, put: Callable[[WorkerThread, Row], None]) -> Any:
    """Return a way to queue frames that ends the thread after so many."""
    puts = itertools.count(1)

    def put_some(worker: WorkerThread, row: Row) -> None:
        put(worker, row)
        if next(puts) == count:
            raise WorkerStopped

    return put_some


def test_gap_of_the_span_is_filled_however_long(
    tables: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others of that length are given up."""
    monkeypatch.setattr(fill_plan, "MAX_GAP_NUMBERS", 10)
    with played() as (simulator, _):
        claim(tables, Path("/heard"), "market", SIMULATED)
        begin = begin_of(simulator, "coinbase", 0.2)
        expected = since(simulator, "coinbase", begin)
        fill(tables, simulator, "coinbase", begin, len(expected))
    require_exact(tables, "coinbase", expected)


def test_markets_stored_before_the_span_are_not_asked_for(tables: Database) -> None:
    """Trades that they lack are in the table of gaps."""
    with played() as (simulator, _):
        begin = begin_of(simulator, "binance", 0.5)
        native = sorted(markets(simulator, "binance"))
        known = native[::2]
        hear(tables, simulator, "binance", lambda _, trade: trade.market.native_symbol in known)
        span = StartSpan(begin, {"binance": native})
        first = {name: min(t.time_us for t in trades)
                 for name, trades in markets(simulator, "binance").items()}  # fmt: skip
    unknown = [name for name in native if name not in known or first[name] >= begin]
    rest = EXCHANGES["binance"].rest
    assert markets_to_fill(tables, "binance", rest, span, time.sleep) == unknown
    assert 0 < len(unknown) < len(native)


def test_what_the_exchange_no_longer_shows_is_named(
    tables: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """The oldest trade that it shows, by market; the later ones are filled."""
    with played(oldest=30) as (simulator, _):
        claim(tables, Path("/heard"), "market", SIMULATED)
        begin = begin_of(simulator, "binance", 0.0)
        shown = {name: trades[-30:] for name, trades in markets(simulator, "binance").items()}
        expected = set().union(*map(numbers, shown.values()))
        cut = {name for name, trades in markets(simulator, "binance").items() if len(trades) > 30}
        with caplog.at_level(logging.WARNING):
            fill(tables, simulator, "binance", begin, len(expected))
    require_exact(tables, "binance", expected)
    named = {name for name in shown
             if f"shows no trade of {name} before number {shown[name][0].trade_id}, of"
             in caplog.text}  # fmt: skip
    assert cut
    assert cut <= named


@pytest.mark.parametrize("text", ["2026-09-15T00:00:00", "2026-09-15T00:59:59.999999"])
def test_span_begins_at_a_whole_hour(text: str) -> None:
    """Rounded down, so that the candle of its first hour is complete."""
    now = datetime.fromisoformat(text).replace(tzinfo=UTC)
    assert span_begin(timedelta(hours=24), now) == datetime(2026, 9, 14, tzinfo=UTC)
