"""Late trades: their number, and the revisions of candles.

Pure functions over frames.
"""

from typing import Final

import polars as pl

from candlewax.core.candles.certificate import CANDLE_KEY
from candlewax.core.candles.combine import LENGTHS, MINUTE, WINDOW, WINDOWS_OF
from candlewax.core.schema import TRADES, Columns

_TIME: Final = pl.col("timestamp").cast(pl.Int64)


def count_out_of_order(trades: pl.DataFrame, latest: int) -> int:
    """Count the trades (TRADES, in the order received) that are older than one before them.

    `latest`: the latest time before the first of them, in microseconds since 1970.
    """
    time = trades["timestamp"].cast(pl.Int64)
    # Most batches are in order.
    if time.is_empty() or (time.is_sorted() and time[0] >= latest):
        return 0
    latest_before = _TIME.cum_max().clip(lower_bound=latest)
    return int(trades.select((latest_before > _TIME).sum()).item())


def late_trade_counts(trades: pl.DataFrame, latest: int, delay_us: int) -> pl.DataFrame | None:
    """Count the late trades of each window; None without late trades.

    In: TRADES in the order received; those with a condition do not count. When a trade comes, the
    candles that ended `delay_us` before the `latest` earlier trade are closed. Out: `key` of the
    window, `revision` (UInt32).
    """
    latest_before = _TIME.cum_max().shift(1).fill_null(latest).clip(lower_bound=latest)
    closed = (latest_before - delay_us) // MINUTE
    late_trades = (
        trades.select("symbol", "condition", minute=_TIME // MINUTE, closed=closed)
        .filter((pl.col("minute") < pl.col("closed")) & pl.col("condition").is_null())
        .group_by("symbol", "minute", "closed")
        .agg(revision=pl.len())
    )
    if late_trades.is_empty():
        return None
    return (
        late_trades.with_columns(window_start=pl.col("minute") * MINUTE)
        .join(LENGTHS.collect(), how="cross")
        .with_columns(WINDOWS_OF)
        .filter(pl.col("window_end") <= pl.col("closed") * MINUTE)
        .group_by(key=WINDOW)
        .agg(pl.col("revision").sum())
    )


STORED_COUNTS: Final[Columns] = {
    **CANDLE_KEY,
    "closed": pl.Boolean,
    "trade_count": pl.UInt64,
    "revision": pl.UInt16,
}
"""Columns of a stored candle that tell its late trades."""

MAX_REVISION: Final = 65_535
"""Greatest stored value of `revision`."""


def restore_revisions(
    candles: pl.DataFrame, stored: pl.DataFrame, reached_late: pl.DataFrame
) -> pl.DataFrame:
    """Return candles (STATE) with the `revision` that their stored rows imply.

    In: candles computed from all their trades; `stored`: STORED_COUNTS; `reached_late`: CANDLE_KEY
    of candles that late trades reach now.

    The trades that a candle held when it closed never change: its stored trades less its revision.
    All others are late trades. If no row of the closed candle is stored and it is in
    `reached_late`, it closed without trades: all of them count as late. If it is not, nothing
    tells, and none counts.
    """
    counts = stored.select(
        *CANDLE_KEY,
        at_close=pl.col("trade_count").cast(pl.Int64) - pl.col("revision"),
        full=pl.col("revision") >= MAX_REVISION,
        closed="closed",
    )
    trades = pl.col("trade_count").cast(pl.Int64)
    revision = (
        pl.when(pl.col("full") & pl.col("closed"))
        .then(MAX_REVISION)
        .when(pl.col("closed"))
        .then((trades - pl.col("at_close")).clip(lower_bound=0))
        .when(pl.col("came_late"))
        .then(trades)
        .otherwise(0)
        .cast(pl.UInt32)
    )
    candles_by_name = candles.with_columns(pl.col("symbol").cast(pl.String))
    joined = candles_by_name.join(counts, list(CANDLE_KEY), "left", maintain_order="left").join(
        reached_late.select(*CANDLE_KEY, came_late=True).unique(),
        list(CANDLE_KEY),
        "left",
        maintain_order="left",
    )
    return candles.with_columns(joined.select(revision=revision).to_series())


def trades_before(trades: pl.DataFrame, time_us: int) -> pl.DataFrame:
    """Return the trades (TRADES) before a time."""
    return trades.filter(pl.col("timestamp").cast(pl.Int64) < time_us).select(*TRADES)
