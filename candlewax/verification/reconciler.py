"""Live reconciliation: closed candles compared with the exchange's own, minute by minute.

The thread that fills gaps does it while no gap is due, so both share the exchange's rate limit and
gaps go first. What is compared is stored; what is not is found in the tables, also after a restart.
"""

import logging
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, NamedTuple

from candlewax.clickhouse.client import DatabaseError, QueryError, UnavailableError
from candlewax.clickhouse.reconciliation_table import Minute, Reconciled, ReconciliationTable
from candlewax.core.candles.reconciliation import (
    Comparison,
    OurCandle,
    Result,
    compare,
    missing_candle,
)
from candlewax.exchanges.protocol.venue_candles import MINUTE_S, CandleRules, VenueCandle
from candlewax.feeds.rest.client import Client, RefusalError
from candlewax.runtime.counters import Counters
from candlewax.verification.reconciliation_schedule import Schedule, Timing

_log: Final = logging.getLogger("candlewax")

_MOST_MISSING: Final = 10_000
"""Minutes without a candle of ours that wait for the next round; with more, old ones do not."""

_MOST_LOGGED: Final = 5
"""Most differing candles that are logged at once, one by one."""


class _Market(NamedTuple):
    """Candles of a market that are due, oldest first, by their starts."""

    native_symbol: str
    candles: dict[int, OurCandle]


