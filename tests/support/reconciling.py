"""A simulated exchange, tables with the candles of its trades, and what compares both."""

from collections.abc import Sequence
from typing import Any

from bytewax.testing import TestingSource, run_main

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.reconciliation_table import ReconciliationTable
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.rest.client import Client, RetryPolicy
from candlewax.pipeline import builder
from candlewax.runtime.counters import Counters
from candlewax.simulator.market.market import Market, Trade
from candlewax.simulator.server import Simulator
from candlewax.verification.reconciler import Reconciler
from candlewax.verification.reconciliation_schedule import Timing
from dataflows import ohlcv
from tests.support.mending import heard
from tests.support.minutes_of_trades import begin_s, market_of
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

    def next_round(self) -> int:
        """Let a minute pass and compare what is due. Return the number of requests."""
        before = len(self.simulator.rest_log)
        self.clock.time += 60
        self.reconciler.run(self.client, self.clock.time + 60)
        return len(self.simulator.rest_log) - before

    def results(self) -> dict[int, str]:
        """Return the result of each closed minute in the view, by its place."""
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


ALL_EQUAL = {0: "equal", 1: "equal", 3: "equal", 4: "equal"}
"""Results of the closed minutes, if none differs."""
