"""What the rows on their way to the tables tell of how a process is doing.

Once a batch, and of its columns no more than a few values: a batch of five rows is not
to cost more for being watched.
"""

from typing import Final

import polars as pl
from prometheus_client import Histogram

from candlewax.batch import Batch
from candlewax.tally import Tally

DELAYS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)
"""Bounds for delays, in seconds."""

_RECEIVED: Final = Histogram(
    "candlewax_exchange_to_received_seconds",
    "From a trade at the exchange until it was received, of the last trade of each batch.",
    ["exchange"],
    buckets=DELAYS,
)

_STATES: Final = {"1": "open", "2": "repairing", "3": "unrepairable", "4": "repaired"}
_CAUSES: Final = {"1": "closed", "2": "late", "3": "repaired", "4": "recomputed"}
"""What stands for the numbers of the tables' enumerations."""

_FIRST: Final = "closed"
"""The cause of the first row of a closed candle, which revises nothing."""


def observe(batch: Batch, tally: Tally) -> None:
    """Look at a batch before it is stored."""
    trades, exchange = batch.trades, batch.exchange
    if "silver_trades" in batch.tables and trades.height:
        delay = trades["received_at"][-1] - trades["timestamp"][-1]
        # Clocks differ; none is to make a delay negative.
        _RECEIVED.labels(exchange).observe(max(0.0, delay.total_seconds()))
    for state, count in _counts(batch, "gaps", "state", _STATES):
        tally.add(count, "gaps", exchange, state)
    for cause, count in _counts(batch, "ohlcv_revisions", "cause", _CAUSES):
        if cause != _FIRST:
            tally.add(count, "revisions", exchange, cause)


def _counts(batch: Batch, table: str, column: str, words: dict[str, str]) -> list[tuple[str, int]]:
    rows = batch.tables.get(table)
    if rows is None or not rows.height:
        return []
    counts = rows[column].cast(pl.String).value_counts()
    return [(words.get(value, value), count) for value, count in counts.iter_rows()]
