"""What the rows on their way to the tables tell of how a process is doing.

Once a batch, and of its columns no more than a few values: a batch of five rows is not
to cost more for being watched.
"""

from typing import Final

from prometheus_client import Histogram

from candlewax.core.batch import Batch

DELAYS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)
"""Bounds for delays, in seconds."""

_RECEIVED: Final = Histogram(
    "candlewax_exchange_to_received_seconds",
    "From a trade at the exchange until it was received, of the last trade of each batch.",
    ["exchange"],
    buckets=DELAYS,
)


def observe(batch: Batch) -> None:
    """Look at a batch before it is stored."""
    trades, exchange = batch.trades, batch.exchange
    if "silver_trades" in batch.tables and trades.height:
        delay = trades["received_at"][-1] - trades["timestamp"][-1]
        # Clocks differ; none is to make a delay negative.
        _RECEIVED.labels(exchange).observe(max(0.0, delay.total_seconds()))
