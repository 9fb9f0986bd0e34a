"""Identity of a trade: its number and its content.

A trade under a known number with other content is a contradiction, never a duplicate. Pure
functions over frames.
"""

from collections.abc import Iterator, Mapping
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
