"""One run that fills gaps and ends: what it says of itself."""

import time
from collections.abc import Callable
from typing import Any, Final

import polars as pl
from rich import box
from rich.console import Console
from rich.table import Table

from candlewax.connectors.clickhouse import Database
from candlewax.tally import Tally
from candlewax.telling import failed

_GAPS: Final = """
SELECT exchange, symbol, first_sequence, last_sequence, numbering, missing,
    toString(state) AS state, reason
FROM gaps FINAL
ORDER BY exchange, symbol, numbering, first_sequence
"""

_KEY: Final = ("exchange", "symbol", "first_sequence", "last_sequence", "numbering")

_MOST: Final = 20
"""Gaps that are named; the table has all."""


class Mended:
    """Tells which gaps a run filled, which it gave up and which are left."""

    def __init__(
        self,
        what: str,
        console: Console,
        tally: Tally,
        database: Database,
        stopped: Callable[[], bool],
    ) -> None:
        self._what = what
        self._console = console
        self._tally = tally
        self._database = database
        self._stopped = stopped
        self._before: dict[tuple[Any, ...], dict[str, Any]] = {}
        self._began = time.monotonic()
        self._over = False

    def begin(self) -> None:
        """Take stock."""
        gaps = self._gaps().filter(
            pl.col("missing") > 0, pl.col("state").is_in(["open", "repairing"])
        )
        self._before = _by_key(gaps)
        missing = sum(gap["missing"] for gap in self._before.values())
        self._say(f"{self._what}: {len(self._before):,} gaps, {missing:,} trades missing")
        self._began = time.monotonic()

    def end(self) -> None:
        """Say what became of the gaps, once however many parts end."""
        if self._over:
            return
        self._over = True
        if failed():
            self._say("Ended by a failure; not all that was received is stored.")
            return
        if self._stopped():
            self._say("Stopped as asked; what was received is stored.")
        after = _by_key(self._gaps())
        now = {key: after.get(key, gap) for key, gap in self._before.items()}
        came = sum(gap["missing"] - now[key]["missing"] for key, gap in self._before.items())
        states = [gap["state"] for gap in now.values()]
        asked = self._tally.total("rest")
        self._say(
            f"{states.count('repaired'):,} gaps filled, {came:,} trades; "
            f"{states.count('unrepairable'):,} given up, "
            f"{sum(state in ('open', 'repairing') for state in states):,} left; "
            f"{asked:,} requests in {time.monotonic() - self._began:.1f} s"
        )
        self._name([gap for gap in now.values() if gap["state"] != "repaired"])

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
        return self._database.query(_GAPS)

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False)


def _by_key(gaps: pl.DataFrame) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {tuple(row[name] for name in _KEY): row for row in gaps.iter_rows(named=True)}
