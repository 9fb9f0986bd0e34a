"""The metric of delays, observed from batches on their way to the tables."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from prometheus_client import REGISTRY

from candlewax.clickhouse.sink import observe_delay
from candlewax.core.batch import Batch
from candlewax.core.schema import TRADES

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def trades(*delays_ms: int) -> pl.DataFrame:
    """One trade for each delay."""
    rows = [
        {"timestamp": NOON, "received_at": NOON + timedelta(milliseconds=delay)}
        for delay in delays_ms
    ]
    return pl.DataFrame(rows, schema={name: TRADES[name] for name in ("timestamp", "received_at")})


def delays(exchange: str) -> list[float]:
    """Return the number of observed delays of an exchange, and their sum."""
    name = "candlewax_exchange_to_received_seconds"
    samples = [
        REGISTRY.get_sample_value(f"{name}_{suffix}", {"exchange": exchange})
        for suffix in ("count", "sum")
    ]
    return [value or 0 for value in samples]


def test_delay_of_the_last_trade_is_observed_once_for_a_batch() -> None:
    """If a clock is ahead, the delay counts as zero."""
    delayed = trades(900, 30)
    observe_delay(Batch("delayed", {"silver_trades": delayed}, delayed))
    assert delays("delayed") == [1, pytest.approx(0.03)]
    ahead = trades(-5)
    observe_delay(Batch("delayed", {"silver_trades": ahead}, ahead))
    assert delays("delayed") == [2, pytest.approx(0.03)]


def test_batch_without_stored_trades_observes_no_delay() -> None:
    """So of two processes that see a trade only one observes it."""
    received = trades(40)
    observe_delay(Batch("elsewhere", {}, received))
    observe_delay(Batch("elsewhere", {"silver_trades": trades()}, trades()))
    assert delays("elsewhere") == [0, 0]
