"""The normalized topic as `ohlcv` finds it: its partitions, and trades of another number of shards.

The topic has seven partitions; binance begins with the one of its place among the exchanges.
"""

import logging
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any, Final

import pytest

from candlewax.core.shards import ShardError, ShardPlan
from candlewax.exchanges import EXCHANGES
from candlewax.kafka import topics
from candlewax.kafka.trade_codec import JsonCodec
from candlewax.kafka.trade_messages import MessageValues
from candlewax.pipeline import trade_topic
from candlewax.pipeline.cluster import Cluster
from candlewax.pipeline.process import ProcessContext
from candlewax.pipeline.trade_topic import LastTrade, TradeTopic
from candlewax.runtime.counters import Counters
from tests.support.playing import INSTRUMENTS

COUNT: Final = 7
FIRST: Final = list(EXCHANGES).index("binance")
KRAKEN: Final = list(EXCHANGES).index("kraken")
PLACES: Final = [(FIRST + shard) % COUNT for shard in range(COUNT)]
"""Partitions of the shards of binance."""


class Topic:
    """A topic with last messages, by partition: offset, exchange and its number of shards."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.last: dict[int, tuple[int, str, int]] = {}
        self.count = COUNT
        monkeypatch.setattr(trade_topic, "read_last_trades", self._read)

    def _read(self, *_: object) -> dict[int, LastTrade]:
        return {
            partition: LastTrade(offset, {(exchange, count): 0})
            for partition, (offset, exchange, count) in self.last.items()
        }

    def open(
        self,
        counts: Mapping[str, int],
        own: Mapping[str, frozenset[int]] | None = None,
        cluster: Cluster | None = None,
        exchanges: tuple[str, ...] = ("binance",),
    ) -> TradeTopic:
        process = ProcessContext(
            INSTRUMENTS,
            exchanges,
            Counters(),
            shard_plan=ShardPlan(counts, own or {}),
            cluster=cluster or Cluster(),
        )
        broker: Any = SimpleNamespace(
            partitions=lambda _: self.count, topics=lambda: {topics.NORMALIZED: self.count}
        )
        return TradeTopic(process, broker, JsonCodec())


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> Topic:
    return Topic(monkeypatch)


def check(opened: TradeTopic, partition: int, offset: int, *named: tuple[str, int]) -> None:
    """Read messages that follow each other and name these numbers; the first has the offset."""
    offsets = list(range(offset, offset + len(named)))
    values = MessageValues(topics.NORMALIZED, partition, offsets, [b""] * len(named))
    opened.check(values, {key: place for place, key in enumerate(named)})


def test_process_reads_the_partitions_of_its_shards(topic: Topic) -> None:
    """A process reads the partitions of all shards, or of its own; a cluster shares them."""
    assert topic.open({"binance": 3}).partitions == sorted(PLACES[:3])
    own = {"binance": frozenset({0, 2})}
    assert topic.open({"binance": 3}, own).partitions == sorted([PLACES[0], PLACES[2]])
    parts = [topic.open({"binance": 3}, cluster=Cluster(2, 1, n)).partitions for n in range(2)]
    assert parts == [sorted([PLACES[0], PLACES[2]]), [PLACES[1]]]


def test_trades_of_the_same_number_pass(topic: Topic) -> None:
    """Also those without one, and of exchanges that others read."""
    opened = topic.open({"binance": 2}, {"binance": frozenset({1})})
    check(opened, PLACES[1], 0, ("binance", 2), ("kraken", 5), ("nasdaq", 3))
    check(opened, PLACES[1], 3)


@pytest.mark.parametrize(("own", "sent"), [(4, 2), (2, 4), (1, 4), (4, 1)])
def test_new_trade_of_another_number_is_refused(topic: Topic, own: int, sent: int) -> None:
    """The text names the setting, what the process has, and what the trade names."""
    topic.last[PLACES[0]] = (9, "binance", own)
    opened = topic.open({"binance": own})
    check(opened, PLACES[0], 10, ("binance", own))
    with pytest.raises(ShardError) as refused:
        check(opened, PLACES[0], 8, ("binance", own), ("kraken", 1), ("binance", sent))
    assert str(refused.value) == (
        f"CANDLEWAX_SHARDS: got {own} for binance, takes {sent}, the number that the trade in "
        f"{topics.NORMALIZED}, partition {PLACES[0]}, offset 10 names. It was published after "
        "this process started: give silver and ohlcv the same number"
    )


def test_old_trades_of_fewer_shards_are_read(
    topic: Topic, caplog: pytest.LogCaptureFixture
) -> None:
    """After a change from 2 to 4, all partitions of 2 shards are among those of 4. It is logged."""
    topic.last = {PLACES[0]: (9, "binance", 2), PLACES[1]: (5, "binance", 2)}
    opened = topic.open({"binance": 4})
    check(opened, PLACES[0], 9, ("binance", 2))
    check(opened, PLACES[1], 5, ("binance", 2))
    assert caplog.messages == [
        "binance: reading trades of 2 shards from before this process started; it has 4"
    ]
    with pytest.raises(ShardError, match="offset 6 names"):
        check(opened, PLACES[1], 6, ("binance", 2))


def test_old_trades_of_more_shards_are_read_with_their_partitions(topic: Topic) -> None:
    """After a change from 3 to 1, partitions that end with trades of 3 shards are read too."""
    topic.last = dict.fromkeys(PLACES[:3], (9, "binance", 3))
    topic.last[PLACES[4]] = (3, "kraken", 2)
    for cluster in (Cluster(), Cluster(1, 2, 0)):
        opened = topic.open({}, cluster=cluster)
        assert opened.partitions == sorted(PLACES[:3])
        for place in PLACES[:3]:
            check(opened, place, 4, ("binance", 3))
    parts = [topic.open({}, cluster=Cluster(2, 1, n)) for n in range(2)]
    assert sorted(place for part in parts for place in part.partitions) == sorted(PLACES[:3])
    for part in parts:
        check(part, PLACES[0], 4, ("binance", 3))


def test_old_trades_are_refused_if_some_of_their_partitions_are_not_read(topic: Topic) -> None:
    """The text says how they are read."""
    topic.last = {PLACES[0]: (9, "binance", 3), PLACES[2]: (9, "kraken", 1)}
    with pytest.raises(ShardError) as refused:
        check(topic.open({}), PLACES[0], 9, ("binance", 3))
    assert str(refused.value) == (
        "CANDLEWAX_SHARDS: got 1 for binance, takes 3, the number that the trade in "
        f"{topics.NORMALIZED}, partition {PLACES[0]}, offset 9 names. If silver has 1 now, stop "
        "it, and let one ohlcv with binance=3, of all shards, read the topic to its end before "
        "this one starts"
    )
    check(topic.open({"binance": 3}), PLACES[0], 9, ("binance", 3))


def test_process_of_some_shards_refuses_old_trades(
    topic: Topic, caplog: pytest.LogCaptureFixture
) -> None:
    """It may lack the others; it logs partitions that end with such trades."""
    topic.last = dict.fromkeys(PLACES[:4], (9, "binance", 4))
    with caplog.at_level(logging.WARNING, "candlewax"):
        opened = topic.open({"binance": 2}, {"binance": frozenset({0, 1})})
    assert opened.partitions == sorted(PLACES[:2])
    assert [f"partition {place} ends" in caplog.text for place in PLACES[:4]] == [
        False, False, True, True,
    ]  # fmt: skip
    with pytest.raises(ShardError, match="let ohlcv with binance=4 read the topic to its"):
        check(opened, PLACES[0], 9, ("binance", 4))


def test_new_trades_in_partitions_that_are_not_read_are_noticed(topic: Topic) -> None:
    """New trades of another number count; older ones and other exchanges' do not."""
    topic.last = {PLACES[2]: (9, "kraken", 2), PLACES[4]: (9, "binance", 2)}
    opened = topic.open({"binance": 2}, {"binance": frozenset({0})})
    assert opened.partitions == [PLACES[0]]
    opened.check_all()
    topic.last |= {PLACES[2]: (10, "kraken", 3), PLACES[5]: (0, "binance", 2)}
    opened.check_all()
    topic.last[PLACES[3]] = (0, "binance", 4)
    with pytest.raises(ShardError, match=f"takes 4, .* partition {PLACES[3]}, offset 0 names"):
        opened.check_all()


def test_added_partitions_are_noticed(topic: Topic) -> None:
    """`silver` may send trades to them after its next start."""
    opened = topic.open({})
    topic.count = COUNT + 1
    with pytest.raises(ShardError, match="8 partitions now, 7 when this process started"):
        opened.check_all()
