"""The start of a process: settings, what it opens, and its way to stop."""

import gc
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import polars as pl
from bytewax.dataflow import Dataflow

from candlewax.clickhouse.client import DatabaseError, connect, open_tables
from candlewax.core import instruments
from candlewax.core.instruments import InstrumentsError
from candlewax.core.kind_marks import REAL, SIMULATED
from candlewax.kafka import topic_kind
from candlewax.kafka.client import BrokerError, KafkaClient, create_topics
from candlewax.pipeline import builder, recovery_store
from candlewax.pipeline.builder import Components, ProcessContext
from candlewax.pipeline.data_kind import Guard, claimed, kind_of, live_kind, placed, settled
from candlewax.pipeline.recovery_store import RecoveryError
from candlewax.pipeline.reports.gap_fill import GapFillReport
from candlewax.pipeline.reports.live import LiveReport
from candlewax.pipeline.reports.replay import ReplayReport
from candlewax.pipeline.reports.service import ServiceReport
from candlewax.pipeline.reports.summary import run_console
from candlewax.pipeline.sources import (
    empty_source,
    frame_source,
    gap_fill_source,
    require_gap_fill,
    rest_endpoints,
)
from candlewax.runtime import metrics, settings
from candlewax.runtime.counters import Counters
from candlewax.runtime.emit_gate import PULSE
from candlewax.runtime.errors import configure_logging
from candlewax.runtime.http_status import answer
from candlewax.runtime.metrics import MetricsCollector
from candlewax.runtime.settings import Brokers, Settings, SettingsError
from candlewax.runtime.shutdown import ShutdownSignal
from candlewax.verification.monitor import CrossCheckMonitor, watch_beside

if TYPE_CHECKING:
    from candlewax.kafka.avro import Avro


def build_flow(build: Callable[[Components], Dataflow], *, candles: bool) -> Dataflow:
    """Build a dataflow as the environment says; `candles` tells whether it makes any.

    Ends the process with a message if a setting is wrong, or if the database or the
    broker cannot be opened.
    """
    try:
        configure_logging()
        stop = ShutdownSignal()
        # Also while it starts: sources then end at once.
        stop.listen()
        chosen = settings.load()
        known = instruments.load(chosen.instruments)
        recovery_store.check(_name(build))
        tune_runtime()
        wanted = chosen.exchanges or known.exchanges
        process = ProcessContext(
            known, wanted, Counters(), stop, live=chosen.live, linger=chosen.linger_seconds
        )
        if chosen.brokers:
            return _behind_broker(build, chosen, chosen.brokers, process, stop)
        return _embedded(build, chosen, process, stop, candles=candles)
    except (SettingsError, InstrumentsError, DatabaseError, BrokerError, RecoveryError) as error:
        sys.exit(f"candlewax: {error}")


def serve_metrics(chosen: Settings, made: Components, process: ProcessContext) -> None:
    """Serve metrics if they are wanted. Raises SettingsError."""
    metrics.committed()
    process.health.add("commits", partial(metrics.commit_problem, chosen.fresh_seconds))
    process.health.add("sources", partial(PULSE.stale, chosen.fresh_seconds))
    listed = {
        exchange: process.instruments.known(exchange)["symbol"].cast(pl.String).unique()
        for exchange in process.exchanges
    }
    answer(
        chosen,
        MetricsCollector(process.tally, made.lags, made.waiting, process.feeds, listed),
        process.health,
    )


def tune_runtime() -> None:
    """Set the interpreter up for what flows here."""
    # Frames and messages are freed as they are let go; to look for cycles among
    # thousands of them each time costs more than reading them.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    # Whoever stores would else wait 5 ms for each step while others compute.
    sys.setswitchinterval(0.000_5)


