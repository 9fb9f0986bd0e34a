"""Which trades came after their candles had closed.

Pure functions over frames.
"""

from typing import Final

import polars as pl

from candlewax.core.candles.certificate import NAMES
from candlewax.core.candles.combine import LENGTHS, MINUTE, WINDOW, WINDOWS_OF
from candlewax.core.schema import Columns

_TIME: Final = pl.col("timestamp").cast(pl.Int64)


def out_of_order(trades: pl.DataFrame, latest: int) -> int:
    """How many trades (TRADES, in the order they came) are older than one before them;
    `latest` of those before the first one, in microseconds since 1970.
    """
    time = trades["timestamp"].cast(pl.Int64)
    # Most often none is.
    if time.is_empty() or (time.is_sorted() and time[0] >= latest):
        return 0
    before = _TIME.cum_max().clip(lower_bound=latest)
    return int(trades.select((before > _TIME).sum()).item())


def late_trade_counts(trades: pl.DataFrame, latest: int, grace: int) -> pl.DataFrame | None:
    """How many of the trades (TRADES, in the order they came) that count came after their
    candle had closed: by `key`, which names the window, `revision` (UInt32); None if none
    did.

    Before each trade candles were closed by the `latest` time before it, less `grace`.
    """
    before = _TIME.cum_max().shift(1).fill_null(latest).clip(lower_bound=latest)
    closed = (before - grace) // MINUTE
    late = (
        trades.select("symbol", "condition", minute=_TIME // MINUTE, closed=closed)
        .filter((pl.col("minute") < pl.col("closed")) & pl.col("condition").is_null())
        .group_by("symbol", "minute", "closed")
        .agg(revision=pl.len())
    )
    if late.is_empty():
        return None
    return (
        late.with_columns(window_start=pl.col("minute") * MINUTE)
        .join(LENGTHS.collect(), how="cross")
        .with_columns(WINDOWS_OF)
        .filter(pl.col("window_end") <= pl.col("closed") * MINUTE)
        .group_by(key=WINDOW)
        .agg(pl.col("revision").sum())
    )


STORED: Final[Columns] = {
    **NAMES,
    "closed": pl.Boolean,
    "trade_count": pl.UInt64,
    "revision": pl.UInt16,
}
"""What a stored row tells about the trades that came late."""

MOST: Final = 65_535
"""What a stored `revision` stops at."""


def restore_revisions(
    candles: pl.DataFrame, stored: pl.DataFrame, late: pl.DataFrame
) -> pl.DataFrame:
    """Candles (STATE) computed from all their trades, with the `revision` that their
    stored rows (STORED) tell; `late`: NAMES of those that trades now reach late.

    What a candle held as it closed never changes: its stored trades without those that
    came late. All others came late too. Of a candle that has no stored row, or none as
    it closed, all trades came late if some do now, as it closed without any; else
    nobody knows, and they are taken to have come in time.
    """
    told = stored.select(
        *NAMES,
        at_close=pl.col("trade_count").cast(pl.Int64) - pl.col("revision"),
        full=pl.col("revision") >= MOST,
        closed="closed",
    )
    trades = pl.col("trade_count").cast(pl.Int64)
    revision = (
        pl.when(pl.col("full") & pl.col("closed"))
        .then(MOST)
        .when(pl.col("closed"))
        .then((trades - pl.col("at_close")).clip(lower_bound=0))
        .when(pl.col("came_late"))
        .then(trades)
        .otherwise(0)
        .cast(pl.UInt32)
    )
    named = candles.with_columns(pl.col("symbol").cast(pl.String))
    both = named.join(told, list(NAMES), "left", maintain_order="left").join(
        late.select(*NAMES, came_late=True).unique(), list(NAMES), "left", maintain_order="left"
    )
    return candles.with_columns(both.select(revision=revision).to_series())
