"""What the rows on their way to the tables tell."""

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
    """How many delays were seen of an exchange, and their sum."""
    name = "candlewax_exchange_to_received_seconds"
    found = [
        REGISTRY.get_sample_value(f"{name}_{what}", {"exchange": exchange})
        for what in ("count", "sum")
    ]
    return [value or 0 for value in found]


def test_the_last_trade_of_a_batch_tells_its_delay() -> None:
    """Once for a batch; a clock that is ahead makes no negative one."""
    some = trades(900, 30)
    observe_delay(Batch("delayed", {"silver_trades": some}, some))
    assert delays("delayed") == [1, pytest.approx(0.03)]
    ahead = trades(-5)
    observe_delay(Batch("delayed", {"silver_trades": ahead}, ahead))
    assert delays("delayed") == [2, pytest.approx(0.03)]


def test_who_does_not_store_trades_tells_nothing_of_their_delay() -> None:
    """Of two processes that see a trade one tells."""
    some = trades(40)
    observe_delay(Batch("elsewhere", {}, some))
    observe_delay(Batch("elsewhere", {"silver_trades": trades()}, trades()))
    assert delays("elsewhere") == [0, 0]
