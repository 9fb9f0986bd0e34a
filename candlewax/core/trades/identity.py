"""Identity of a trade: its number and its content. A known number with other content is a
contradiction, never a repeat.

Pure functions over frames.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import polars as pl

from candlewax.core.schema import PRICE, TIME, Columns, empty
from candlewax.core.trades.normalize import FAULTS
from candlewax.exchanges.protocol.dialect import BUY

CONTENT: Final[Columns] = {
    "symbol": pl.String,
    "sequence": pl.UInt64,
    "timestamp": TIME,
    "side": pl.Int8,
    "price": PRICE,
    "quantity": PRICE,
}
"""What makes two deliveries the same trade."""

CONTRADICTIONS: Final[Columns] = {
    "exchange": pl.String,
    "symbol": pl.String,
    "sequence": pl.UInt64,
    "stored_timestamp": TIME,
    "stored_side": pl.Int8,
    "stored_price": PRICE,
    "stored_quantity": PRICE,
    "timestamp": TIME,
    "side": pl.Int8,
    "price": PRICE,
    "quantity": PRICE,
    "received_at": TIME,
    "source": pl.String,
    "source_partition": pl.UInt32,
    "source_offset": pl.UInt64,
    "source_index": pl.UInt16,
}
"""Rows of `contradictions`: the trade that is stored, and the one that came. Where nothing is
stored of the first one any more, its time is that of 1970, its price and quantity 0."""

REASON: Final = "contradicting_trade"
"""Of the dead letter of a trade that came under a known number with other content."""

MOST_RECENT: Final = 300_000
"""Trades that are remembered whole once they are stored: their repeats need no query."""

_FEW: Final = 128
"""Batches that are put together to one."""

CHUNK: Final = 20_000
"""Trades are forgotten in chunks of at least so many."""

_MICRO: Final = timedelta(microseconds=1)

# Milliseconds by one way and microseconds by another; a time that has passed through a float
# (Kraken's REST) may be one microsecond off.
_SAME_TIME: Final = ((pl.col("timestamp") - pl.col("their_timestamp")).abs() <= _MICRO) | (
    (pl.col("timestamp").cast(pl.Int64) // 1000 == pl.col("their_timestamp").cast(pl.Int64) // 1000)
    & (
        (pl.col("timestamp").cast(pl.Int64) % 1000 == 0)
        | (pl.col("their_timestamp").cast(pl.Int64) % 1000 == 0)
    )
)
_SAME: Final = _SAME_TIME & pl.all_horizontal(
    pl.col(name) == pl.col("their_" + name) for name in ("side", "price", "quantity")
)


def is_same_time(one: int, other: int) -> bool:
    """Return whether two times (microseconds since 1970) may be of one trade, as above."""
    in_milliseconds = one // 1000 == other // 1000 and 0 in {one % 1000, other % 1000}
    return abs(one - other) <= 1 or in_milliseconds


_THEIRS: Final = {name: "their_" + name for name in ("timestamp", "side", "price", "quantity")}


class RecentTrades:
    """The content of the trades let through last, of one exchange: of all that are not stored
    yet, as they can be found nowhere else.
    """

    def __init__(
        self,
        are_stored: Callable[[pl.DataFrame], bool],
        most: int = MOST_RECENT,
        chunk: int = CHUNK,
    ) -> None:
        """`are_stored` tells of trades (CONTENT) whether they, and so all before them, are."""
        self._are_stored = are_stored
        self._most = most
        self._chunk = chunk
        self._small: list[pl.DataFrame] = []
        self._chunks: deque[pl.DataFrame] = deque()
        self._count = 0

    def add(self, trades: pl.DataFrame) -> None:
        """Remember trades (TRADES), and forget the oldest of too many that are stored."""
        if trades.is_empty():
            return
        self._small.append(pl.DataFrame([trades[name] for name in CONTENT]))
        self._count += trades.height
        if len(self._small) >= _FEW:
            self._gather()

    def _gather(self) -> None:
        """Put what came last to a chunk, and forget chunks: only then, as that takes a query."""
        if self._chunks and self._chunks[-1].height < self._chunk:
            self._small.insert(0, self._chunks.pop())
        self._chunks.append(pl.concat(self._small).rechunk())
        self._small.clear()
        if self._chunks[-1].height >= self._chunk:
            self._forget()

    def _forget(self) -> None:
        """Forget the oldest chunks. Trades are stored in their order: where a chunk is stored all
        before it are, also those of which rows were deleted since.
        """
        kept = self._count
        old = []
        for chunk in self._chunks:
            kept -= chunk.height
            if kept < self._most:
                break
            old.append(chunk)
        if old and self._are_stored(_last_of_days(old[-1])):
            stored = len(old)
        else:
            stored = next(
                (n for n, c in enumerate(old) if not self._are_stored(_last_of_days(c))), 0
            )
        for _ in range(stored):
            self._count -= self._chunks.popleft().height

    def find(self, wanted: pl.DataFrame) -> pl.DataFrame:
        """Return CONTENT of those with the symbols and numbers of others (CONTENT)."""
        if self._small:
            self._gather()
        keys = wanted.select("symbol", "sequence").unique()
        found = [
            chunk.with_columns(pl.col("symbol").cast(pl.String)).join(
                keys, on=["symbol", "sequence"], how="semi"
            )
            for chunk in self._chunks
        ]
        return pl.concat([empty(CONTENT), *found])


def _last_of_days(trades: pl.DataFrame) -> pl.DataFrame:
    """Return the last trade (CONTENT) of each day: those of a day are stored in their order."""
    day = trades["timestamp"].dt.date()
    return trades.filter(day.is_last_distinct()).with_columns(pl.col("symbol").cast(pl.String))


def content(trades: pl.DataFrame) -> pl.DataFrame:
    """Return CONTENT of trades (TRADES), with their `place` among them (UInt32)."""
    return trades.select(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("place"),
        *(pl.col(name).cast(kind) for name, kind in CONTENT.items()),
    )


def not_repeated(came: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Return the trades that came (CONTENT with `place`) of which none stored (CONTENT) is the
    same.
    """
    both = came.join(stored.rename(_THEIRS), on=["symbol", "sequence"])
    return came.join(both.filter(_SAME).select("place").unique(), on="place", how="anti")


