"""The parts of a pipeline, ready to be wired."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from bytewax.inputs import Source
from bytewax.outputs import StatefulSinkPartition

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.sink import Counts, Tables, TradesFirst
from candlewax.clickhouse.state.loader import History
from candlewax.clickhouse.writer import Writer
from candlewax.core.batch import NOWHERE, Batch
from candlewax.core.frames import Feed
from candlewax.core.instruments import Instruments
from candlewax.core.snapshots import Snapshot
from candlewax.core.trades.messages import Read
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.replay.unprocessed_frames import Leftover
from candlewax.kafka import raw_messages, topics
from candlewax.kafka.client import Broker
from candlewax.kafka.producer import Outbox
from candlewax.kafka.raw_sink import Frames, RawTopics
from candlewax.kafka.source import Topics
from candlewax.kafka.trade_publisher import Encoder, Forward
from candlewax.pipeline.data_kind import Guard
from candlewax.pipeline.steps import route as routing
from candlewax.pipeline.steps.candles import Candles
from candlewax.pipeline.steps.deduplicate import Decoder, Deduplicate
from candlewax.pipeline.steps.route import Normalized, Router, Values
from candlewax.runtime.clocks import wall_clock
from candlewax.runtime.connection_status import Feeds
from candlewax.runtime.counters import Tally
from candlewax.runtime.emit_gate import Turns
from candlewax.runtime.health import Health
from candlewax.runtime.metrics import Lags

_ABSENT: Any = None

KEYS = (*EXCHANGES, NOWHERE)
"""What a stream of batches is keyed by."""


@dataclass(frozen=True)
class Parts:
    """What the dataflows wire: sources, steps and sinks.

    Only those are there that a dataflow needs where it runs: a pipeline without a
    broker has a `feed`, and `repairs` beside it where gaps are filled meanwhile; one
    behind a broker has the topics it reads. `leftover` is what the process before has
    received and not dealt with, where a feed repeats nothing.
    """

    feed: Source[Feed] = _ABSENT
    leftover: Source[Feed] | None = None
    repairs: Source[Feed] | None = None
    raw: Source[Feed] | None = None
    normalized: Source[Values] | None = None
    route: Router = _ABSENT
    decode: Decoder = _ABSENT
    read: Normalized = _ABSENT
    deduplicate: Callable[[Snapshot | None], Deduplicate] = _ABSENT
    trades_first: Callable[[Batch], Batch] | None = None
    candles: Callable[[Snapshot | None], Candles] = _ABSENT
    topics: RawTopics | None = None
    tables: Tables = _ABSENT
    count: Counts = _ABSENT
    lags: list[Lags] = field(default_factory=list)
    waiting: list[Callable[[], int]] = field(default_factory=list)


@dataclass(frozen=True)
class Process:
    """What all parts of a process share. `wanted` are its exchanges, `on_end` is called
    when all that came is stored, `turns` are those of its sources,
    `linger` how long what came waits for others, where not for as long as suits best.
    `kind` is that of what its feed brings, if it has one of its own.
    A feed that `resumes` gives again what came after a snapshot, as logs and topics do.
    """

    instruments: Instruments
    wanted: tuple[str, ...]
    tally: Tally
    stopping: Callable[[], bool] = lambda: False
    on_end: Callable[[], None] = lambda: None
    live: bool = False
    resumes: bool = True
    feeds: Feeds = field(default_factory=Feeds)
    health: Health = field(default_factory=Health)
    turns: Turns = field(default_factory=Turns)
    linger: timedelta | None = None
    kind: str = ""


def embedded(
    process: Process,
    feed: Source[Feed],
    database: Database,
    repairs: Source[Feed] | None = None,
    after: Callable[[Sequence[Batch]], None] = lambda _: None,
    before: Callable[[Batch], None] = lambda _: None,
) -> Parts:
    """The whole pipeline from a feed to the tables, in one process. `before` is given each
    batch that is about to be stored, `after` what was stored.

    Behind a feed that does not resume what a snapshot remembers may be less than what is
    stored, and nobody tells the rest again: there the tables are all that is remembered.
    """
    history = History(database)
    background = True if process.live else None
    # Only what is live is to be soon.
    ahead = process.live and database.embedded
    writer = Writer(database, process.tally, history=history, background=background, after=after)
    process.turns.heed(lambda: writer.behind)
    deduplicate = partial(Deduplicate, history, process.tally)
    since = 0 if process.resumes else wall_clock()
    candles = partial(Candles, history, process.tally, live=process.live, since=since)
    return Parts(
        feed=feed,
        leftover=None if process.resumes else Leftover(database, process.wanted),
        repairs=repairs,
        decode=Decoder(process.instruments, process.wanted, process.tally),
        deduplicate=deduplicate if process.resumes else lambda _: deduplicate(None),
        trades_first=TradesFirst(writer, history.has_begun, before) if ahead else None,
        candles=candles if process.resumes else lambda _: candles(None),
        tables=Tables(KEYS, writer, process.on_end, before),
        count=Counts(process.tally, process.on_end),
    )


def make(
    feed: Source[Feed],
    known: Instruments,
    wanted: Iterable[str],
    database: Database,
    tally: Tally,
    on_end: Callable[[], None] = lambda: None,
) -> Parts:
    """Make the parts of a pipeline that stores what `feed` emits of the wanted
    exchanges. `on_end` is called when all that came is stored.
    """
    return embedded(Process(known, tuple(wanted), tally, on_end=on_end), feed, database)


def ingesting(
    process: Process, feed: Source[Feed], broker: Broker, database: Callable[[], Database]
) -> Parts:
    """From a feed to the raw topics. The database is asked for when there is
    something that no raw topic takes.
    """
    outbox = Outbox(broker, process.stopping)
    forward = Forward(broker, outbox)

    def aside() -> StatefulSinkPartition[Batch, None]:
        writer = Writer(database(), process.tally, before=outbox.flush)
        return Tables(KEYS, writer, forward=forward).build_part("", NOWHERE, None)

    frames = Frames(broker, outbox, process.tally, kind=process.kind)
    return Parts(
        feed=feed,
        route=Router(process.instruments, process.wanted, process.tally),
        topics=RawTopics(KEYS, frames, aside, process.on_end),
        waiting=[outbox.waiting],
    )


def refining(
    process: Process,
    broker: Broker,
    database: Database,
    guard: Guard,
    encode: Encoder | None = None,
) -> Parts:
    """From the raw topics to trades: in their topic and in the tables."""
    history = History(database)
    outbox = Outbox(broker, process.stopping)
    forward = Forward(broker, outbox, encode, lambda: guard.kind)
    # Trades have left before they are stored: who begins with the tables knows that
    # what they hold need not be sent again.
    writer = Writer(database, process.tally, history=history, background=True, before=outbox.flush)
    process.turns.heed(lambda: writer.behind)
    source = _raw_topics(process, broker, guard, "candlewax-silver")
    process.health.add("broker", source.away)
    return Parts(
        raw=source,
        decode=Decoder(process.instruments, process.wanted, process.tally),
        deduplicate=partial(Deduplicate, history, process.tally),
        tables=Tables(KEYS, writer, process.on_end, forward),
        lags=[source.lag],
        waiting=[outbox.waiting],
    )


def combining(process: Process, broker: Broker, database: Database, guard: Guard) -> Parts:
    """From the raw topics to all tables."""
    history = History(database)
    source = _raw_topics(process, broker, guard, "candlewax-tables")
    writer = Writer(database, process.tally, history=history, background=True)
    process.turns.heed(lambda: writer.behind)
    return Parts(
        raw=source,
        decode=Decoder(process.instruments, process.wanted, process.tally),
        deduplicate=partial(Deduplicate, history, process.tally),
        candles=partial(Candles, history, process.tally, live=True),
        tables=Tables(KEYS, writer, process.on_end),
        lags=[source.lag],
    )


def _raw_topics(
    process: Process, broker: Broker, guard: Guard, group: str
) -> Topics[list[Feed], Feed]:
    wanted = {topics.raw(exchange): None for exchange in process.wanted}
    waits = process.stopping, process.turns, process.linger
    return Topics(broker, wanted, raw_messages.reading(guard), group, *waits)


def aggregating(
    process: Process,
    broker: Broker,
    database: Database,
    guard: Guard,
    decode: Callable[[Sequence[bytes]], Read] | None = None,
) -> Parts:
    """From the topic of trades to candles in the tables."""
    history = History(database, meanwhile=True)
    writer = Writer(database, process.tally, history=history, background=True)
    process.turns.heed(lambda: writer.behind)
    count = broker.partitions(topics.NORMALIZED)
    own = sorted({topics.normalized_partition(exchange, count) for exchange in process.wanted})
    trades = {topics.NORMALIZED: own}
    waits = process.stopping, process.turns, process.linger
    source = Topics(broker, trades, routing.READING, "candlewax-ohlcv", *waits)
    process.health.add("broker", source.away)
    return Parts(
        normalized=source,
        read=Normalized(process.wanted, decode, guard),
        deduplicate=partial(Deduplicate, history, process.tally, stores=False),
        candles=partial(Candles, history, process.tally, live=True),
        tables=Tables(KEYS, writer, process.on_end),
        lags=[source.lag],
    )
