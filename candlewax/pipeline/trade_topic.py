"""Partitions of the normalized topic that a process reads, and what it must find there.

`silver` and `ohlcv` need the same number of shards of an exchange. Each trade names that of
`silver`, so `ohlcv` stops if it was published with another one than its own.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from candlewax.core.shards import Shard, ShardError
from candlewax.core.trades.messages import ShardCounts
from candlewax.kafka import topics
from candlewax.kafka.client import KafkaClient
from candlewax.kafka.last_messages import read_last_messages
from candlewax.kafka.topic_watch import require_partitions
from candlewax.kafka.trade_codec import TradeCodec
from candlewax.kafka.trade_messages import MessageValues
from candlewax.pipeline.process import ProcessContext
from candlewax.pipeline.shard_keys import shard_key

_GROUP: Final = "candlewax-shards"

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class LastTrade:
    """Offset of the last message of a partition, and what it names: exchange and its shards."""

    offset: int
    shard_counts: ShardCounts


def read_last_trades(broker: KafkaClient, codec: TradeCodec) -> dict[int, LastTrade]:
    """Return the last message of each partition that has one. Raises BrokerError."""
    found = read_last_messages(broker, [topics.NORMALIZED], _GROUP)
    return {
        partition: LastTrade(
            message.offset() or 0, codec.decode_rows([message.value() or b""]).shard_counts
        )
        for _, partition, message in found
    }


class TradeTopic:
    """The normalized topic as it is when a process starts to read it."""

    def __init__(self, process: ProcessContext, broker: KafkaClient, codec: TradeCodec) -> None:
        """Read the last message of each partition. Raises BrokerError."""
        self._process = process
        self._broker = broker
        self._codec = codec
        self._admitted: set[tuple[str, int]] = set()
        self._count = broker.partitions(topics.NORMALIZED)
        last_trades = read_last_trades(broker, codec)
        self._ends = {partition: last.offset + 1 for partition, last in last_trades.items()}
        self._readers = self._find_readers(last_trades)

    @property
    def partitions(self) -> list[int]:
        """The partitions that this process reads; of a cluster, each process reads others."""
        return sorted(part for part, key in self._readers.items() if self._process.runs_key(key))

    def _find_readers(self, last_trades: Mapping[int, LastTrade]) -> dict[int, str]:
        """Return the partitions that this process, or its cluster, reads, with a key of each.

        One that several shards share is read where the first of them has its state. If a process
        reads all shards of an exchange, these are also partitions that end with a trade of it from
        before a change of the number.
        """
        process, plan = self._process, self._process.shard_plan
        readers: dict[int, str] = {}
        for exchange in process.exchanges:
            for shard in plan.shards(exchange):
                partition = topics.normalized_partition(exchange, self._count, shard)
                readers.setdefault(partition, shard_key(exchange, shard))
        for partition, last in last_trades.items():
            for exchange, count in self._find_others(last.shard_counts):
                if partition in readers:
                    continue
                if exchange not in plan.own:
                    readers[partition] = shard_key(exchange, Shard(0, plan.count(exchange)))
                    continue
                _log.warning(
                    "CANDLEWAX_SHARDS: got %d for %s; %s, partition %d ends with a trade of %d "
                    "shards, and this process does not read it",
                    plan.count(exchange), exchange, topics.NORMALIZED, partition, count,
                )  # fmt: skip
        return readers

    def _find_others(self, shard_counts: ShardCounts) -> dict[tuple[str, int], int]:
        """Return what differs from this process's numbers, of the exchanges that it reads."""
        process = self._process
        return {
            (exchange, count): place
            for (exchange, count), place in shard_counts.items()
            if exchange in process.exchanges and count != process.shard_plan.count(exchange)
        }

    def check(self, message_values: MessageValues, shard_counts: ShardCounts) -> None:
        """Raise ShardError for messages of another number of shards than this process's.

        It admits those that were in the topic before this process started, if it, or its cluster,
        reads all partitions of that number and all shards, and logs their number once.
        """
        partition = message_values.partition
        for (exchange, count), place in self._find_others(shard_counts).items():
            offset = message_values.offsets[place]
            if offset >= self._ends.get(partition, 0):
                raise self._error(exchange, count, partition, offset, _NEW)
            if not self._covers(exchange, count):
                is_part = exchange in self._process.shard_plan.own
                raise self._error(exchange, count, partition, offset, _PART if is_part else _OLD)
            if (exchange, count) not in self._admitted:
                self._admitted.add((exchange, count))
                _log.warning(
                    "%s: reading trades of %d shards from before this process started; it has %d",
                    exchange, count, self._process.shard_plan.count(exchange),
                )  # fmt: skip

    def check_all(self) -> None:
        """Raise ShardError for the last message of any partition, as `check`, if it is a new one.

        Sees partitions that this process does not read, also added ones. Raises BrokerError.
        """
        require_partitions(self._broker, {topics.NORMALIZED: self._count})
        for partition, last in read_last_trades(self._broker, self._codec).items():
            if last.offset >= self._ends.get(partition, 0):
                for exchange, count in self._find_others(last.shard_counts):
                    raise self._error(exchange, count, partition, last.offset, _NEW)

    def _covers(self, exchange: str, count: int) -> bool:
        """Return True if this process, or its cluster, reads all trades of another number."""
        places = (
            topics.normalized_partition(exchange, self._count, Shard(index, count))
            for index in range(count)
        )
        return exchange not in self._process.shard_plan.own and self._readers.keys() >= set(places)

    def _error(
        self, exchange: str, count: int, partition: int, offset: int, advice: str
    ) -> ShardError:
        own = self._process.shard_plan.count(exchange)
        return ShardError(
            f"CANDLEWAX_SHARDS: got {own} for {exchange}, takes {count}, the number that the trade "
            f"in {topics.NORMALIZED}, partition {partition}, offset {offset} names. "
            + advice.format(exchange=exchange, count=count, own=own)
        )


_NEW: Final = "It was published after this process started: give silver and ohlcv the same number"
"""Advice for a trade of another number while this process runs."""

_OLD: Final = (
    "If silver has {own} now, stop it, and let one ohlcv with {exchange}={count}, of all shards, "
    "read the topic to its end before this one starts"
)
"""Advice for a trade of a former number, of which this process does not read all partitions."""

_PART: Final = (
    "If silver has {own} now, stop it, let ohlcv with {exchange}={count} read the topic to its "
    "end, and delete the topic and this recovery store before this one starts"
)
"""Advice for a trade of a former number in a process that reads some shards."""
