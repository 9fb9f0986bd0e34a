"""The start of a process: settings, what it opens, and its way to stop."""

import gc
import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import polars as pl
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source

from candlewax.clickhouse.client import DatabaseError, connect, open_tables
from candlewax.core import instruments
from candlewax.core.frames import Feed
from candlewax.core.instruments import InstrumentsError
from candlewax.core.kind_marks import REAL, SIMULATED
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.replay.source import Recordings
from candlewax.feeds.rest.gap_fill import Repairs
from candlewax.feeds.websocket.source import Websockets
from candlewax.kafka import topic_kind
from candlewax.kafka.client import Broker, BrokerError, create_topics
from candlewax.pipeline import builder, recovery_store, rest_endpoints
from candlewax.pipeline.builder import Parts, Process
from candlewax.pipeline.data_kind import Guard, claimed, kind_of, live_kind, placed, settled
from candlewax.pipeline.recovery_store import RecoveryError
from candlewax.pipeline.reports.gap_fill import Mended
from candlewax.pipeline.reports.live import Board
from candlewax.pipeline.reports.replay import Run
from candlewax.pipeline.reports.service import Service
from candlewax.pipeline.reports.summary import run_console
from candlewax.runtime import metrics, settings
from candlewax.runtime.counters import Tally
from candlewax.runtime.emit_gate import PULSE
from candlewax.runtime.errors import tell
from candlewax.runtime.http_status import answer
from candlewax.runtime.metrics import Counted
from candlewax.runtime.settings import Brokers, Settings, SettingsError
from candlewax.runtime.shutdown import Stop
from candlewax.verification.monitor import Watching, watch_beside

if TYPE_CHECKING:
    from candlewax.kafka.avro import Avro


def start(build: Callable[[Parts], Dataflow], *, candles: bool) -> Dataflow:
    """Build a dataflow as the environment says; `candles` tells whether it makes any.

    Ends the process with a message if a setting is wrong, or if the database or the
    broker cannot be opened.
    """
    try:
        tell()
        stop = Stop()
        # Also while it starts: sources then end at once.
        stop.listen()
        chosen = settings.load()
        known = instruments.load(chosen.instruments)
        recovery_store.check(_name(build))
        tune()
        wanted = chosen.exchanges or known.exchanges
        process = Process(
            known, wanted, Tally(), stop, live=chosen.live, linger=chosen.linger_seconds
        )
        if chosen.brokers:
            return _behind_broker(build, chosen, chosen.brokers, process, stop)
        return _embedded(build, chosen, process, stop, candles=candles)
    except (SettingsError, InstrumentsError, DatabaseError, BrokerError, RecoveryError) as error:
        sys.exit(f"candlewax: {error}")


def serve_metrics(chosen: Settings, made: Parts, process: Process) -> None:
    """Serve metrics if they are wanted. Raises SettingsError."""
    metrics.committed()
    process.health.add("commits", partial(metrics.stale, chosen.fresh_seconds))
    process.health.add("sources", partial(PULSE.stale, chosen.fresh_seconds))
    listed = {
        exchange: process.instruments.known(exchange)["symbol"].cast(pl.String).unique()
        for exchange in process.wanted
    }
    answer(
        chosen,
        Counted(process.tally, made.lags, made.waiting, process.feeds, listed),
        process.health,
    )


def tune() -> None:
    """Set the interpreter up for what flows here."""
    # Frames and messages are freed as they are let go; to look for cycles among
    # thousands of them each time costs more than reading them.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    # Whoever stores would else wait 5 ms for each step while others compute.
    sys.setswitchinterval(0.000_5)


def _embedded(
    build: Callable[[Parts], Dataflow],
    chosen: Settings,
    process: Process,
    stop: Stop,
    *,
    candles: bool,
) -> Dataflow:
    name = _name(build)
    if name == "repair" and not _is_asked(chosen, process):
        _needed(None)
    kind = kind_of(chosen) if name != "repair" else live_kind(chosen.rest_urls)
    if name == "ingest":  # which stores nothing
        chosen = placed(chosen, kind)
        database = open_tables(chosen.clickhouse, chosen.database)
    else:
        chosen, database = settled(chosen, kind)
    repairs = repairing(chosen, process, finite=name == "repair") if name != "ingest" else None
    run: Run | Board | Mended
    watching: Watching | None = None
    if name == "repair":
        what = f"Filling gaps in {chosen.clickhouse}, database {chosen.database}"
        run = Mended(what, run_console(), process.tally, database, stop)
    elif chosen.live:
        what = f"Live feeds into {chosen.clickhouse}, database {chosen.database}; Ctrl-C ends it"
        # By a connection of its own: it looks on while rows are stored.
        onlooker = connect(chosen.clickhouse, chosen.database)
        run = Board(what, run_console(), process.tally, onlooker, stop)
        number = recovery_store.process_number()
        watching = watch_beside(chosen, process_number=number) if candles else None
    else:
        run = Run(chosen, database, process.tally, stop, run_console(), candles=candles)
    # To count what a feed tells nothing need be remembered.
    resumes = name == "ingest" or not (chosen.live or name == "repair")
    process = replace(process, on_end=partial(_end, run, watching), resumes=resumes)
    if name == "repair":
        made = builder.embedded(process, _needed(repairs), database)
    else:
        made = builder.embedded(process, feed(chosen, process), database, repairs)
    serve_metrics(chosen, made, process)
    flow = build(made)
    run.begin()
    if watching:
        watching.begin()
    return flow


def _end(run: Run | Board | Mended | Service, watching: Watching | None) -> None:
    if watching:
        watching.end()
    run.end()


