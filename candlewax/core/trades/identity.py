"""Identity of a trade: its number and its content.

A trade under a known number with other content is a contradiction, never a duplicate. Pure
functions over frames.
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
"""Columns that are equal in two deliveries of the same trade."""

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
"""Rows of `contradictions`: the stored trade and the received one.

If the stored trade has expired, its time is that of 1970, its price and quantity 0.
"""

REASON: Final = "contradicting_trade"
"""Reason in the dead letter of a contradiction."""

RECENT_TRADES: Final = 300_000
"""Stored trades kept in memory: their duplicates need no query."""

_MAX_SMALL_FRAMES: Final = 128
"""Batches after which they are joined to a chunk."""

CHUNK_ROWS: Final = 20_000
"""Least trades of a chunk; trades are dropped in chunks."""

_MICRO: Final = timedelta(microseconds=1)

# One channel may send milliseconds and another microseconds. A time that has passed through a
# float (Kraken's REST) may be one microsecond off.
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


def is_same_time(left_us: int, right_us: int) -> bool:
    """Return whether two times, in microseconds, may be of one trade, as in `_SAME_TIME`."""
    is_same_millisecond = left_us // 1000 == right_us // 1000 and 0 in {
        left_us % 1000,
        right_us % 1000,
    }
    return abs(left_us - right_us) <= 1 or is_same_millisecond


_THEIRS: Final = {name: "their_" + name for name in ("timestamp", "side", "price", "quantity")}


class RecentTrades:
    """Content of the latest new trades of one exchange, including all that are not stored yet."""

    def __init__(
        self,
        are_stored: Callable[[pl.DataFrame], bool],
        max_trades: int = RECENT_TRADES,
        chunk_rows: int = CHUNK_ROWS,
    ) -> None:
        """Create an empty store.

        `are_stored` returns whether trades (CONTENT), and so all before them, are stored.
        """
        self._are_stored = are_stored
        self._max_trades = max_trades
        self._chunk_rows = chunk_rows
        self._pending: list[pl.DataFrame] = []
        self._chunks: deque[pl.DataFrame] = deque()
        self._count = 0

    def add(self, trades: pl.DataFrame) -> None:
        """Add trades (TRADES), and drop the oldest stored ones beyond the limit."""
        if trades.is_empty():
            return
        self._pending.append(pl.DataFrame([trades[name] for name in CONTENT]))
        self._count += trades.height
        if len(self._pending) >= _MAX_SMALL_FRAMES:
            self._gather()

    def _gather(self) -> None:
        """Move pending trades to a chunk, and drop chunks.

        Chunks are dropped here only, as that takes a query.
        """
        if self._chunks and self._chunks[-1].height < self._chunk_rows:
            self._pending.insert(0, self._chunks.pop())
        self._chunks.append(pl.concat(self._pending).rechunk())
        self._pending.clear()
        if self._chunks[-1].height >= self._chunk_rows:
            self._drop_stored()

    def _drop_stored(self) -> None:
        """Drop the oldest chunks that are stored.

        Trades are stored in order. So if a chunk is stored, all before it are, also those whose
        rows were deleted since.
        """
        remaining = self._count
        excess = []
        for chunk in self._chunks:
            remaining -= chunk.height
            if remaining < self._max_trades:
                break
            excess.append(chunk)
        if excess and self._are_stored(_last_of_days(excess[-1])):
            stored_count = len(excess)
        else:
            stored_count = next(
                (n for n, c in enumerate(excess) if not self._are_stored(_last_of_days(c))), 0
            )
        for _ in range(stored_count):
            self._count -= self._chunks.popleft().height

    def find(self, trades: pl.DataFrame) -> pl.DataFrame:
        """Return CONTENT of the trades with the symbols and numbers of others (CONTENT)."""
        if self._pending:
            self._gather()
        keys = trades.select("symbol", "sequence").unique()
        matches = [
            chunk.with_columns(pl.col("symbol").cast(pl.String)).join(
                keys, on=["symbol", "sequence"], how="semi"
            )
            for chunk in self._chunks
        ]
        return pl.concat([empty(CONTENT), *matches])


def _last_of_days(trades: pl.DataFrame) -> pl.DataFrame:
    """Return the last trade (CONTENT) of each day: trades of a day are stored in order."""
    day = trades["timestamp"].dt.date()
    return trades.filter(day.is_last_distinct()).with_columns(pl.col("symbol").cast(pl.String))


def select_content(trades: pl.DataFrame) -> pl.DataFrame:
    """Return CONTENT of trades (TRADES), with their `place` among them (UInt32)."""
    return trades.select(
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("place"),
        *(pl.col(name).cast(kind) for name, kind in CONTENT.items()),
    )


def drop_repeats(trades: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Return the trades (CONTENT with `place`) without those whose equal is stored (CONTENT)."""
    pairs = trades.join(stored.rename(_THEIRS), on=["symbol", "sequence"])
    return trades.join(pairs.filter(_SAME).select("place").unique(), on="place", how="anti")


