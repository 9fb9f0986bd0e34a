"""Settings of shards: their numbers, and those of a process."""

import pytest

from candlewax.runtime.settings import SettingsError
from tests.runtime.test_settings import read


def test_shards_of_exchanges_and_those_of_this_process_are_read() -> None:
    """An exchange of which no shard is named is read whole; one shard is none."""
    loaded = read(SHARDS="binance=64, kraken=1", EXCHANGES="binance/63,coinbase,binance/0")
    assert loaded.shards == {"binance": 64}
    assert loaded.exchanges == ("binance", "coinbase")
    assert loaded.own_shards == {"binance": {0, 63}}


@pytest.mark.parametrize(("partitions", "is_enough"), [("2", False), ("3", True)])
def test_normalized_topic_needs_a_partition_for_each_shard(
    partitions: str, is_enough: bool
) -> None:
    """Only behind a broker."""
    assert read(SHARDS="kraken=3", NORMALIZED_PARTITIONS=partitions).shards == {"kraken": 3}
    if is_enough:
        brokers = read(BROKERS="b:1", SHARDS="kraken=3", NORMALIZED_PARTITIONS=partitions).brokers
        assert brokers is not None
        assert brokers.shards == {"kraken": 3}
    else:
        with pytest.raises(SettingsError, match="got 2, takes at least 3"):
            read(BROKERS="b:1", SHARDS="kraken=3", NORMALIZED_PARTITIONS=partitions)