def _behind_broker(
    build: Callable[[Parts], Dataflow],
    chosen: Settings,
    brokers: Brokers,
    process: Process,
    stop: Stop,
) -> Dataflow:
    name = _name(build)
    kind = ""
    if name == "ingest":
        kind = kind_of(chosen) or REAL
        chosen = placed(chosen, kind)
    elif name == "repair" and _is_asked(chosen, process):
        chosen, database = settled(chosen, live_kind(chosen.rest_urls))
        database.close()
        kind = SIMULATED if chosen.is_simulated else REAL
    broker = Broker(brokers)
    create_topics(broker, brokers, process.wanted)
    if kind:
        topic_kind.check(broker, process.wanted, kind)
    run = Service(f"{name}: {', '.join(process.wanted)} at {broker}", process.tally, stop)
    number = recovery_store.process_number()
    is_watched = name in {"ohlcv", "tables"}
    watching = watch_beside(chosen, process.wanted, process_number=number) if is_watched else None
    process = replace(process, on_end=partial(_end, run, watching), kind=kind)
    aside = partial(claimed, chosen, kind)
    if name == "ingest":
        made = builder.ingesting(process, feed(chosen, process), broker, aside)
    elif name == "repair":
        source = repairing(chosen, process, finite=False) or _nobody(process)
        made = builder.ingesting(process, source, broker, aside)
    else:
        made = _consuming(name, chosen, brokers, process, broker)
    serve_metrics(chosen, made, process)
    flow = build(made)
    run.begin()
    if watching:
        watching.begin()
    return flow


def _consuming(
    name: str, chosen: Settings, brokers: Brokers, process: Process, broker: Broker
) -> Parts:
    """The parts of a dataflow that reads topics and stores what is of its database's kind."""
    database = open_tables(chosen.clickhouse, chosen.database)
    guard = Guard(database, chosen.clickhouse, chosen.database)
    if name == "silver":
        encode = _avro(brokers).encode if brokers.schema_registry else None
        return builder.refining(process, broker, database, guard, encode)
    if name == "tables":
        return builder.combining(process, broker, database, guard)
    decode = _avro(brokers).decode if brokers.schema_registry else None
    return builder.aggregating(process, broker, database, guard, decode)


def _avro(brokers: Brokers) -> "Avro":
    # Only here: it takes a while to import.
    from candlewax.kafka.avro import Avro  # noqa: PLC0415

    return Avro(brokers.schema_registry or "")


def _name(build: Callable[[Parts], Dataflow]) -> str:
    """The name of a dataflow, which is that of its module."""
    return build.__module__.rpartition(".")[2]


def _is_asked(chosen: Settings, process: Process) -> bool:
    """Whether any exchange may be asked by REST; else what fills gaps brings nothing."""
    return bool(rest_endpoints.asked(chosen, process.wanted, real=chosen.live))


def repairing(chosen: Settings, process: Process, *, finite: bool) -> Repairs | None:
    """What fills gaps, if any exchange may be asked. Frames that are replayed are no
    reason to ask an exchange.
    """
    if not chosen.live and not finite and not chosen.brokers:
        return None
    asked = rest_endpoints.asked(chosen, process.wanted, real=chosen.live)
    if not asked:
        return None
    # By a connection of its own: it looks on while rows are stored.
    database = connect(chosen.clickhouse, chosen.database)
    return Repairs(asked, database, process.tally, process.stopping, finite=finite)


def _nobody(process: Process) -> Source[Feed]:
    """Fills no gaps."""
    logging.getLogger("candlewax").warning("there is no exchange that may be asked by REST")
    return Recordings((), process.tally, process.stopping)


def _needed(repairs: Repairs | None) -> Repairs:
    if repairs is None:
        raise SettingsError(
            "CANDLEWAX_FEED: exchanges are asked for trades by REST where it is live, or at "
            "the addresses CANDLEWAX_<EXCHANGE>_REST_URL; there are none"
        )
    return repairs


def feed(chosen: Settings, process: Process) -> Source[Feed]:
    """What the settings want to be read. Raises SettingsError."""
    if not chosen.live:
        return Recordings(chosen.logs, process.tally, process.stopping)
    known = {exchange: process.instruments.subscriptions(exchange) for exchange in process.wanted}
    plan = {exchange: natives for exchange, natives in known.items() if natives}
    named = chosen.exchanges or ()
    if nothing := [exchange for exchange in named if exchange not in plan]:
        raise _nothing_listed(chosen, nothing)
    if not plan:
        raise _nothing_listed(chosen, process.wanted)
    for exchange in plan:
        fresh = partial(process.feeds.wrong, exchange, chosen.fresh_seconds)
        process.health.add(f"feed {exchange}", fresh)
    return Websockets(
        plan,
        chosen.urls,
        process.tally,
        process.stopping,
        feeds=process.feeds,
        turns=process.turns,
        linger=process.linger,
        lives={
            exchange: replace(EXCHANGES[exchange].live, is_simulated=chosen.is_simulated)
            for exchange in plan
        },
    )


def _nothing_listed(chosen: Settings, exchanges: Iterable[str]) -> SettingsError:
    return SettingsError(
        f"CANDLEWAX_FEED: live, but {chosen.instruments} lists nothing to subscribe to for "
        f"{', '.join(exchanges)}"
    )


def lazily(
    build: Callable[[Parts], Dataflow], *, candles: bool = False
) -> Callable[[str], Dataflow]:
    """A module's `__getattr__` that starts its `flow` when that is asked for, so
    that the module can be imported without starting anything.
    """

    def attribute(name: str) -> Dataflow:
        if name != "flow":
            raise AttributeError(name)
        return start(build, candles=candles)

    return attribute