def pair_with_stored(trades: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Pair each trade (CONTENT with `place`) with the stored trade (CONTENT) of its number.

    Out: trades that have one, with its columns prefixed by `their_`. Of several, the nearest in
    time is taken.
    """
    pairs = trades.join(stored.rename(_THEIRS), on=["symbol", "sequence"])
    distance = (pl.col("timestamp") - pl.col("their_timestamp")).abs()
    nearest = pairs.sort("place", distance, *_THEIRS.values())
    return nearest.unique("place", keep="first", maintain_order=True)


def pair_with_nulls(trades: pl.DataFrame) -> pl.DataFrame:
    """Return trades (CONTENT with `place`) as `pair_with_stored` does, without a stored trade.

    Its columns are null.
    """
    nulls = (pl.lit(None, CONTENT[name]).alias(theirs) for name, theirs in _THEIRS.items())
    return trades.with_columns(*nulls)


def contradiction_rows(
    exchange: str, contradictions: pl.DataFrame, trades: pl.DataFrame
) -> pl.DataFrame:
    """Return CONTRADICTIONS of pairs (`pair_with_stored`) among trades (TRADES)."""
    if contradictions.is_empty():
        return empty(CONTRADICTIONS)
    source = trades[contradictions["place"]]
    defaults = {"stored_timestamp": datetime(1970, 1, 1, tzinfo=UTC), "stored_side": BUY}
    stored = {
        name: contradictions[theirs].fill_null(defaults.get(name, 0))
        for name, theirs in ((f"stored_{own}", theirs) for own, theirs in _THEIRS.items())
    }
    names = ("received_at", "source", "source_partition", "source_offset", "source_index")
    return contradictions.select(
        pl.lit(exchange).alias("exchange"),
        *CONTENT,
        *(column.alias(name) for name, column in stored.items()),
        *(source[name].alias(name) for name in names),
    ).select(*CONTRADICTIONS)


def contradiction_faults(contradictions: pl.DataFrame, trades: pl.DataFrame) -> pl.DataFrame:
    """Return FAULTS of pairs (`pair_with_stored`) among trades (TRADES with `row`)."""
    rows = [
        (row, index, REASON, _detail(contradiction))
        for contradiction, row, index in zip(
            contradictions.iter_rows(named=True),
            trades["row"][contradictions["place"]],
            trades["source_index"][contradictions["place"]],
            strict=True,
        )
    ]
    return pl.DataFrame(rows, FAULTS, orient="row")


def _detail(contradiction: Mapping[str, Any]) -> str:
    text = f"number {contradiction['sequence']} of {contradiction['symbol']} is"
    if contradiction["their_timestamp"] is None:
        text = f"{text} known, not with this time, and no trade of it is stored any more"
    else:
        text = f"{text} stored as {_describe(contradiction, 'their_')}"
    return f"{text}; came as {_describe(contradiction, '')}"


def _describe(contradiction: Mapping[str, Any], prefix: str) -> str:
    time, side, price, quantity = (
        contradiction[prefix + name] for name in ("timestamp", "side", "price", "quantity")
    )
    name = "BUY" if side == BUY else "SELL"
    return (
        f"{name} {_plain_decimal(quantity)} at {_plain_decimal(price)}, {time:%Y-%m-%d %H:%M:%S.%f}"
    )


def _plain_decimal(amount: Decimal) -> str:
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def contradicted_moments(rows: pl.DataFrame) -> Iterator[tuple[str, int]]:
    """Yield symbol and time (microseconds since 1970) of both trades of CONTRADICTIONS.

    A stored trade that has expired has no time and is left out.
    """
    times = rows.select(
        "symbol", pl.col("stored_timestamp", "timestamp").cast(pl.Int64)
    ).iter_rows()
    for symbol, stored, received in times:
        if stored:
            yield symbol, stored
        yield symbol, received
