"""The parts of a pipeline, ready to be wired."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from bytewax.inputs import Source
from bytewax.outputs import StatefulSinkPartition

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.sink import ClickHouseSink, CountingSink, EarlyTradeWriter
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.clickhouse.writer import Writer
from candlewax.core.batch import UNKNOWN_EXCHANGE, Batch
from candlewax.core.frames import SourceItem
from candlewax.core.instruments import Instruments
from candlewax.core.snapshots import Snapshot
from candlewax.core.trades.messages import ParsedMessages
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.replay.unprocessed_frames import UnprocessedFrameSource
from candlewax.kafka import raw_messages, topics
from candlewax.kafka.client import KafkaClient
from candlewax.kafka.producer import ReliableProducer
from candlewax.kafka.raw_sink import RawFrameProducer, RawTopicSink
from candlewax.kafka.source import KafkaSource
from candlewax.kafka.trade_publisher import Encoder, TradePublisher
from candlewax.pipeline.data_kind import Guard
from candlewax.pipeline.steps import route as routing
from candlewax.pipeline.steps.candles import CandleStep
from candlewax.pipeline.steps.deduplicate import DecodeStep, DeduplicateStep
from candlewax.pipeline.steps.route import MessageValues, ReadTradesStep, RouteStep
from candlewax.runtime.clocks import wall_clock
from candlewax.runtime.connection_status import ConnectionStatus
from candlewax.runtime.counters import Counters
from candlewax.runtime.emit_gate import EmitGate
from candlewax.runtime.health import Health
from candlewax.runtime.metrics import Lags

_ABSENT: Any = None

KEYS = (*EXCHANGES, UNKNOWN_EXCHANGE)
"""What a stream of batches is keyed by."""


@dataclass(frozen=True)
class Components:
    """What the dataflows wire: sources, steps and sinks.

    Only those are there that a dataflow needs where it runs: a pipeline without a
    broker has a `feed`, and `repairs` beside it where gaps are filled meanwhile; one
    behind a broker has the topics it reads. `leftover` is what the process before has
    received and not dealt with, where a feed repeats nothing.
    """

    feed: Source[SourceItem] = _ABSENT
    leftover: Source[SourceItem] | None = None
    repairs: Source[SourceItem] | None = None
    raw: Source[SourceItem] | None = None
    normalized: Source[MessageValues] | None = None
    route: RouteStep = _ABSENT
    decode: DecodeStep = _ABSENT
    read: ReadTradesStep = _ABSENT
    deduplicate: Callable[[Snapshot | None], DeduplicateStep] = _ABSENT
    trades_first: Callable[[Batch], Batch] | None = None
    candles: Callable[[Snapshot | None], CandleStep] = _ABSENT
    topics: RawTopicSink | None = None
    tables: ClickHouseSink = _ABSENT
    count: CountingSink = _ABSENT
    lags: list[Lags] = field(default_factory=list)
    waiting: list[Callable[[], int]] = field(default_factory=list)


@dataclass(frozen=True)
class ProcessContext:
    """What all parts of a process share. `wanted` are its exchanges, `on_end` is called
    when all that came is stored, `turns` are those of its sources,
    `linger` how long what came waits for others, where not for as long as suits best.
    `kind` is that of what its feed brings, if it has one of its own.
    A feed that `resumes` gives again what came after a snapshot, as logs and topics do.
    """

    instruments: Instruments
    exchanges: tuple[str, ...]
    tally: Counters
    stopping: Callable[[], bool] = lambda: False
    on_end: Callable[[], None] = lambda: None
    live: bool = False
    is_replayable: bool = True
    feeds: ConnectionStatus = field(default_factory=ConnectionStatus)
    health: Health = field(default_factory=Health)
    turns: EmitGate = field(default_factory=EmitGate)
    linger: timedelta | None = None
    kind: str = ""


def build_embedded(
    process: ProcessContext,
    feed: Source[SourceItem],
    database: Database,
    repairs: Source[SourceItem] | None = None,
    after: Callable[[Sequence[Batch]], None] = lambda _: None,
    before: Callable[[Batch], None] = lambda _: None,
) -> Components:
    """The whole pipeline from a feed to the tables, in one process. `before` is given each
    batch that is about to be stored, `after` what was stored.

    Behind a feed that does not resume what a snapshot remembers may be less than what is
    stored, and nobody tells the rest again: there the tables are all that is remembered.
    """
    history = StateLoader(database)
    background = True if process.live else None
    # Only what is live is to be soon.
    ahead = process.live and database.is_embedded
    writer = Writer(database, process.tally, history=history, background=background, after=after)
    process.turns.add_backpressure(lambda: writer.is_backlogged)
    deduplicate = partial(DeduplicateStep, history, process.tally)
    since = 0 if process.is_replayable else wall_clock()
    candles = partial(CandleStep, history, process.tally, live=process.live, since=since)
    return Components(
        feed=feed,
        leftover=None
        if process.is_replayable
        else UnprocessedFrameSource(database, process.exchanges),
        repairs=repairs,
        decode=DecodeStep(process.instruments, process.exchanges, process.tally),
        deduplicate=deduplicate if process.is_replayable else lambda _: deduplicate(None),
        trades_first=EarlyTradeWriter(writer, history.has_started, before) if ahead else None,
        candles=candles if process.is_replayable else lambda _: candles(None),
        tables=ClickHouseSink(KEYS, writer, process.on_end, before),
        count=CountingSink(process.tally, process.on_end),
    )


def build_components(
    feed: Source[SourceItem],
    known: Instruments,
    wanted: Iterable[str],
    database: Database,
    tally: Counters,
    on_end: Callable[[], None] = lambda: None,
) -> Components:
    """Make the parts of a pipeline that stores what `feed` emits of the wanted
    exchanges. `on_end` is called when all that came is stored.
    """
    return build_embedded(
        ProcessContext(known, tuple(wanted), tally, on_end=on_end), feed, database
    )


def build_ingest(
    process: ProcessContext,
    feed: Source[SourceItem],
    broker: KafkaClient,
    database: Callable[[], Database],
) -> Components:
    """From a feed to the raw topics. The database is asked for when there is
    something that no raw topic takes.
    """
    outbox = ReliableProducer(broker, process.stopping)
    forward = TradePublisher(broker, outbox)

    def aside() -> StatefulSinkPartition[Batch, None]:
        writer = Writer(database(), process.tally, before=outbox.flush)
        return ClickHouseSink(KEYS, writer, forward=forward).build_part("", UNKNOWN_EXCHANGE, None)

    frames = RawFrameProducer(broker, outbox, process.tally, kind=process.kind)
    return Components(
        feed=feed,
        route=RouteStep(process.instruments, process.exchanges, process.tally),
        topics=RawTopicSink(KEYS, frames, aside, process.on_end),
        waiting=[outbox.waiting],
    )


def build_silver(
    process: ProcessContext,
    broker: KafkaClient,
    database: Database,
    guard: Guard,
    encode: Encoder | None = None,
) -> Components:
    """From the raw topics to trades: in their topic and in the tables."""
    history = StateLoader(database)
    outbox = ReliableProducer(broker, process.stopping)
    forward = TradePublisher(broker, outbox, encode, lambda: guard.kind)
    # Trades have left before they are stored: who begins with the tables knows that
    # what they hold need not be sent again.
    writer = Writer(database, process.tally, history=history, background=True, before=outbox.flush)
    process.turns.add_backpressure(lambda: writer.is_backlogged)
    source = _raw_topics(process, broker, guard, "candlewax-silver")
    process.health.add("broker", source.unavailable_reason)
    return Components(
        raw=source,
        decode=DecodeStep(process.instruments, process.exchanges, process.tally),
        deduplicate=partial(DeduplicateStep, history, process.tally),
        tables=ClickHouseSink(KEYS, writer, process.on_end, forward),
        lags=[source.lag],
        waiting=[outbox.waiting],
    )


def build_tables(
    process: ProcessContext, broker: KafkaClient, database: Database, guard: Guard
) -> Components:
    """From the raw topics to all tables."""
    history = StateLoader(database)
    source = _raw_topics(process, broker, guard, "candlewax-tables")
    writer = Writer(database, process.tally, history=history, background=True)
    process.turns.add_backpressure(lambda: writer.is_backlogged)
    return Components(
        raw=source,
        decode=DecodeStep(process.instruments, process.exchanges, process.tally),
        deduplicate=partial(DeduplicateStep, history, process.tally),
        candles=partial(CandleStep, history, process.tally, live=True),
        tables=ClickHouseSink(KEYS, writer, process.on_end),
        lags=[source.lag],
    )


def _raw_topics(
    process: ProcessContext, broker: KafkaClient, guard: Guard, group: str
) -> KafkaSource[list[SourceItem], SourceItem]:
    wanted = {topics.raw(exchange): None for exchange in process.exchanges}
    waits = process.stopping, process.turns, process.linger
    return KafkaSource(broker, wanted, raw_messages.reading(guard), group, *waits)


def build_ohlcv(
    process: ProcessContext,
    broker: KafkaClient,
    database: Database,
    guard: Guard,
    decode: Callable[[Sequence[bytes]], ParsedMessages] | None = None,
) -> Components:
    """From the topic of trades to candles in the tables."""
    history = StateLoader(database, meanwhile=True)
    writer = Writer(database, process.tally, history=history, background=True)
    process.turns.add_backpressure(lambda: writer.is_backlogged)
    count = broker.partitions(topics.NORMALIZED)
    own = sorted({topics.normalized_partition(exchange, count) for exchange in process.exchanges})
    trades = {topics.NORMALIZED: own}
    waits = process.stopping, process.turns, process.linger
    source = KafkaSource(broker, trades, routing.READING, "candlewax-ohlcv", *waits)
    process.health.add("broker", source.unavailable_reason)
    return Components(
        normalized=source,
        read=ReadTradesStep(process.exchanges, decode, guard),
        deduplicate=partial(DeduplicateStep, history, process.tally, stores=False),
        candles=partial(CandleStep, history, process.tally, live=True),
        tables=ClickHouseSink(KEYS, writer, process.on_end),
        lags=[source.lag],
    )