class Reconciler:
    """Comparison of the closed one-minute candles of one exchange; for use by one thread.

    `reads_market` selects the markets of this process by their unified symbols. `now` is the time
    in seconds since 1970.
    """

    def __init__(
        self,
        exchange: str,
        rules: CandleRules,
        table: ReconciliationTable,
        counters: Counters,
        *,
        reads_market: Callable[[str], bool] = lambda _: True,
        timing: Timing | None = None,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._exchange = exchange
        self._rules = rules
        self._table = table
        self._counters = counters
        self._reads_market = reads_market
        self._timing = timing or Timing()
        self._now = now
        self._monotonic = monotonic
        self._schedule = Schedule(self._timing, monotonic)
        minutes = rules.reach_minutes
        shown_s = self._timing.reach_s if minutes is None else minutes * MINUTE_S
        self._reach_s = min(self._timing.reach_s, shown_s)
        self._native_symbols: dict[str, str] = {}
        self._due: dict[str, _Market] = {}
        self._asked_at: dict[str, float] = {}
        self._compared_until: dict[str, int] = {}
        self._missing: dict[Minute, VenueCandle] = {}
        self._results: list[Reconciled] = []
        self._has_failed = False

    def run(self, client: Client, end: float) -> None:
        """Compare candles until `end`, a monotonic time in seconds, while the rate limit allows."""
        try:
            if self._schedule.is_round_due():
                self._begin_round()
            while (
                self._due
                and not self._schedule.is_held
                and client.seconds_until_slot(self._rules.cost) <= end - self._monotonic()
            ):
                self._compare_market(client, min(self._due, key=self._last_asked))
            if not self._due:
                self._store()
            self._update_gauge()
        except (QueryError, UnavailableError, DatabaseError) as error:
            self._schedule.repeat_round()
            self._fail(f"the candles cannot be compared: {str(error).partition(', Stack')[0]}")

    def _last_asked(self, symbol: str) -> tuple[float, str]:
        return self._asked_at.get(symbol, 0.0), symbol

    def _begin_round(self) -> None:
        """Find the candles that are due; those of earlier rounds stay due within the reach."""
        now_s = int(self._now())
        oldest_s = now_s - self._reach_s
        begin_s = max(oldest_s, now_s - self._schedule.begin_round())
        self._store()
        self._report_missing(now_s)
        due = {
            symbol: {
                start: one for start, one in market.candles.items() if oldest_s <= start < begin_s
            }
            for symbol, market in self._due.items()
        }
        for symbol, candle in self._table.list_pending(
            begin_s, now_s - MINUTE_S - self._timing.settle_s
        ):
            key = symbol, candle.start_s, candle.version, candle.revision
            if self._reads_market(symbol) and self._schedule.is_due(key):
                due.setdefault(symbol, {})[candle.start_s] = candle
        if unknown := due.keys() - self._native_symbols.keys():
            oldest_s = min(start for symbol in unknown for start in due[symbol])
            self._native_symbols |= self._table.find_native_symbols(unknown, oldest_s)
        self._due = {
            symbol: _Market(native_symbol, dict(sorted(candles.items())))
            for symbol, candles in due.items()
            if candles and (native_symbol := self._native_symbols.get(symbol))
        }

    def _compare_market(self, client: Client, symbol: str) -> None:
        """Request the candles of one answer of a market, and compare those that are due."""
        self._asked_at[symbol] = self._monotonic()
        native_symbol, candles = self._due[symbol]
        page_s = self._rules.page_minutes * MINUTE_S
        begin_s = min(candles)
        before = self._compared_until.get(symbol, begin_s)
        if before < begin_s:
            # Minutes since then have no candle of ours, and may have trades at the exchange.
            begin_s = max(before, begin_s - self._rules.page_minutes // 2 * MINUTE_S)
        asked = {start: one for start, one in candles.items() if start < begin_s + page_s}
        end_s = max(asked) + MINUTE_S
        try:
            theirs = self._ask(client, native_symbol, begin_s, end_s)
        except RefusalError as refusal:
            self._counters.increment(1, "candle_requests", self._exchange, "refused")
            if not refusal.is_permanent:
                self._schedule.hold()
                self._fail(f"its candles cannot be asked for: {refusal.reason}")
                return
            reason = Comparison(Result.UNAVAILABLE, reason=refusal.reason[:200])
            comparisons: Mapping[int, Comparison] = dict.fromkeys(asked, reason)
        else:
            comparisons = {
                start: compare(candle, theirs.get(start), self._rules)
                for start, candle in asked.items()
            }
            self._note_missing(symbol, candles, theirs)
        self._compared_until[symbol] = end_s
        for start, comparison in comparisons.items():
            self._take(symbol, candles.pop(start), comparison)
        if not candles:
            del self._due[symbol]

    def _ask(
        self, client: Client, native_symbol: str, begin_s: int, end_s: int
    ) -> dict[int, VenueCandle]:
        candles = client.ask_candles(self._rules, native_symbol, begin_s, end_s)
        self._counters.increment(1, "candle_requests", self._exchange, "answered")
        self._schedule.release()
        if self._has_failed:
            _log.info("%s: its candles are compared again", self._exchange)
        self._has_failed = False
        return {candle.start_s: candle for candle in candles}

    def _note_missing(
        self, symbol: str, ours: Mapping[int, OurCandle], theirs: Mapping[int, VenueCandle]
    ) -> None:
        """Keep minutes with trades at the exchange that may have no candle of ours."""
        for start, candle in theirs.items():
            if start not in ours and not candle.is_empty:
                self._missing[symbol, start] = candle
        if len(self._missing) > _MOST_MISSING:
            self._report_missing(int(self._now()))

    def _report_missing(self, now_s: int) -> None:
        """Store the minutes that still have no candle after a while."""
        old = {
            minute
            for minute in self._missing
            if minute[1] + MINUTE_S + self._timing.missing_s <= now_s
        }
        if not old:
            return
        absent = old - self._table.list_stored(old)
        for symbol, start in sorted(old):
            theirs = self._missing.pop((symbol, start))
            if (symbol, start) in absent:
                self._add(Reconciled(symbol, start, 0, 0, missing_candle(theirs), self._time()))
        self._store()

    def _take(self, symbol: str, candle: OurCandle, comparison: Comparison) -> None:
        """Keep a result to store; one that may change soon is compared again instead."""
        key = symbol, candle.start_s, candle.version, candle.revision
        age_s = self._now() - candle.start_s - MINUTE_S
        if comparison.result is not Result.EQUAL:
            is_final = age_s >= self._timing.confirm_s
            self._schedule.retry(key, is_final=is_final)
            if not is_final:
                return
        self._add(Reconciled(*key, comparison, self._time(), candle.status))

    def _add(self, row: Reconciled) -> None:
        self._results.append(row)
        name = row.comparison.result.name.lower()
        self._counters.increment(1, "reconciled", self._exchange, name, row.status)

    def _time(self) -> datetime:
        return datetime.fromtimestamp(self._now(), UTC)

    def _store(self) -> None:
        """Store the results, and log the candles that differ."""
        if not self._results:
            return
        rows = self._results
        self._table.write(rows)
        # Only now: if the database is away, they are stored in the next round.
        self._results = []
        self._counters.set_gauge(int(self._now()), "last_reconciliation", self._exchange)
        differing = [row for row in rows if row.comparison.result is Result.DIFFERS]
        unexpected = [row for row in differing if not _is_expected(row)]
        # Candles that should be right before minutes that lack one.
        for row in sorted(unexpected, key=lambda row: not row.status)[:_MOST_LOGGED]:
            level = logging.ERROR if row.status else logging.WARNING
            _log.log(level, "%s", _describe(self._exchange, row))
        if len(unexpected) > _MOST_LOGGED:
            more = len(unexpected) - _MOST_LOGGED
            _log.warning("%s: %d more candles differ from its own", self._exchange, more)
        if expected := len(differing) - len(unexpected):
            text = "%s: %d candles that lack trades by their certificate differ from its own"
            _log.info(text, self._exchange, expected)

    def _update_gauge(self) -> None:
        pending = sum(len(market.candles) for market in self._due.values())
        self._counters.set_gauge(pending, "unreconciled", self._exchange)

    def _fail(self, reason: str) -> None:
        """Log a failure, once until candles are compared again."""
        if not self._has_failed:
            _log.warning("%s: %s; it is tried again", self._exchange, reason)
        self._has_failed = True


def _is_expected(row: Reconciled) -> bool:
    """Return whether the certificate says itself that the candle may lack trades."""
    return row.status in {"gaps", "partial"}


def _describe(exchange: str, row: Reconciled) -> str:
    start = datetime.fromtimestamp(row.start_s, UTC)
    fields = "; ".join(map(str, row.comparison.differences))
    where = f"{exchange} {row.symbol} 1m {start:%Y-%m-%d %H:%M}"
    status = f" ({row.status})" if row.status else ""
    return f"{where}{status}: differs from the exchange's own candle in {fields}"
