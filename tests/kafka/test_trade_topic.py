"""The normalized topic on a real broker: what `ohlcv` reads of it before it starts."""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import pytest
from bytewax.testing import run_main

from candlewax.clickhouse.client import Database
from candlewax.core.shards import Shard, ShardError, ShardPlan
from candlewax.kafka import topics
from candlewax.kafka.avro import Avro
from candlewax.kafka.client import BrokerError, KafkaClient
from candlewax.kafka.producer import ReliableProducer
from candlewax.kafka.topic_watch import TopicWatch, require_partitions
from candlewax.kafka.topics import NORMALIZED
from candlewax.kafka.trade_codec import JsonCodec, TradeCodec
from candlewax.kafka.trade_publisher import TradePublisher
from candlewax.pipeline import builder
from candlewax.pipeline.data_kind import Guard
from candlewax.pipeline.process import ProcessContext
from candlewax.pipeline.trade_topic import LastTrade, TradeTopic, read_last_trades
from candlewax.runtime.counters import Counters
from candlewax.runtime.exit_reasons import explain
from dataflows import ohlcv
from tests.kafka.test_trade_publisher import batch
from tests.support.kafka import reading, registry
from tests.support.playing import INSTRUMENTS

PARTITIONS: Final = 6
PLACES: Final = [
    topics.normalized_partition("kraken", PARTITIONS, Shard(index, 4)) for index in range(4)
]


@pytest.fixture(params=["json", "avro"])
def codec(request: pytest.FixtureRequest) -> Iterator[TradeCodec]:
    if request.param == "json":
        yield JsonCodec()
        return
    with registry.serving() as schemas:
        yield Avro(schemas.url)


def publish(broker: KafkaClient, codec: TradeCodec, shard: Shard, numbers: range) -> None:
    """Publish trades of a shard of kraken."""
    outbox = ReliableProducer(broker)
    TradePublisher(broker, outbox, codec)(replace(batch("kraken", numbers), shard=shard))
    outbox.flush()


def test_new_trades_of_another_number_are_found_in_each_partition(
    broker: KafkaClient, codec: TradeCodec
) -> None:
    """Trades of four shards, three of which a process of one shard does not read."""
    broker.create(topics.required_topics([], 1, PARTITIONS))
    process = ProcessContext(INSTRUMENTS, ("kraken",), Counters(), shard_plan=ShardPlan())
    assert read_last_trades(broker, codec) == {}
    first = TradeTopic(process, broker, codec)
    assert first.partitions == PLACES[:1]
    first.check_all()
    publish(broker, codec, Shard(3, 4), range(5))
    publish(broker, codec, Shard(), range(2))
    assert read_last_trades(broker, codec) == {
        PLACES[3]: LastTrade(4, {("kraken", 4): 0}),
        PLACES[0]: LastTrade(1, {("kraken", 1): 0}),
    }
    with pytest.raises(ShardError, match=f"got 1 .* takes 4, .* partition {PLACES[3]}, offset 4"):
        first.check_all()
    second = TradeTopic(process, broker, codec)
    assert second.partitions == sorted([PLACES[0], PLACES[3]])
    second.check_all()


@pytest.mark.parametrize("index", [0, 3])
def test_ohlcv_ends_at_trades_of_another_number(
    broker: KafkaClient, tables: Database, monkeypatch: pytest.MonkeyPatch, index: int
) -> None:
    """In the partition that it reads, and in one that it does not."""
    broker.create(topics.required_topics([], 1, PARTITIONS))
    if index:
        monkeypatch.setattr(builder, "TopicWatch", partial(TopicWatch, interval_s=0.02))
    end = time.monotonic() + 60

    def should_stop() -> bool:
        return time.monotonic() > end

    process = ProcessContext(INSTRUMENTS, ("kraken",), Counters(), should_stop, is_live=True)
    guard = Guard(tables, Path("/here"), "market")
    flow = ohlcv.build(builder.build_ohlcv(process, broker, tables, guard))
    publish(broker, JsonCodec(), Shard(index, 4), range(5))
    with pytest.raises(RuntimeError) as ended:
        run_main(flow)
    reason = explain(ended.value)
    assert reason is not None
    assert f"got 1 for kraken, takes 4, the number that the trade in {NORMALIZED}, " in reason
    assert f"partition {PLACES[index]}, offset 4 names" in reason
    assert tables.query("SELECT count() FROM ohlcv").item() == 0


def test_added_partitions_end_a_process(broker: KafkaClient) -> None:
    """As frames of more shards than before go there."""
    broker.create(topics.required_topics(["kraken"], 1, 1))
    counts = {topics.raw("kraken"): 1, topics.raw("binance"): 1}
    require_partitions(broker, counts)
    broker.add_partitions(topics.raw("kraken"), 3)
    reading.until(lambda: broker.partitions(topics.raw("kraken")) == 3)
    with pytest.raises(ShardError, match="3 partitions now, 1 when this process"):
        require_partitions(broker, counts)


def test_watch_raises_what_a_check_raised_and_outlasts_an_absent_broker() -> None:
    """In the source that asks if it shall stop."""
    answers = iter([BrokerError("away"), None, ShardError("other shards")])

    def check() -> None:
        answer = next(answers)
        if answer:
            raise answer

    watch = TopicWatch(lambda: False, check, interval_s=0)

    def raises() -> bool:
        try:
            assert not watch()
        except ShardError:
            return True
        return False

    reading.until(raises)
    with pytest.raises(ShardError, match="other shards"):
        watch()


def test_watch_passes_the_stop_signal_on() -> None:
    """Then it checks nothing more."""
    assert TopicWatch(lambda: True, lambda: None)()
