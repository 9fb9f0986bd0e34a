"""Whether trades of a batch may open a numbering of their market, at a glance: where none may,
there is no need to look at one after another.

Pure functions over frames.
"""

from typing import Final

import polars as pl

from candlewax.core.gaps.numberings import is_far_below
from candlewax.core.gaps.sequence_ranges import SequenceRanges

_LEAST: Final = -(2**63)
_MOST: Final = 2**63 - 1


def may_open(
    keys: pl.DataFrame,
    known: pl.Series,
    ranges: SequenceRanges,
    earliest: int | None,
    latest: int | None,
) -> bool:
    """Return whether any trade (sequence, timestamp) is later than all before it and has a far
    lower number, or is earlier and has a far higher one. `known` tells which have come before,
    `ranges` the numbers that have, `earliest` and `latest` the times of their trades.
    """
    number, time = keys["sequence"], keys["timestamp"].cast(pl.Int64)
    nothing = pl.Series([None], dtype=pl.Int64).new_from_index(0, len(time))
    came = pl.DataFrame({"n": number, "t": time, "new": time.zip_with(~known, nothing)})
    if _begins_anew(came, ranges.last[-1] if ranges.last else 0, latest):
        return True
    if earliest is not None and not (time < earliest).any():
        return False
    return _is_older(came, ranges.first[0] if ranges.first else 2**64 - 1, earliest)


def _begins_anew(came: pl.DataFrame, last: int, latest: int | None) -> bool:
    new = pl.col("new").cum_max().forward_fill().shift(1).fill_null(_LEAST)
    before = came.select(
        "n",
        "t",
        n_before=pl.col("n").cum_max().shift(1, fill_value=0).clip(lower_bound=last),
        t_before=new.clip(lower_bound=_LEAST if latest is None else latest),
    )
    later = before.filter((pl.col("t") > pl.col("t_before")) & (pl.col("n") < pl.col("n_before")))
    return any(is_far_below(n, last) for n, last in later.select("n", "n_before").iter_rows())


def _is_older(came: pl.DataFrame, first: int, earliest: int | None) -> bool:
    new = pl.col("new").cum_min().forward_fill().shift(1).fill_null(_MOST)
    before = came.select(
        "n",
        "t",
        n_before=pl.col("n").cum_min().shift(1, fill_value=2**64 - 1).clip(upper_bound=first),
        t_before=new.clip(upper_bound=_MOST if earliest is None else earliest),
    )
    older = before.filter((pl.col("t") < pl.col("t_before")) & (pl.col("n") > pl.col("n_before")))
    return any(is_far_below(first, n) for n, first in older.select("n", "n_before").iter_rows())
