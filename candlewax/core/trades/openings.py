"""Check of a batch for trades that may open a numbering of their market.

It spares the check of one trade after another. Pure functions over frames.
"""

from typing import Final

import polars as pl

from candlewax.core.gaps.numberings import is_far_below
from candlewax.core.gaps.sequence_ranges import SequenceRanges

_MIN_INT64: Final = -(2**63)
_MAX_INT64: Final = 2**63 - 1


def may_open(
    keys: pl.DataFrame,
    is_known: pl.Series,
    ranges: SequenceRanges,
    earliest: int | None,
    latest: int | None,
) -> bool:
    """Return whether any trade (sequence, timestamp) may open a numbering.

    Such a trade is later than all before it with a far lower number, or earlier with a far higher
    one. `is_known`: which trades are duplicates. `ranges`: the received numbers. `earliest` and
    `latest`: the times of their trades.
    """
    number, time = keys["sequence"], keys["timestamp"].cast(pl.Int64)
    nulls = pl.Series([None], dtype=pl.Int64).new_from_index(0, len(time))
    trades = pl.DataFrame({"n": number, "t": time, "new": time.zip_with(~is_known, nulls)})
    if _may_start_later(trades, ranges.last[-1] if ranges.last else 0, latest):
        return True
    if earliest is not None and not (time < earliest).any():
        return False
    return _may_be_older(trades, ranges.first[0] if ranges.first else 2**64 - 1, earliest)


def _may_start_later(trades: pl.DataFrame, last: int, latest: int | None) -> bool:
    latest_new = pl.col("new").cum_max().forward_fill().shift(1).fill_null(_MIN_INT64)
    before = trades.select(
        "n",
        "t",
        n_before=pl.col("n").cum_max().shift(1, fill_value=0).clip(lower_bound=last),
        t_before=latest_new.clip(lower_bound=_MIN_INT64 if latest is None else latest),
    )
    later = before.filter((pl.col("t") > pl.col("t_before")) & (pl.col("n") < pl.col("n_before")))
    return any(is_far_below(n, last) for n, last in later.select("n", "n_before").iter_rows())


def _may_be_older(trades: pl.DataFrame, lowest: int, earliest: int | None) -> bool:
    earliest_new = pl.col("new").cum_min().forward_fill().shift(1).fill_null(_MAX_INT64)
    before = trades.select(
        "n",
        "t",
        n_before=pl.col("n").cum_min().shift(1, fill_value=2**64 - 1).clip(upper_bound=lowest),
        t_before=earliest_new.clip(upper_bound=_MAX_INT64 if earliest is None else earliest),
    )
    older = before.filter((pl.col("t") < pl.col("t_before")) & (pl.col("n") > pl.col("n_before")))
    return any(is_far_below(lowest, n) for n, lowest in older.select("n", "n_before").iter_rows())
