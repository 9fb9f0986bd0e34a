"""Names, partitions and retention of topics."""

import pytest

from candlewax.exchanges import EXCHANGES
from candlewax.kafka import topics

DAY_MS = 24 * 60 * 60 * 1000


def test_each_exchange_has_its_own_raw_topic() -> None:
    """All exchanges share the other topics."""
    required = topics.required_topics(["binance", "binance_usdm", "kraken", "coinbase"], 3, 5)
    assert {topic.name: (topic.partitions, topic.retention_ms) for topic in required} == {
        "market.crypto.trades.binance.raw": (3, 7 * DAY_MS),
        "market.crypto.trades.binance_usdm.raw": (3, 7 * DAY_MS),
        "market.crypto.trades.kraken.raw": (3, 7 * DAY_MS),
        "market.crypto.trades.coinbase.raw": (3, 7 * DAY_MS),
        "market.crypto.trades.normalized": (5, 2 * DAY_MS),
        "market.crypto.trades.dlq": (1, 30 * DAY_MS),
    }


def test_connection_keeps_its_partition() -> None:
    """It is the same in each process and release; otherwise the order of frames would be lost."""
    assert [topics.raw_partition(name, 4) for name in ("b0", "b1", "kraken-0", "")] == [
        2, 0, 1, 0,
    ]  # fmt: skip
    for count in (1, 2, 7):
        spread = {topics.raw_partition(f"c{n}", count) for n in range(100)}
        assert spread == set(range(count))


@pytest.mark.parametrize("count", [1, 2, 4, 9])
def test_exchanges_are_spread_over_the_partitions_of_trades(count: int) -> None:
    """All trades of an exchange are in one partition."""
    partitions = [topics.normalized_partition(exchange, count) for exchange in EXCHANGES]
    assert partitions == [n % count for n in range(len(EXCHANGES))]
