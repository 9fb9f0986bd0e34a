"""Table `gaps`, as the gap filler reads and writes it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl

from candlewax.clickhouse import arrow
from candlewax.clickhouse.client import Database
from candlewax.core.gaps.fill_plan import RETRY_PREFIX, FillGap
from candlewax.core.schema import GAPS, TIME, Columns

REPAIRING, UNREPAIRABLE = 2, 3
"""Values of `state` in `gaps` that the gap filler writes; the gap reporter writes the others."""

_PENDING: Final = """
SELECT symbol, first_sequence, last_sequence, missing, before, after, connection, detected_at,
    attempts, reason,
    toUnixTimestamp64Micro(before) AS before_us, toUnixTimestamp64Micro(after) AS after_us,
    toUnixTimestamp64Micro(now64(6)) - toUnixTimestamp64Micro(detected_at) AS age_us,
    toUnixTimestamp64Micro(now64(6)) - toUnixTimestamp64Micro(updated_at) AS idle_us,
    updated_at, toInt8(state) = 3 AS given_up, numbering
FROM gaps FINAL
WHERE exchange = {exchange:String} AND missing > 0
    AND (toInt8(state) < 3 OR toInt8(state) = 3 AND {again:Bool})
    AND (empty({symbols:Array(String)}) OR symbol IN {symbols:Array(String)})
    AND (empty({firsts:Array(UInt64)}) OR first_sequence IN {firsts:Array(UInt64)})
"""

# The trades on both sides of a gap are stored, with the native symbol of their market.
_NATIVE_SYMBOL: Final = """
SELECT native_symbol
FROM silver_trades
WHERE exchange = {exchange:String} AND symbol = {symbol:String}
    AND timestamp >= fromUnixTimestamp64Micro({before:Int64}, 'UTC')
    AND timestamp <= fromUnixTimestamp64Micro({after:Int64}, 'UTC')
    AND sequence IN ({first:UInt64} - 1, {last:UInt64} + 1)
LIMIT 1
"""

_ATTEMPT_COLUMNS: Final[Columns] = {
    **GAPS,
    "reason": pl.String,
    "attempts": pl.UInt32,
    "updated_at": TIME,
}


@dataclass(frozen=True)
class PendingGap:
    """A gap with missing trades, and its row.

    `age_s` counts from its detection, `idle_s` from the last row written about it. `given_up` is
    true if its state is unrepairable.
    """

    gap: FillGap
    age_s: float
    idle_s: float
    row: dict[str, Any]
    given_up: bool = False

    @property
    def needs_confirmation(self) -> bool:
        """True if one response says the trades are unavailable; a second one must confirm it."""
        return not self.given_up and self.reason.startswith(RETRY_PREFIX)

    @property
    def reason(self) -> str:
        """Stored reason why the trades are missing, empty if none."""
        return str(self.row["reason"] or "")


@dataclass(frozen=True)
class GapAttempt:
    """Result of one attempt to fill a gap."""

    pending: PendingGap
    state: int
    reason: str


class GapTable:
    """Rows of `gaps` of one exchange. `wait` is that of `Database.with_retries`."""

    def __init__(self, database: Database, exchange: str, wait: Callable[[float], object]) -> None:
        self._database = database
        self._exchange = exchange
        self._wait = wait
        self._native_symbols: dict[str, str] = {}

    def list_pending(
        self,
        symbols: Iterable[str] = (),
        firsts: Iterable[int] = (),
        *,
        include_given_up: bool = False,
    ) -> list[PendingGap]:
        """Return the gaps with missing trades.

        `symbols` and `firsts` (first missing sequence numbers) restrict them, unless empty.
        """
        parameters = {
            "exchange": self._exchange,
            "symbols": sorted(symbols),
            "firsts": sorted(firsts),
            "again": include_given_up,
        }
        frame = self._database.query(_PENDING, parameters, self._wait)
        return [_pending_gap(row) for row in frame.iter_rows(named=True)]

    def find_native_symbol(self, gap: FillGap) -> str | None:
        """Return the native symbol of a gap's market; None if no trade beside it is stored."""
        if gap.symbol not in self._native_symbols:
            parameters = {
                "exchange": self._exchange,
                "symbol": gap.symbol,
                "before": gap.before,
                "after": gap.after,
                "first": gap.first,
                "last": gap.last,
            }
            symbols = self._database.query(_NATIVE_SYMBOL, parameters, self._wait)
            if symbols.is_empty():
                return None
            self._native_symbols[gap.symbol] = str(symbols.item())
        return self._native_symbols[gap.symbol]

    def write(self, attempts: Sequence[GapAttempt]) -> None:
        """Store the state, the reason and one more attempt of each gap.

        A gap that was given up keeps its state and `updated_at` until its trades are received.
        """
        now = datetime.now(UTC)
        changes = [
            {
                "exchange": self._exchange,
                "state": UNREPAIRABLE if attempt.pending.given_up else attempt.state,
                "reason": attempt.reason,
                "attempts": attempt.pending.gap.attempts + 1,
                "updated_at": attempt.pending.row["updated_at"]
                if attempt.pending.given_up
                else now,
            }
            for attempt in attempts
        ]
        rows = [
            {**attempt.pending.row, **change}
            for attempt, change in zip(attempts, changes, strict=True)
        ]
        frame = pl.DataFrame(rows, schema=_ATTEMPT_COLUMNS)
        # Unique: one process at a time writes such rows of an exchange.
        token = f"repair-{self._exchange}-{now.isoformat()}-{frame.row(0)[1:4]}-{frame.height}"
        table = arrow.rows("gaps", [frame])
        self._database.with_retries(lambda: self._database.insert("gaps", table, token), self._wait)


def _pending_gap(row: dict[str, Any]) -> PendingGap:
    gap = FillGap(
        row["symbol"],
        row["first_sequence"],
        row["last_sequence"],
        row["before_us"],
        row["after_us"],
        row["attempts"],
        row["numbering"],
    )
    stored = {name: row[name] for name in _ATTEMPT_COLUMNS if name in row}
    return PendingGap(gap, row["age_us"] / 1e6, row["idle_us"] / 1e6, stored, bool(row["given_up"]))
