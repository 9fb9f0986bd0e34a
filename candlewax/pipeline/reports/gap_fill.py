"""One run that fills gaps and ends: what it says of itself."""

import time
from collections.abc import Callable, Collection
from typing import Any, Final

import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table

from candlewax.clickhouse.client import Database
from candlewax.core.gaps.fill_plan import CAME, TOO_LONG
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

_MOST: Final = 20
"""Gaps that are named; the table has all."""


class GapFillReport:
    """Tells which gaps a run filled, which it gave up and which are left: of the chosen ones, of
    these `exchanges` or of all. Where what came is `sent` to topics, others store it later.
    """

    def __init__(
        self,
        what: str,
        console: Console,
        tally: Counters,
        database: Database,
        stopped: Callable[[], bool],
        choice: GapSelection | None = None,
        exchanges: Collection[str] | None = None,
        *,
        sent: bool = False,
    ) -> None:
        self._what = what
        self._console = console
        self._tally = tally
        self._database = database
        self._stopped = stopped
        self._choice = choice or GapSelection()
        self._exchanges = exchanges
        self._sent = sent
        self._left = 0
        self._before: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._began = time.monotonic()
        self._over = False

    def begin(self) -> None:
        """Take stock."""
        gaps = self._gaps().filter(pl.col("missing") > 0)
        if not self._choice.include_given_up:
            gaps = gaps.filter(pl.col("state") != "unrepairable")
        self._before = _by_key(gaps)
        missing = sum(gap["missing"] for gap in self._before.values())
        self._say(f"{self._what}: {len(self._before):,} gaps, {missing:,} trades missing")
        long = [gap for gap in self._before.values() if self._is_long(gap)]
        if long:
            self._say(
                f"{len(long):,} of them of more than {TOO_LONG:,} numbers are not asked for; "
                "candlewax repair --first NUMBER asks for one"
            )
        self._began = time.monotonic()

    def _is_long(self, gap: dict[str, Any]) -> bool:
        first, last = gap["first_sequence"], gap["last_sequence"]
        return last - first >= TOO_LONG and first not in self._choice.firsts

    @property
    def is_whole(self) -> bool:
        """Whether nothing of what was chosen is left, once the run has ended."""
        return not self._left

    def end(self) -> None:
        """Say what became of the gaps, once however many parts end."""
        if self._over:
            return
        self._over = True
        if has_failed():
            self._say("Ended by a failure; not all that was received is stored.")
            return
        if self._stopped():
            self._say("Stopped as asked; what was received is stored.")
        after = _by_key(self._gaps())
        now = {key: after.get(key, gap) for key, gap in self._before.items()}
        came = sum(gap["missing"] - now[key]["missing"] for key, gap in self._before.items())
        left = [gap for gap in now.values() if not self._is_done(gap)]
        self._left = len(left)
        given_up = sum(gap["state"] == "unrepairable" for gap in left)
        what = "gaps' trades sent" if self._sent else f"gaps filled, {came:,} trades"
        requests, seconds = self._tally.total("rest"), time.monotonic() - self._began
        self._say(
            f"{len(now) - len(left):,} {what}; {given_up:,} given up, "
            f"{len(left) - given_up:,} left; {requests:,} requests in {seconds:.1f} s"
        )
        if self._sent:
            self._say("candlewax gaps tells what is missing once silver has stored them")
        self._name(left)

    def _is_done(self, gap: dict[str, Any]) -> bool:
        sent = self._sent and str(gap["reason"]).startswith(CAME)
        return sent or gap["state"] == "repaired"

    def _name(self, gaps: list[dict[str, Any]]) -> None:
        if not gaps:
            return
        shown = Table("exchange", "symbol", "from", "to", "missing", "state", "why")
        shown.box = box.SIMPLE_HEAD
        for gap in gaps[:_MOST]:
            numbers = (gap[name] for name in ("first_sequence", "last_sequence", "missing"))
            why = gap["reason"] or ""
            shown.add_row(gap["exchange"], gap["symbol"], *map(str, numbers), gap["state"], why)
        self._console.print(shown)
        if len(gaps) > _MOST:
            self._say(f"and {len(gaps) - _MOST:,} more, in the table gaps")

    def _gaps(self) -> pl.DataFrame:
        gaps, chosen = self._database.query(_GAPS), self._choice
        for column, values in (
            ("exchange", self._exchanges),
            ("symbol", chosen.symbols),
            ("first_sequence", chosen.firsts),
        ):
            if values:
                gaps = gaps.filter(pl.col(column).is_in(list(values)))
        return gaps

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def _by_key(gaps: pl.DataFrame) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(row[name] for name in _KEY): row for row in gaps.iter_rows(named=True)}
