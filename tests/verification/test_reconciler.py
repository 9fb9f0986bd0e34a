"""Live reconciliation over real tables and the sockets of a simulated exchange."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest
from bytewax.testing import TestingSource, run_main

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.reconciliation_table import ReconciliationTable
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.rest.client import Client, RetryPolicy
from candlewax.pipeline import builder
from candlewax.runtime.counters import Counters
from candlewax.simulator.market.market import Market, Trade
from candlewax.simulator.plan import Plan
from candlewax.simulator.server import Simulator
from candlewax.verification.reconciler import Reconciler
from candlewax.verification.reconciliation_schedule import Timing
from dataflows import ohlcv
from tests.support.exchange_server import running
from tests.support.mending import heard
from tests.support.minutes_of_trades import begin_s, market_of, publish, trades_of
from tests.support.playing import INSTRUMENTS

COUNTS = (4, 1, 0, 7, 2)
"""Trades of each minute."""

LAST = 40
"""Trades of one more minute, one a second, which closes the minute before it."""


class Clock:
    """A clock that only the test moves, in seconds; waiting moves it too."""

    def __init__(self) -> None:
        self.time = 1_000.0

    def now(self) -> float:
        return self.time

    def wait(self, seconds: float) -> bool:
        self.time += seconds
        return True


class World:
    """A simulated exchange, tables with the candles of its trades, and what compares them."""

    def __init__(self, exchange: str, tables: Database, simulator: Simulator) -> None:
        self.exchange, self.tables, self.simulator = exchange, tables, simulator
        self.market: Market = market_of(exchange)
        self.clock = Clock()
        self.counters = Counters()
        self.begin = begin_s(12)
        self.client = Client(
            EXCHANGES[exchange].rest,
            simulator.rest_url(exchange),
            wait=self.clock.wait,
            now=self.clock.now,
            retry_policy=RetryPolicy(first_backoff_s=1),
        )
        self.reconciler = self.start()

    def start(self) -> Reconciler:
        """A process that starts."""
        rules = EXCHANGES[self.exchange].candles
        assert rules is not None
        return Reconciler(
            self.exchange,
            rules,
            ReconciliationTable(self.tables, self.exchange),
            self.counters,
            timing=Timing(missing_s=0),
            monotonic=self.clock.now,
        )

    def store(self, trades: Sequence[Trade]) -> None:
        """Store the frames of trades and their candles, as the pipeline does."""
        feed: Any = TestingSource([heard(trades)])
        exchanges = INSTRUMENTS.exchanges
        run_main(
            ohlcv.build(
                builder.build_components(feed, INSTRUMENTS, exchanges, self.tables, Counters())
            )
        )

    def look(self) -> int:
        """Let a minute pass and compare what is due. Return the number of requests."""
        before = len(self.simulator.rest_log)
        self.clock.time += 60
        self.reconciler.run(self.client, self.clock.time + 60)
        return len(self.simulator.rest_log) - before

    def results(self) -> dict[int, str]:
        """What the view says of each closed minute, by its place."""
        rows = self.tables.query(
            "SELECT toUnixTimestamp(window_start) AS start, toString(reconciled) AS reconciled "
            "FROM ohlcv_1m_reconciled WHERE closed ORDER BY start"
        ).rows()
        return {(start - self.begin) // 60: reconciled for start, reconciled in rows}

    def count(self, result: str) -> int:
        """How many comparisons had a result, by the metrics."""
        return self.counters.total("reconciled", self.exchange, result)

    def spoil(self, minute: int, change: str) -> None:
        """Store a later row of a candle that is wrong."""
        self.tables.command(
            "INSERT INTO ohlcv SELECT * EXCEPT updated_at REPLACE ("
            f"version + 2 AS version, {change}), now64(6) FROM ohlcv FINAL WHERE timeframe = '1m' "
            f"AND window_start = toDateTime({self.begin + 60 * minute}, 'UTC')"
        )


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """A simulator that plays nothing by itself."""
    with running(Simulator(Plan(starts_paused=True))) as (opened, _):
        yield opened


@pytest.fixture
def world(
    request: pytest.FixtureRequest, tables: Database, simulator: Simulator
) -> Iterator[World]:
    """An exchange with trades that are stored and published; of Binance by default."""
    exchange = getattr(request, "param", "binance")
    made = World(exchange, tables, simulator)
    trades = trades_of(made.market, made.begin, (*COUNTS, LAST))
    simulator.published.forget(exchange)
    publish(simulator, trades)
    made.store(trades)
    yield made
    made.client.close()


ALL_EQUAL = {0: "equal", 1: "equal", 3: "equal", 4: "equal"}


@pytest.mark.parametrize(
    "world",
    ["binance", "binance_usdm", "kraken", "coinbase", "okx", "bybit", "bitstamp", "gemini"],
    indirect=True,
)
def test_closed_candles_equal_those_of_the_exchange(world: World) -> None:
    """One request compares all minutes of a market; a process that starts again asks for none."""
    assert set(world.results().values()) == {"no"}
    assert world.look() == 1
    assert world.results() == ALL_EQUAL
    assert world.count("equal") == 4
    assert world.look() == 0
    world.reconciler = world.start()
    assert world.look() == 0
    assert world.count("equal") == 4
    assert world.counters.gauges()["unreconciled", world.exchange] == 0


def test_first_look_comes_after_a_minute(world: World) -> None:
    """A process that has just started has other things to do."""
    world.clock.time += 59
    world.reconciler.run(world.client, world.clock.time + 60)
    assert set(world.results().values()) == {"no"}


def test_difference_is_stored_with_both_values_and_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """Once the candle is corrected it is compared again."""
    ((close,),) = world.tables.query(
        f"SELECT close FROM ohlcv_1m WHERE window_start = toDateTime({world.begin + 180}, 'UTC')"
    ).rows()
    world.spoil(3, "close + toDecimal128('0.000000000001', 12) AS close")
    world.look()
    assert world.results() == {**ALL_EQUAL, 3: "differs"}
    ((differing,),) = world.tables.query(
        "SELECT toString(differing) FROM ohlcv_1m_reconciled WHERE reconciled = 'differs'"
    ).rows()
    ours, theirs = f"{close:f}"[:-1] + "1", f"{close:f}".rstrip("0").rstrip(".")
    assert differing == f"{{'close':('{ours}','{theirs}')}}"
    (message,) = [log.getMessage() for log in caplog.records if log.levelname == "ERROR"]
    assert message.endswith(f"the exchange's own candle in close: ours {ours}, theirs {theirs}")
    world.spoil(3, "close - toDecimal128('0.000000000001', 12) AS close")
    assert world.results() == {**ALL_EQUAL, 3: "no"}
    world.look()
    assert world.results() == ALL_EQUAL


def test_candle_that_differs_is_compared_again_after_doubling_pauses(world: World) -> None:
    """The exchange may correct its own. A new process compares it at once."""
    world.spoil(0, "trade_count + 1 AS trade_count")
    requests = [world.look() for _ in range(50)]
    assert [minute for minute, count in enumerate(requests) if count] == [0, 14, 42]
    world.reconciler = world.start()
    assert world.look() == 1


def test_new_difference_is_not_told_before_it_is_confirmed(
    tables: Database, simulator: Simulator
) -> None:
    """The exchange may not have finished its candle."""
    world = World("binance", tables, simulator)
    world.begin = begin_s(3)
    trades = trades_of(world.market, world.begin, (2, 1, LAST))
    simulator.published.forget("binance")
    publish(simulator, trades)
    world.store(trades)
    world.spoil(0, "trade_count + 1 AS trade_count")
    world.reconciler._now = lambda: world.begin + 60 + 179.0  # noqa: SLF001 - the test's own clock
    world.look()
    assert world.results() == {0: "no", 1: "equal"}
    world.reconciler._now = lambda: world.begin + 60 + 180.0  # noqa: SLF001
    assert world.look() == 1
    assert world.results() == {0: "differs", 1: "equal"}
    assert world.count("differs") == 1
    world.client.close()


@pytest.mark.parametrize("world", ["coinbase"], indirect=True)
def test_minute_that_the_exchange_does_not_show_is_unavailable(world: World) -> None:
    """Its reason is stored."""
    own = world.simulator.published.market_trades("coinbase", world.market.native_symbol)
    kept = [trade for trade in own.all() if trade.time_us // 60_000_000 * 60 != world.begin]
    world.simulator.published.forget("coinbase")
    publish(world.simulator, kept)
    world.look()
    assert world.results() == {**ALL_EQUAL, 0: "unavailable"}
    ((reason,),) = world.tables.query(
        "SELECT reason FROM reconciliations WHERE result = 'unavailable'"
    ).rows()
    assert reason == "the exchange shows no candle of this minute"


def test_minute_without_a_candle_of_ours_is_told(
    tables: Database, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """The exchange has trades of it; the row has version 0."""
    world = World("kraken", tables, simulator)
    trades = trades_of(world.market, world.begin, (2, 3, 2, LAST))
    simulator.published.forget("kraken")
    publish(simulator, trades)
    world.store([t for t in trades if t.time_us // 60_000_000 * 60 != world.begin + 60])
    world.look()
    assert world.results() == {0: "equal", 2: "equal"}
    world.look()
    assert world.results() == {0: "equal", 2: "equal"}
    ((start, version, ours, theirs),) = tables.query(
        "SELECT toUnixTimestamp(window_start), version, ours, theirs FROM reconciliations "
        "WHERE result = 'differs'"
    ).rows()
    assert (start, version, set(ours), theirs[-1]) == (world.begin + 60, 0, {""}, "3")
    assert "trade_count: ours none, theirs 3" in caplog.text
    # Its trades come after all.
    world.store(trades)
    world.look()
    assert world.results() == {0: "equal", 1: "equal", 2: "equal"}
    world.client.close()


def test_minutes_before_a_long_silence_of_ours_are_looked_for(
    tables: Database, simulator: Simulator
) -> None:
    """As far back as half of an answer: that of OKX has 100 minutes."""
    world = World("okx", tables, simulator)
    world.begin = begin_s(100)
    counts = (1, LAST, *[0] * 83, 2, 0, 1, LAST)
    trades = trades_of(world.market, world.begin, counts)
    simulator.published.forget("okx")
    publish(simulator, trades)
    world.store(trades[: 1 + LAST])
    world.look()
    assert world.results() == {0: "equal"}
    world.store([t for t in trades if t.time_us // 60_000_000 * 60 != world.begin + 60 * 85])
    world.look()
    assert world.results() == {0: "equal", 1: "no", 87: "equal"}
    world.look()
    ((start, version),) = tables.query(
        "SELECT toUnixTimestamp(window_start), version FROM reconciliations "
        "WHERE result = 'differs'"
    ).rows()
    assert (start, version) == (world.begin + 60 * 85, 0)
    world.client.close()


def test_candle_that_left_the_reach_waits_no_more(world: World) -> None:
    """Otherwise a request that fails for days would fill the memory."""
    world.simulator.fail_rate = 1
    world.look()
    assert world.counters.gauges()["unreconciled", world.exchange] == 4
    world.reconciler._now = lambda: world.begin + 86_400 + 180.0  # noqa: SLF001 - the test's own
    for _ in range(15):
        world.look()
    world.simulator.fail_rate = 0
    assert world.counters.gauges()["unreconciled", world.exchange] == 2


@pytest.mark.parametrize("world", ["kraken"], indirect=True)
def test_candle_that_the_exchange_no_longer_shows_is_not_asked_for(world: World) -> None:
    """Kraken shows the last 719 minutes."""
    world.reconciler._now = lambda: world.begin + 719 * 60 + 180.0  # noqa: SLF001 - the test's own
    assert world.look() == 1
    assert world.results() == {0: "no", 1: "no", 3: "equal", 4: "equal"}


def test_result_that_cannot_be_stored_is_stored_at_the_next_look(world: World) -> None:
    """Without asking the exchange again."""
    world.tables.command("ALTER TABLE reconciliations ADD CONSTRAINT held CHECK version = 0")
    assert world.look() == 1
    world.tables.command("ALTER TABLE reconciliations DROP CONSTRAINT held")
    assert world.look() == 0
    assert world.results() == ALL_EQUAL
    assert world.count("equal") == 4


def test_failed_requests_are_held_back_and_told_once(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The pauses double; gaps can be asked for meanwhile."""
    caplog.set_level(logging.INFO, "candlewax")
    world.simulator.fail_rate = 1
    requests = [world.look() for _ in range(8)]
    world.simulator.fail_rate = 0
    assert requests == [1, 1, 0, 1, 0, 0, 0, 1]
    assert world.client.seconds_until_slot() == 0
    warnings = [log for log in caplog.records if log.levelname == "WARNING"]
    assert [log.getMessage() for log in warnings] == [
        "binance: its candles cannot be asked for: status 503; it is tried again"
    ]
    assert world.counters.total("candle_requests", "binance", "refused") == 4
    for _ in range(8):
        world.look()
    assert world.results() == ALL_EQUAL
    assert "binance: its candles are compared again" in caplog.text


