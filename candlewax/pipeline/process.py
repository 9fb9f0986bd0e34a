"""Settings and state that all components of a process share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial

from candlewax.core.batch import UNKNOWN_EXCHANGE
from candlewax.core.instruments import Instruments
from candlewax.core.shards import WHOLE, WHOLE_EXCHANGES, Shard, ShardPlan, shard_index
from candlewax.core.trades.sharding import connection_shard
from candlewax.exchanges import EXCHANGES
from candlewax.kafka import topics
from candlewax.pipeline.cluster import Cluster
from candlewax.pipeline.shard_keys import shard_key
from candlewax.runtime.connection_status import ConnectionStatus
from candlewax.runtime.counters import Counters
from candlewax.runtime.emit_gate import EmitGate
from candlewax.runtime.health import Health


@dataclass(frozen=True)
class ProcessContext:
    """Settings and state that all components of a process share.

    `on_end` is called once everything received is stored. `max_wait` is the time between two
    batches of a source, by default that of the source. `kind` is the kind of data of the feed, ""
    if the database decides it. `is_replayable` tells that the feed emits again what came after a
    snapshot, as logs and topics do. `shard_plan` divides exchanges into shards, `cluster` these
    among processes. `instrument_followers` are called once a changed instruments file was taken up.
    """

    instruments: Instruments
    exchanges: tuple[str, ...]
    counters: Counters
    should_stop: Callable[[], bool] = lambda: False
    on_end: Callable[[], None] = lambda: None
    is_live: bool = False
    is_replayable: bool = True
    connection_status: ConnectionStatus = field(default_factory=ConnectionStatus)
    health: Health = field(default_factory=Health)
    emit_gate: EmitGate = field(default_factory=EmitGate)
    max_wait: timedelta | None = None
    kind: str = ""
    shard_plan: ShardPlan = WHOLE_EXCHANGES
    cluster: Cluster = field(default_factory=Cluster)
    instrument_followers: list[Callable[[], None]] = field(default_factory=list)

    def interval_s(self, default: float) -> float:
        """Return the seconds between two blocks of few rows: `max_wait` if it is set."""
        return default if self.max_wait is None else self.max_wait.total_seconds()

    @property
    def keys(self) -> list[str]:
        """All keys of a stream of batches, in all processes."""
        counts = ShardPlan(self.shard_plan.counts)
        shards = [(name, shard) for name in EXCHANGES for shard in counts.shards(name)]
        return [*(shard_key(name, shard) for name, shard in shards), UNKNOWN_EXCHANGE]

    def connection_shard(self, exchange: str, connection: str) -> Shard | None:
        """Return the shard of all frames of a connection; None if they may belong to several."""
        count = self.shard_plan.count(exchange)
        if count == 1:
            return WHOLE
        return connection_shard(connection, count, partial(self.unified_symbol, exchange))

    def connection_key(self, exchange: str, connection: str) -> str:
        """Return the key of the frames of a connection: of its shard, else of the first one."""
        shard = self.connection_shard(exchange, connection)
        return shard_key(exchange, shard or Shard(0, self.shard_plan.count(exchange)))

    def unified_symbol(self, exchange: str, native_symbol: str) -> str | None:
        """Return the unified symbol of a native one, None if nothing resolves it."""
        instrument = self.instruments.resolve(exchange, native_symbol)
        return instrument.symbol if instrument else None

    def is_subscribed(self, exchange: str, symbol: str) -> bool:
        """Return True if the instruments file subscribes the market of a unified symbol."""
        native_symbols = self.instruments.subscriptions(exchange)
        return any(self.unified_symbol(exchange, name) == symbol for name in native_symbols)

    def shard_of(self, exchange: str, native_symbol: str) -> Shard:
        """Return the shard of a market; the first one if nothing resolves its symbol."""
        count = self.shard_plan.count(exchange)
        symbol = self.unified_symbol(exchange, native_symbol) if count > 1 else None
        return Shard(shard_index(symbol, count) if symbol else 0, count)

    def reads_market(self, exchange: str, symbol: str) -> bool:
        """Return True if this process, or its cluster, reads the market of a unified symbol."""
        return self.shard_plan.owns(exchange, shard_index(symbol, self.shard_plan.count(exchange)))

    def reads_connection(self, exchange: str, connection: str) -> bool:
        """Return True if this process, or its cluster, reads all markets of a connection."""
        shard = self.connection_shard(exchange, connection)
        return exchange not in self.shard_plan.own or bool(
            shard and self.shard_plan.owns(exchange, shard.index)
        )

    def runs_key(self, key: str) -> bool:
        """Return True if a worker of this process has the state of a key."""
        return self.cluster.runs_key(key)

    def reads_shard(self, exchange: str, shard: Shard) -> bool:
        """Return True if this process reads a shard and has its state."""
        is_own = self.shard_plan.owns(exchange, shard.index)
        return is_own and self.cluster.runs_key(shard_key(exchange, shard))


def raw_partitions(process: ProcessContext, counts: Mapping[str, int]) -> dict[str, list[int]]:
    """Return the partitions of raw topics that this process reads, by topic.

    Each shard reads the partition of its index; if there are more, each is read by shard
    `partition % shards`. `counts`: the number of partitions of each raw topic.
    """
    partitions: dict[str, list[int]] = {}
    for exchange in process.exchanges:
        topic, shards = topics.raw(exchange), process.shard_plan.count(exchange)
        partitions[topic] = [
            partition
            for partition in range(counts[topic])
            if process.reads_shard(exchange, Shard(partition % shards, shards))
        ]
    return partitions