def _embedded(
    build: Callable[[Components], Dataflow],
    chosen: Settings,
    process: ProcessContext,
    stop: ShutdownSignal,
    *,
    candles: bool,
) -> Dataflow:
    name = _name(build)
    if name == "repair" and not _needs_no_feed(chosen, process):
        require_gap_fill(None)
    kind = kind_of(chosen) if name != "repair" else live_kind(chosen.rest_urls)
    if name == "ingest":  # which stores nothing
        chosen = placed(chosen, kind)
        database = open_tables(chosen.clickhouse, chosen.database)
    else:
        chosen, database = settled(chosen, kind)
    repairs = (
        gap_fill_source(chosen, process, finite=name == "repair") if name != "ingest" else None
    )
    run: ReplayReport | LiveReport | GapFillReport
    watching: CrossCheckMonitor | None = None
    if name == "repair":
        what = f"Filling gaps in {chosen.clickhouse}, database {chosen.database}"
        run = GapFillReport(what, run_console(), process.tally, database, stop)
    elif chosen.live:
        what = f"Live feeds into {chosen.clickhouse}, database {chosen.database}; Ctrl-C ends it"
        # By a connection of its own: it looks on while rows are stored.
        onlooker = connect(chosen.clickhouse, chosen.database)
        run = LiveReport(what, run_console(), process.tally, onlooker, stop)
        number = recovery_store.process_number()
        watching = watch_beside(chosen, process_number=number) if candles else None
    else:
        run = ReplayReport(chosen, database, process.tally, stop, run_console(), candles=candles)
    # To count what a feed tells nothing need be remembered.
    resumes = name == "ingest" or not (chosen.live or name == "repair")
    process = replace(process, on_end=partial(_end, run, watching), is_replayable=resumes)
    if name == "repair":
        made = builder.build_embedded(process, require_gap_fill(repairs), database)
    else:
        made = builder.build_embedded(process, frame_source(chosen, process), database, repairs)
    serve_metrics(chosen, made, process)
    flow = build(made)
    run.begin()
    if watching:
        watching.begin()
    return flow


def _end(
    run: ReplayReport | LiveReport | GapFillReport | ServiceReport,
    watching: CrossCheckMonitor | None,
) -> None:
    if watching:
        watching.end()
    run.end()


def _behind_broker(
    build: Callable[[Components], Dataflow],
    chosen: Settings,
    brokers: Brokers,
    process: ProcessContext,
    stop: ShutdownSignal,
) -> Dataflow:
    name = _name(build)
    kind = ""
    if name == "ingest":
        kind = kind_of(chosen) or REAL
        chosen = placed(chosen, kind)
    elif name == "repair" and _needs_no_feed(chosen, process):
        chosen, database = settled(chosen, live_kind(chosen.rest_urls))
        database.close()
        kind = SIMULATED if chosen.is_simulated else REAL
    broker = KafkaClient(brokers)
    create_topics(broker, brokers, process.exchanges)
    if kind:
        topic_kind.check(broker, process.exchanges, kind)
    run = ServiceReport(f"{name}: {', '.join(process.exchanges)} at {broker}", process.tally, stop)
    number = recovery_store.process_number()
    is_watched = name in {"ohlcv", "tables"}
    watching = (
        watch_beside(chosen, process.exchanges, process_number=number) if is_watched else None
    )
    process = replace(process, on_end=partial(_end, run, watching), kind=kind)
    aside = partial(claimed, chosen, kind)
    if name == "ingest":
        made = builder.build_ingest(process, frame_source(chosen, process), broker, aside)
    elif name == "repair":
        source = gap_fill_source(chosen, process, finite=False) or empty_source(process)
        made = builder.build_ingest(process, source, broker, aside)
    else:
        made = _consuming(name, chosen, brokers, process, broker)
    serve_metrics(chosen, made, process)
    flow = build(made)
    run.begin()
    if watching:
        watching.begin()
    return flow


def _consuming(
    name: str, chosen: Settings, brokers: Brokers, process: ProcessContext, broker: KafkaClient
) -> Components:
    """The parts of a dataflow that reads topics and stores what is of its database's kind."""
    database = open_tables(chosen.clickhouse, chosen.database)
    guard = Guard(database, chosen.clickhouse, chosen.database)
    if name == "silver":
        encode = _avro(brokers).encode if brokers.schema_registry else None
        return builder.build_silver(process, broker, database, guard, encode)
    if name == "tables":
        return builder.build_tables(process, broker, database, guard)
    decode = _avro(brokers).decode if brokers.schema_registry else None
    return builder.build_ohlcv(process, broker, database, guard, decode)


def _avro(brokers: Brokers) -> "Avro":
    # Only here: it takes a while to import.
    from candlewax.kafka.avro import Avro  # noqa: PLC0415

    return Avro(brokers.schema_registry or "")


def _name(build: Callable[[Components], Dataflow]) -> str:
    """The name of a dataflow, which is that of its module."""
    return build.__module__.rpartition(".")[2]


def _needs_no_feed(chosen: Settings, process: ProcessContext) -> bool:
    """Whether any exchange may be asked by REST; else what fills gaps brings nothing."""
    return bool(rest_endpoints(chosen, process.exchanges, real=chosen.live))


def lazy_flow(
    build: Callable[[Components], Dataflow], *, candles: bool = False
) -> Callable[[str], Dataflow]:
    """A module's `__getattr__` that starts its `flow` when that is asked for, so
    that the module can be imported without starting anything.
    """

    def attribute(name: str) -> Dataflow:
        if name != "flow":
            raise AttributeError(name)
        return build_flow(build, candles=candles)

    return attribute
