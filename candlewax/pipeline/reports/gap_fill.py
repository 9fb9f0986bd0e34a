"""Report of a run that fills gaps and ends."""

import time
from collections.abc import Callable, Collection
from typing import Any, Final

import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table

from candlewax.clickhouse.client import Database
from candlewax.core.gaps.fill_plan import FILLED_PREFIX, MAX_GAP_NUMBERS
from candlewax.feeds.rest.fill_schedule import GapSelection
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import has_failed

_GAPS: Final = """
SELECT exchange, symbol, numbering, first_sequence, last_sequence, missing,
    toString(state) AS state, reason
FROM gaps FINAL
ORDER BY exchange, symbol, numbering, first_sequence
"""

_KEY: Final = ("exchange", "symbol", "numbering", "first_sequence", "last_sequence")

_NUMBERS: Final = frozenset({"from", "to", "missing"})
"""Columns of the table that hold numbers."""

_MAX_LISTED: Final = 20
"""Largest number of gaps listed; the table holds all."""


class GapFillReport:
    """Report of the gaps of a selection that a run filled, gave up and left open.

    Limited to `exchanges` if given. With `is_sent` the run sends responses to topics, and another
    process stores the trades later.
    """

    def __init__(
        self,
        title: str,
        console: Console,
        counters: Counters,
        database: Database,
        was_stopped: Callable[[], bool],
        selection: GapSelection | None = None,
        exchanges: Collection[str] | None = None,
        *,
        is_sent: bool = False,
    ) -> None:
        self._title = title
        self._console = console
        self._counters = counters
        self._database = database
        self._was_stopped = was_stopped
        self._selection = selection or GapSelection()
        self._exchanges = exchanges
        self._is_sent = is_sent
        self._unfilled = 0
        self._before: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._started_at = time.monotonic()
        self._has_ended = False

    def begin(self) -> None:
        """Read and print the gaps before the run."""
        gaps = self._read_gaps().filter(pl.col("missing") > 0)
        if not self._selection.include_given_up:
            gaps = gaps.filter(pl.col("state") != "unrepairable")
        self._before = _by_key(gaps)
        missing = sum(gap["missing"] for gap in self._before.values())
        self._print(f"{self._title}: {len(self._before):,} gaps, {missing:,} trades missing")
        too_long = [gap for gap in self._before.values() if self._is_long(gap)]
        if too_long:
            self._print(
                f"{len(too_long):,} of them of more than {MAX_GAP_NUMBERS:,} numbers are not "
                "requested; candlewax repair --first NUMBER requests one"
            )
        self._started_at = time.monotonic()

    def _is_long(self, gap: dict[str, Any]) -> bool:
        first, last = gap["first_sequence"], gap["last_sequence"]
        return last - first >= MAX_GAP_NUMBERS and first not in self._selection.firsts

    @property
    def is_whole(self) -> bool:
        """Return True if no gap of the selection is left after the run."""
        return not self._unfilled

    def end(self) -> None:
        """Print the results. Only the first call has an effect, however many partitions end."""
        if self._has_ended:
            return
        self._has_ended = True
        if has_failed():
            self._print("Ended by a failure; not all that was received is stored.")
            return
        if self._was_stopped():
            self._print("Stopped as asked; all data received is stored.")
        after = _by_key(self._read_gaps())
        now = {key: after.get(key, gap) for key, gap in self._before.items()}
        filled_trades = sum(
            gap["missing"] - now[key]["missing"] for key, gap in self._before.items()
        )
        unfilled = [gap for gap in now.values() if not self._is_done(gap)]
        self._unfilled = len(unfilled)
        given_up = sum(gap["state"] == "unrepairable" for gap in unfilled)
        outcome = "gaps' trades sent" if self._is_sent else f"gaps filled, {filled_trades:,} trades"
        requests, seconds = self._counters.total("rest"), time.monotonic() - self._started_at
        self._print(
            f"{len(now) - len(unfilled):,} {outcome}; {given_up:,} given up, "
            f"{len(unfilled) - given_up:,} left; {requests:,} requests in {seconds:.1f} s"
        )
        if self._is_sent:
            self._print("candlewax gaps lists the missing trades once silver has stored these")
        self._print_gaps(unfilled)

    def _is_done(self, gap: dict[str, Any]) -> bool:
        is_sent = self._is_sent and str(gap["reason"]).startswith(FILLED_PREFIX)
        return is_sent or gap["state"] == "repaired"

    def _print_gaps(self, gaps: list[dict[str, Any]]) -> None:
        if not gaps:
            return
        table = Table(box=box.SIMPLE_HEAD)
        for name in ("exchange", "symbol", "from", "to", "missing", "state", "why"):
            # On a narrow terminal words go on in the next line; a number is never cut.
            table.add_column(name, no_wrap=name in _NUMBERS, overflow="fold")
        for gap in gaps[:_MAX_LISTED]:
            numbers = (gap[name] for name in ("first_sequence", "last_sequence", "missing"))
            reason = gap["reason"] or ""
            table.add_row(gap["exchange"], gap["symbol"], *map(str, numbers), gap["state"], reason)
        self._console.print(table)
        if len(gaps) > _MAX_LISTED:
            self._print(f"and {len(gaps) - _MAX_LISTED:,} more, in the table gaps")

    def _read_gaps(self) -> pl.DataFrame:
        gaps, selection = self._database.query(_GAPS), self._selection
        for column, values in (
            ("exchange", self._exchanges),
            ("symbol", selection.symbols),
            ("first_sequence", selection.firsts),
        ):
            if values:
                gaps = gaps.filter(pl.col(column).is_in(list(values)))
        return gaps

    def _print(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def _by_key(gaps: pl.DataFrame) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(row[name] for name in _KEY): row for row in gaps.iter_rows(named=True)}
