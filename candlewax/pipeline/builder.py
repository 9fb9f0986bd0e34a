"""Builders of the components that the dataflows wire."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from bytewax.inputs import Source
from bytewax.outputs import StatefulSinkPartition

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.frame_journal import FrameJournal, journal_folder
from candlewax.clickhouse.sink import ClickHouseSink, CountingSink, EarlyTradeWriter
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.clickhouse.writer import CANDLE_INTERVAL_S, INTERVAL_S, Writer
from candlewax.core.batch import UNKNOWN_EXCHANGE, Batch
from candlewax.core.frames import SourceItem
from candlewax.core.instruments import Instruments
from candlewax.core.rows.row_batch import AnyBatch
from candlewax.core.shards import WHOLE_EXCHANGES, ShardPlan
from candlewax.core.snapshots import Snapshot
from candlewax.feeds.replay.unprocessed_frames import UnprocessedFrameSource
from candlewax.kafka import raw_messages, topics
from candlewax.kafka.client import KafkaClient
from candlewax.kafka.producer import ReliableProducer
from candlewax.kafka.raw_sink import RawFrameProducer, RawTopicSink
from candlewax.kafka.source import KafkaSource
from candlewax.kafka.topic_watch import TopicWatch, require_partitions
from candlewax.kafka.trade_codec import JsonCodec, TradeCodec
from candlewax.kafka.trade_messages import READING, MessageValues
from candlewax.kafka.trade_publisher import TradePublisher
from candlewax.pipeline.data_kind import Guard
from candlewax.pipeline.process import ProcessContext, raw_partitions
from candlewax.pipeline.steps.assign_shards import Decoded
from candlewax.pipeline.steps.candles import CandleStep
from candlewax.pipeline.steps.decode import DecodeStep
from candlewax.pipeline.steps.deduplicate import DeduplicateStep
from candlewax.pipeline.steps.route import ReadTradesStep, RouteStep
from candlewax.pipeline.trade_topic import TradeTopic
from candlewax.runtime.clocks import wall_clock
from candlewax.runtime.counters import Counters
from candlewax.runtime.metrics import Lags

_ABSENT: Any = None


@dataclass(frozen=True)
class Components:
    """Sources, steps and sinks that the dataflows wire.

    A component that a dataflow does not need is absent. Without a broker there is a `feed`, and
    with a live feed also `repairs`, which fills gaps; behind a broker there are the topics to read.
    `unprocessed` emits frames that the process before stored and did not process, if the feed
    cannot repeat them. `flush` returns once everything that reached
    the sink is stored, or after so many seconds.
    """

    feed: Source[SourceItem] = _ABSENT
    unprocessed: Source[SourceItem] | None = None
    repairs: Source[SourceItem] | None = None
    raw_topics: Source[SourceItem] | None = None
    normalized_topic: Source[MessageValues] | None = None
    route: RouteStep = _ABSENT
    decode: DecodeStep = _ABSENT
    read: Callable[[MessageValues], Iterable[tuple[str, Decoded]]] = _ABSENT
    deduplicate: Callable[[Snapshot | None], DeduplicateStep] = _ABSENT
    trades_first: Callable[[AnyBatch], AnyBatch] | None = None
    candles: Callable[[Snapshot | None], CandleStep] = _ABSENT
    topics: RawTopicSink | None = None
    tables: ClickHouseSink = _ABSENT
    count: CountingSink = _ABSENT
    lags: list[Lags] = field(default_factory=list)
    queue_sizes: list[Callable[[], int]] = field(default_factory=list)
    flush: Callable[[float], None] = lambda _: None


def build_embedded(
    process: ProcessContext,
    feed: Source[SourceItem],
    database: Database,
    repairs: Source[SourceItem] | None = None,
    on_stored: Callable[[Sequence[Batch]], None] = lambda _: None,
    on_recomputed: Callable[[Sequence[Batch]], None] = lambda _: None,
    before_store: Callable[[AnyBatch], None] | None = None,
) -> Components:
    """Build the whole pipeline from a feed to the tables, in one process.

    `before_store` is called with each batch before it is stored, `on_stored` with stored batches
    as columns, which may be several of rows in one, and `on_recomputed` with stored candles that
    were recomputed.

    If the feed is not replayable, state is loaded from the tables only: a snapshot may be older
    than the tables, and the frames in between cannot be read again.
    """
    state_loader = StateLoader(database)
    in_background = True if process.is_live else None
    # Storing trades before their candles only shortens the delay of a live feed.
    is_live_embedded = process.is_live and database.is_embedded
    journal = None
    if is_live_embedded and not process.is_replayable and database.folder:
        journal = FrameJournal(journal_folder(database.folder, database.client.database or ""))
    writer = Writer(
        database, process.counters, history=state_loader, background=in_background,
        after=on_stored, after_recompute=on_recomputed,
        interval_s=process.interval_s(INTERVAL_S) if journal else 0.0,
        holds_forming=journal is not None, journal=journal,
    )  # fmt: skip
    process.emit_gate.add_backpressure(writer.is_backlogged)
    deduplicate = _deduplicate_step(process, state_loader)
    since = 0 if process.is_replayable else wall_clock()
    candles = partial(
        CandleStep, state_loader, process.counters, is_live=process.is_live, since_us=since
    )
    unprocessed = None
    if not process.is_replayable:
        unprocessed = UnprocessedFrameSource(
            database, process.exchanges, journal, process.reads_connection
        )
        process.emit_gate.add_backpressure(lambda: unprocessed.is_pending)
    return Components(
        feed=feed,
        unprocessed=unprocessed,
        repairs=repairs,
        decode=_decode_step(process, state_loader),
        deduplicate=deduplicate if process.is_replayable else lambda _: deduplicate(None),
        trades_first=EarlyTradeWriter(writer, state_loader.has_started_shard, before_store)
        if is_live_embedded
        else None,
        candles=candles if process.is_replayable else lambda _: candles(None),
        tables=ClickHouseSink(
            process.keys, writer, process.on_end, before_store, before_store, process.runs_key
        ),
        count=CountingSink(process.counters, process.on_end),
        flush=writer.flush,
    )


def _deduplicate_step(
    process: ProcessContext, state_loader: StateLoader
) -> Callable[[Snapshot | None], DeduplicateStep]:
    return partial(
        DeduplicateStep, state_loader, process.counters, is_subscribed=process.is_subscribed
    )


def _decode_step(process: ProcessContext, loader: StateLoader) -> DecodeStep:
    parts = process.instruments, process.exchanges, process.counters, process.shard_plan
    return DecodeStep(*parts, loader.channel_reader)


def build_components(
    feed: Source[SourceItem],
    instruments: Instruments,
    exchanges: Iterable[str],
    database: Database,
    counters: Counters,
    on_end: Callable[[], None] = lambda: None,
    shard_plan: ShardPlan = WHOLE_EXCHANGES,
) -> Components:
    """Build the embedded pipeline of a feed that is replayed, for the given exchanges."""
    process = ProcessContext(
        instruments, tuple(exchanges), counters, on_end=on_end, shard_plan=shard_plan
    )
    return build_embedded(process, feed, database)


def build_ingest(
    process: ProcessContext,
    feed: Source[SourceItem],
    broker: KafkaClient,
    open_database: Callable[[], Database],
) -> Components:
    """Build the components from a feed to the raw topics.

    `open_database` is called once there are dead letters, which no raw topic takes.
    """
    is_divided = bool(process.shard_plan.counts)
    producer = ReliableProducer(broker, process.should_stop)
    publisher = TradePublisher(broker, producer)

    def open_fallback_sink() -> StatefulSinkPartition[Any, None]:
        writer = Writer(open_database(), process.counters, before=producer.flush)
        sink = ClickHouseSink([UNKNOWN_EXCHANGE], writer, forward=publisher)
        return sink.build_part("", UNKNOWN_EXCHANGE, None)

    frames = RawFrameProducer(
        broker,
        producer,
        process.counters,
        kind=process.kind,
        shard_of=process.connection_shard if is_divided else None,
    )
    key_of = process.connection_key if is_divided else None
    return Components(
        feed=feed,
        route=RouteStep(process.instruments, process.exchanges, process.counters, key_of),
        topics=RawTopicSink(
            process.keys, frames, open_fallback_sink, process.on_end, process.runs_key
        ),
        queue_sizes=[producer.count_undelivered],
    )


def build_silver(
    process: ProcessContext,
    broker: KafkaClient,
    database: Database,
    guard: Guard,
    codec: TradeCodec | None = None,
) -> Components:
    """Build the components from the raw topics to trades, in their topic and in the tables."""
    state_loader = StateLoader(database)
    producer = ReliableProducer(broker, process.should_stop)
    publisher = TradePublisher(broker, producer, codec, guard)
    # Trades are sent before they are stored. So a process that starts from the tables need not
    # send stored trades again, and candles do not wait for the tables.
    writer = _build_writer(process, database, state_loader, INTERVAL_S, before=producer.flush)
    source = _raw_topics(process, broker, guard, "candlewax-silver")
    process.health.add("broker", source.unavailable_reason)
    tables = ClickHouseSink(
        process.keys, writer, process.on_end, publisher, publisher.publish_rows, process.runs_key
    )
    return Components(
        raw_topics=source,
        decode=_decode_step(process, state_loader),
        deduplicate=_deduplicate_step(process, state_loader),
        tables=tables,
        lags=[source.lag],
        queue_sizes=[producer.count_undelivered],
    )


def build_tables(
    process: ProcessContext, broker: KafkaClient, database: Database, guard: Guard
) -> Components:
    """Build the components from the raw topics to all tables."""
    state_loader = StateLoader(database)
    source = _raw_topics(process, broker, guard, "candlewax-tables")
    # An embedded database is read by nobody meanwhile, so it may lack forming candles.
    interval_s = INTERVAL_S if database.is_embedded else CANDLE_INTERVAL_S
    writer = _build_writer(
        process, database, state_loader, interval_s, holds_forming=database.is_embedded
    )
    return Components(
        raw_topics=source,
        decode=_decode_step(process, state_loader),
        deduplicate=_deduplicate_step(process, state_loader),
        candles=partial(CandleStep, state_loader, process.counters, is_live=True),
        tables=ClickHouseSink(process.keys, writer, process.on_end, is_local=process.runs_key),
        lags=[source.lag],
    )


def _build_writer(
    process: ProcessContext, database: Database, state_loader: StateLoader, interval_s: float,
    **options: Any,  # noqa: ANN401 - passed on
) -> Writer:  # fmt: skip
    """Build the writer of a process that reads topics; its backlog holds the sources back."""
    writer = Writer(
        database, process.counters, history=state_loader, background=True,
        interval_s=process.interval_s(interval_s), **options,
    )  # fmt: skip
    process.emit_gate.add_backpressure(writer.is_backlogged)
    return writer


def _raw_topics(
    process: ProcessContext, broker: KafkaClient, guard: Guard, group: str
) -> KafkaSource[list[SourceItem], SourceItem]:
    counts = {topic: broker.partitions(topic) for topic in map(topics.raw, process.exchanges)}
    partitions = raw_partitions(process, counts)
    watch = TopicWatch(process.should_stop, partial(require_partitions, broker, counts))
    controls = watch, process.emit_gate, process.max_wait
    return KafkaSource(broker, partitions, raw_messages.frame_codec(guard), group, *controls)


def build_ohlcv(
    process: ProcessContext,
    broker: KafkaClient,
    database: Database,
    guard: Guard,
    codec: TradeCodec | None = None,
) -> Components:
    """Build the components from the normalized topic to candles in the tables."""
    state_loader = StateLoader(database, has_concurrent_writer=True)
    writer = _build_writer(process, database, state_loader, CANDLE_INTERVAL_S)
    topic = TradeTopic(process, broker, codec := codec or JsonCodec())
    controls = TopicWatch(process.should_stop, topic.check_all), process.emit_gate, process.max_wait
    trades = {topics.NORMALIZED: topic.partitions}
    source = KafkaSource(broker, trades, READING, "candlewax-ohlcv", *controls)
    process.health.add("broker", source.unavailable_reason)
    return Components(
        normalized_topic=source,
        read=ReadTradesStep(process.exchanges, codec, guard, process.shard_plan, topic.check),
        deduplicate=partial(DeduplicateStep, state_loader, process.counters, stores=False),
        candles=partial(CandleStep, state_loader, process.counters, is_live=True),
        tables=ClickHouseSink(process.keys, writer, process.on_end, is_local=process.runs_key),
        lags=[source.lag],
    )