def test_unknown_market_is_unavailable(world: World) -> None:
    """The exchange's own text is the reason."""
    world.simulator.refuse(world.market.native_symbol)
    world.look()
    world.simulator.refuse(world.market.native_symbol, is_known=True)
    assert set(world.results().values()) == {"unavailable"}
    assert world.tables.query("SELECT DISTINCT reason FROM reconciliations").rows() == [
        ("Invalid symbol.",)
    ]


def test_database_that_is_away_is_told_once_and_looked_at_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """The next look reaches as far back as the first."""
    world.tables.command("RENAME TABLE reconciliations TO elsewhere")
    assert [world.look(), world.look()] == [0, 0]
    world.tables.command("RENAME TABLE elsewhere TO reconciliations")
    (warning,) = [log for log in caplog.records if log.levelname == "WARNING"]
    assert warning.getMessage().startswith("binance: the candles cannot be compared: ")
    world.look()
    assert world.results() == ALL_EQUAL


def test_requests_of_many_markets_keep_the_rate_limit(world: World) -> None:
    """A hundred markets cost eight requests for trades: 200 of the weight of 6000 a minute."""
    trades = trades_of(world.market, world.begin, (*COUNTS, LAST))
    names = [f"M{number}USDT" for number in range(100)]
    markets = [replace(world.market, native_symbol=name) for name in names]
    venue = world.simulator.venues["binance"]
    for market in markets:
        venue.markets[market.native_symbol] = market
        publish(world.simulator, [trade._replace(market=market) for trade in trades])
    world.store([trade._replace(market=market) for market in markets for trade in trades])
    began = world.clock.time
    assert world.look() == 101
    rest = EXCHANGES["binance"].rest
    spent = 101 * 2 / 25
    assert spent <= rest.burst + (world.clock.time - began) * rest.requests_per_s
    assert world.count("equal") == 101 * 4
    weight = sum(2 for _, _, target in world.simulator.rest_log if "klines" in target)
    assert weight <= 6000
    for name in names:
        del venue.markets[name]