def contradictions(came: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Return the trades that came (CONTENT with `place`) under the number of another that is
    stored (CONTENT), with the columns of that one prefixed by `their_`: of several the one
    nearest in time.
    """
    both = came.join(stored.rename(_THEIRS), on=["symbol", "sequence"])
    distance = (pl.col("timestamp") - pl.col("their_timestamp")).abs()
    nearest = both.sort("place", distance, *_THEIRS.values())
    return nearest.unique("place", keep="first", maintain_order=True)


def gone(came: pl.DataFrame) -> pl.DataFrame:
    """Return trades that came (CONTENT with `place`) as `contradictions` does, where nothing is
    stored of the others any more.
    """
    nothing = (pl.lit(None, CONTENT[name]).alias(theirs) for name, theirs in _THEIRS.items())
    return came.with_columns(*nothing)


def contradiction_rows(exchange: str, found: pl.DataFrame, trades: pl.DataFrame) -> pl.DataFrame:
    """Return CONTRADICTIONS of what `contradictions` found among trades (TRADES)."""
    if found.is_empty():
        return empty(CONTRADICTIONS)
    source = trades[found["place"]]
    unknown = {"stored_timestamp": datetime(1970, 1, 1, tzinfo=UTC), "stored_side": BUY}
    stored = {
        name: found[theirs].fill_null(unknown.get(name, 0))
        for name, theirs in ((f"stored_{own}", theirs) for own, theirs in _THEIRS.items())
    }
    names = ("received_at", "source", "source_partition", "source_offset", "source_index")
    return found.select(
        pl.lit(exchange).alias("exchange"),
        *CONTENT,
        *(column.alias(name) for name, column in stored.items()),
        *(source[name].alias(name) for name in names),
    ).select(*CONTRADICTIONS)


def contradiction_faults(found: pl.DataFrame, trades: pl.DataFrame) -> pl.DataFrame:
    """Return FAULTS of what `contradictions` found among trades (TRADES with `row`)."""
    rows = [
        (row, index, REASON, _told(one))
        for one, row, index in zip(
            found.iter_rows(named=True),
            trades["row"][found["place"]],
            trades["source_index"][found["place"]],
            strict=True,
        )
    ]
    return pl.DataFrame(rows, FAULTS, orient="row")


def _told(one: Mapping[str, Any]) -> str:
    known = f"number {one['sequence']} of {one['symbol']} is"
    if one["their_timestamp"] is None:
        known = f"{known} known, not with this time, and no trade of it is stored any more"
    else:
        known = f"{known} stored as {_described(one, 'their_')}"
    return f"{known}; came as {_described(one, '')}"


def _described(one: Mapping[str, Any], prefix: str) -> str:
    time, side, price, quantity = (
        one[prefix + name] for name in ("timestamp", "side", "price", "quantity")
    )
    name = "BUY" if side == BUY else "SELL"
    return f"{name} {_plain(quantity)} at {_plain(price)}, {time:%Y-%m-%d %H:%M:%S.%f}"


def _plain(amount: Decimal) -> str:
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def moments(rows: pl.DataFrame) -> Iterator[tuple[str, int]]:
    """Yield the symbol and the times (microseconds since 1970) of both trades of each of
    CONTRADICTIONS, as far as they are known.
    """
    times = rows.select(
        "symbol", pl.col("stored_timestamp", "timestamp").cast(pl.Int64)
    ).iter_rows()
    for symbol, stored, came in times:
        if stored:
            yield symbol, stored
        yield symbol, came
