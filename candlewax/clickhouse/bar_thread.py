"""Bars of all markets with thresholds in the instruments file, made of stored trades."""

import logging
import threading
from collections.abc import Collection, Iterator
from typing import Final

from clickhouse_connect.driver.exceptions import ClickHouseError
from prometheus_client import Counter, Gauge

from candlewax.clickhouse.bar_table import BarTable, Refreshed
from candlewax.clickhouse.client import Database, DatabaseError, connect, short_message
from candlewax.core.bars.rules import BarRule
from candlewax.core.instruments import Instruments
from candlewax.runtime.setting_parsers import Server
from candlewax.runtime.settings import Settings

INTERVAL_S: Final = 10.0
"""Seconds between two looks at the tables."""

_END_S: Final = 2.0
"""Seconds to wait for a look at a server when the process ends."""

_STORED: Final = Counter(
    "candlewax_bars_stored",
    "Bars stored: new ones, changed ones, and the last one of each changed day.",
    ["exchange"],
)
_NEWEST: Final = Gauge(
    "candlewax_last_bar_timestamp_seconds",
    "Time of the last trade in the newest bar that this process made, in seconds since 1970.",
    ["exchange"],
)

_log: Final = logging.getLogger("candlewax")


def bar_rules(
    instruments: Instruments, exchanges: Collection[str] | None = None
) -> Iterator[tuple[str, str, tuple[BarRule, ...]]]:
    """Yield exchange, unified symbol and rules of each market with bars."""
    for exchange, markets in instruments.content.bars.items():
        if exchanges is None or exchange in exchanges:
            for symbol, rules in markets.items():
                if rules:
                    yield exchange, symbol, rules


def refresh_all(
    database: Database, instruments: Instruments, exchanges: Collection[str] | None = None
) -> Iterator[tuple[str, str, Refreshed]]:
    """Make the bars of all days that have changed; yield what was done of each market."""
    table = BarTable(database)
    for exchange, symbol, rules in bar_rules(instruments, exchanges):
        yield exchange, symbol, table.refresh(exchange, symbol, rules)


class BarThread:
    """Thread that makes bars every few seconds, on a connection of its own.

    If the database is unavailable, the next look tries again; the process goes on.
    """

    def __init__(
        self, settings: Settings, instruments: Instruments, exchanges: Collection[str] | None
    ) -> None:
        self._settings = settings
        self._instruments = instruments
        self._exchanges = exchanges
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="bars", daemon=True)
        self._database: Database | None = None
        self._table: BarTable | None = None
        self._is_failing = False
        self._newest_us: dict[str, int] = {}

    @classmethod
    def of(
        cls, settings: Settings, instruments: Instruments, exchanges: Collection[str] | None = None
    ) -> "BarThread | None":
        """Return the thread; None if no market has bars."""
        has_rules = any(bar_rules(instruments, exchanges))
        return cls(settings, instruments, exchanges) if has_rules else None

    def begin(self) -> None:
        """Start the thread."""
        self._thread.start()

    def end(self) -> None:
        """Make the bars once more and end; do not wait long for a server."""
        self._done.set()
        if self._thread.ident is not None:
            is_server = isinstance(self._settings.clickhouse, Server)
            self._thread.join(_END_S if is_server else None)
        if self._database is not None and not self._thread.is_alive():
            self._database.close()

    def _run(self) -> None:
        is_done = False
        while not is_done:
            is_done = self._done.wait(INTERVAL_S)
            self.run_once()

    def run_once(self) -> None:
        """Make the bars of all days that have changed; log a failure once."""
        try:
            if self._table is None:
                self._database = connect(self._settings.clickhouse, self._settings.database)
                self._table = BarTable(self._database)
            for exchange, symbol, rules in bar_rules(self._instruments, self._exchanges):
                self._count(exchange, self._table.refresh(exchange, symbol, rules))
        except (ClickHouseError, DatabaseError) as error:
            reason = short_message(error) if isinstance(error, ClickHouseError) else str(error)
            if not self._is_failing:
                _log.warning("bars were not made, it is tried again: %s", reason)
            self._is_failing = True
            return
        self._is_failing = False

    def _count(self, exchange: str, refreshed: Refreshed) -> None:
        """Count stored bars, and follow the newest one of the exchange's markets."""
        _STORED.labels(exchange).inc(refreshed.rows)
        if refreshed.newest_us > self._newest_us.get(exchange, 0):
            self._newest_us[exchange] = refreshed.newest_us
            _NEWEST.labels(exchange).set(refreshed.newest_us / 1_000_000)
