"""The table of gaps, as one reads and writes it who fills them."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl

from candlewax.clickhouse import arrow
from candlewax.clickhouse.client import Database
from candlewax.core.gaps.fill_plan import ONCE, FillGap
from candlewax.core.schema import GAPS, TIME, Columns

REPAIRING, UNREPAIRABLE = 2, 3
"""Values of `state` in `gaps`: the others are for who sees the trades."""

_LEFT: Final = """
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

# The neighbours of a gap are stored: what the exchange calls them.
_NATIVE: Final = """
SELECT native_symbol
FROM silver_trades
WHERE exchange = {exchange:String} AND symbol = {symbol:String}
    AND timestamp >= fromUnixTimestamp64Micro({before:Int64}, 'UTC')
    AND timestamp <= fromUnixTimestamp64Micro({after:Int64}, 'UTC')
    AND sequence IN ({first:UInt64} - 1, {last:UInt64} + 1)
LIMIT 1
"""

_WRITTEN: Final[Columns] = {
    **GAPS,
    "reason": pl.String,
    "attempts": pl.UInt32,
    "updated_at": TIME,
}


@dataclass(frozen=True)
class PendingGap:
    """A gap that may still be filled, the seconds since it was detected and since
    something was last written of it, its row, and whether it was given up before.
    """

    gap: FillGap
    age_s: float
    idle_s: float
    row: dict[str, Any]
    given_up: bool = False

    @property
    def doubted(self) -> bool:
        """Tell whether one answer has said that it cannot be had; a second one has to confirm."""
        return not self.given_up and self.reason.startswith(ONCE)

    @property
    def reason(self) -> str:
        """Return the stored reason why it is missing."""
        return str(self.row["reason"] or "")


@dataclass(frozen=True)
class GapAttempt:
    """What is to be written of a gap that was asked for once more."""

    left: PendingGap
    state: int
    reason: str


class GapTable:
    """The gaps of one exchange. `wait` as of `Database.with_retries`."""

    def __init__(self, database: Database, exchange: str, wait: Callable[[float], object]) -> None:
        self._database = database
        self._exchange = exchange
        self._wait = wait
        self._natives: dict[str, str] = {}

    def left(
        self, symbols: Iterable[str] = (), firsts: Iterable[int] = (), *, again: bool = False
    ) -> list[PendingGap]:
        """Return the gaps that may still be filled, of some symbols and with some first numbers
        if any are given; those that were given up only `again`.
        """
        chosen = {"symbols": sorted(symbols), "firsts": sorted(firsts), "again": again}
        frame = self._database.query(_LEFT, {"exchange": self._exchange, **chosen}, self._wait)
        return [_left(row) for row in frame.iter_rows(named=True)]

    def native(self, gap: FillGap) -> str | None:
        """What the exchange calls the market of a gap; None if nothing of it is stored."""
        if gap.symbol not in self._natives:
            place = {
                "exchange": self._exchange,
                "symbol": gap.symbol,
                "before": gap.before,
                "after": gap.after,
                "first": gap.first,
                "last": gap.last,
            }
            found = self._database.query(_NATIVE, place, self._wait)
            if found.is_empty():
                return None
            self._natives[gap.symbol] = str(found.item())
        return self._natives[gap.symbol]

    def write(self, written: Sequence[GapAttempt]) -> None:
        """Add rows: state, reason, one more attempt.

        A gap that was given up stays so until its trades are seen, and since when: who asks
        again for what is not to be had gives nothing up anew.
        """
        now = datetime.now(UTC)
        changes = [
            {
                "exchange": self._exchange,
                "state": UNREPAIRABLE if one.left.given_up else one.state,
                "reason": one.reason,
                "attempts": one.left.gap.attempts + 1,
                "updated_at": one.left.row["updated_at"] if one.left.given_up else now,
            }
            for one in written
        ]
        rows = [{**one.left.row, **new} for one, new in zip(written, changes, strict=True)]
        frame = pl.DataFrame(rows, schema=_WRITTEN)
        # The exchange has one writer of such rows, and no two moments are the same.
        token = f"repair-{self._exchange}-{now.isoformat()}-{frame.row(0)[1:4]}-{frame.height}"
        table = arrow.rows("gaps", [frame])
        self._database.with_retries(lambda: self._database.insert("gaps", table, token), self._wait)


def _left(row: dict[str, Any]) -> PendingGap:
    gap = FillGap(
        row["symbol"],
        row["first_sequence"],
        row["last_sequence"],
        row["before_us"],
        row["after_us"],
        row["attempts"],
        row["numbering"],
    )
    own = {name: row[name] for name in _WRITTEN if name in row}
    return PendingGap(gap, row["age_us"] / 1e6, row["idle_us"] / 1e6, own, bool(row["given_up"]))
