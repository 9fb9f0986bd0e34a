"""Counts of deduplicated batches."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import polars as pl

from candlewax.core.rows.row_batch import SMALL_BATCH_ROWS
from candlewax.core.trades.decode import DecodedFrames
from candlewax.runtime.counters import Counters


def count_batch(
    counters: Counters, decoded: DecodedFrames, trades: int, contradictions: int
) -> None:
    """Count the frames, new trades, contradictions, duplicates and dead letters of a batch."""
    exchange = decoded.exchange
    for kind, frames in _value_counts(decoded.bronze["kind"]):
        counters.increment(frames, "frames", exchange, str(kind))
    counters.increment(trades, "trades", exchange)
    counters.increment(contradictions, "contradictions", exchange)
    duplicates = decoded.trades.height - trades - contradictions
    counters.increment(duplicates, "duplicates", exchange)
    if decoded.dead_letters.is_empty():
        return
    letters = decoded.dead_letters.group_by("scope", "reason").len()
    for scope, reason, count in letters.iter_rows():
        counters.increment(count, "dead_letters", exchange, str(scope), reason)


def _value_counts(values: pl.Series) -> Iterable[tuple[Any, int]]:
    """Return each value with its number of occurrences."""
    if values.len() <= SMALL_BATCH_ROWS:
        return Counter(values.to_list()).items()
    return values.value_counts().iter_rows()
