"""Bars of all markets with thresholds in the instruments file, made of stored trades."""

import logging
import threading
import time
from collections.abc import Collection, Iterator
from typing import Final

from clickhouse_connect.driver.exceptions import ClickHouseError
from polars.exceptions import PanicException

from candlewax.clickhouse import bar_metrics
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

    It runs once a market has thresholds. Whatever fails in a round is logged and counted, the other
    markets are made all the same, and the next round tries again; the process goes on.
    """

    def __init__(
        self, settings: Settings, instruments: Instruments, exchanges: Collection[str] | None = None
    ) -> None:
        self._settings = settings
        self._instruments = instruments
        self._exchanges = exchanges
        self._done = threading.Event()
        self._wake = threading.Event()
        self._begin_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="bars", daemon=True)
        self._database: Database | None = None
        self._table: BarTable | None = None
        self._reasons: dict[str, str] = {}
        self._newest_us: dict[str, int] = {}
        self._followed: set[str] = set()
        self._rules = self._read_rules()

    def begin(self) -> None:
        """Start the thread if a market has thresholds and it does not run yet."""
        with self._begin_lock:
            if not self._rules or self._done.is_set() or self._thread.ident is not None:
                return
            self._follow_exchanges()
            self._thread.start()

    def follow(self) -> None:
        """Take up the thresholds of a changed instruments file, and log what changes."""
        before, self._rules = self._rules, self._read_rules()
        changes = _changed_rules(before, self._rules)
        if not changes:
            return
        _log.info("bars: %s", "; ".join(changes))
        self._follow_exchanges()
        self.begin()
        self._wake.set()

    def end(self) -> None:
        """Make the bars once more and end; do not wait long for a server."""
        with self._begin_lock:
            self._done.set()
            self._wake.set()
        if self._thread.ident is not None:
            is_server = isinstance(self._settings.clickhouse, Server)
            self._thread.join(_END_S if is_server else None)
        if self._database is not None and not self._thread.is_alive():
            self._database.close()

    def _run(self) -> None:
        is_done = False
        while not is_done:
            self._wake.wait(INTERVAL_S)
            self._wake.clear()
            is_done = self._done.is_set()
            self.run_once()

    def run_once(self) -> None:
        """Make the bars of all days that have changed; log each failure once."""
        failed: set[str] = set()
        rules = self._rules
        for (exchange, symbol), market_rules in rules.items():
            name = f"{exchange} {symbol}"
            try:
                if self._table is None:
                    self._database = connect(self._settings.clickhouse, self._settings.database)
                    self._table = BarTable(self._database)
                self._count(exchange, self._table.refresh(exchange, symbol, market_rules))
            except (ClickHouseError, DatabaseError) as error:
                reason = short_message(error) if isinstance(error, ClickHouseError) else str(error)
                self._fail(exchange, name, reason)
                failed.add(exchange)
            except (Exception, PanicException) as error:  # noqa: BLE001 - the thread must go on
                self._fail(exchange, name, f"{type(error).__name__}: {error}", error)
                failed.add(exchange)
            else:
                self._reasons.pop(name, None)
        for exchange in {exchange for exchange, _ in rules} - failed:
            bar_metrics.end_round(exchange, time.time())

    def _fail(
        self, exchange: str, name: str, reason: str, unexpected: BaseException | None = None
    ) -> None:
        """Count a failure, and log it unless it is known; an unexpected one with its stack."""
        bar_metrics.count_failure(exchange)
        if reason not in self._reasons.values():
            text = "bars of %s were not made, it is tried again: %s"
            level = logging.ERROR if unexpected else logging.WARNING
            _log.log(level, text, name, reason, exc_info=unexpected)
        self._reasons[name] = reason

    def _follow_exchanges(self) -> None:
        """Let the time of the last round begin for new exchanges, and end for dropped ones."""
        exchanges = {exchange for exchange, _ in self._rules}
        for exchange in exchanges - self._followed:
            bar_metrics.end_round(exchange, time.time())
        for exchange in self._followed - exchanges:
            bar_metrics.end_rounds(exchange)
        self._followed = exchanges

    def _read_rules(self) -> "_Rules":
        return {
            (exchange, symbol): rules
            for exchange, symbol, rules in bar_rules(self._instruments, self._exchanges)
        }

    def _count(self, exchange: str, refreshed: Refreshed) -> None:
        """Count stored bars, and follow the newest one of the exchange's markets."""
        bar_metrics.count_stored(exchange, refreshed.rows)
        if refreshed.newest_us > self._newest_us.get(exchange, 0):
            self._newest_us[exchange] = refreshed.newest_us
            bar_metrics.set_newest(exchange, refreshed.newest_us)


_Rules = dict[tuple[str, str], tuple[BarRule, ...]]
"""Rules of bars by exchange and unified symbol."""


def _changed_rules(before: _Rules, after: _Rules) -> list[str]:
    """Return a phrase for each market whose rules differ."""
    changes = []
    for market in sorted(before.keys() | after.keys()):
        old, new = before.get(market, ()), after.get(market, ())
        if added := [str(rule) for rule in new if rule not in old]:
            changes.append(f"{' '.join(market)}: {', '.join(added)} is made from now on")
        if dropped := [str(rule) for rule in old if rule not in new]:
            text = f"{', '.join(dropped)} is made no more, what is stored stays"
            changes.append(f"{' '.join(market)}: {text}")
    return changes
