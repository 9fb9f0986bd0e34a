"""Start-up of a dataflow process: settings, database, broker, reports and shutdown."""

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from bytewax.dataflow import Dataflow

from candlewax.clickhouse.client import DatabaseError, connect, open_tables
from candlewax.clickhouse.library_pages import release_library_pages
from candlewax.core.instruments import InstrumentsError
from candlewax.core.instruments import load as load_instruments
from candlewax.core.kind_marks import REAL, SIMULATED
from candlewax.core.shards import ShardPlan
from candlewax.kafka import topic_kind
from candlewax.kafka.client import BrokerError, KafkaClient
from candlewax.kafka.topic_setup import create_topics
from candlewax.kafka.trade_codec import JsonCodec, TradeCodec
from candlewax.pipeline import builder, recovery_store
from candlewax.pipeline.beside import ThreadsBeside, threads_beside
from candlewax.pipeline.builder import Components
from candlewax.pipeline.cluster import find_cluster
from candlewax.pipeline.data_kind import (
    Guard,
    kind_of,
    live_kind,
    open_claimed,
    open_for_kind,
    settings_for_kind,
)
from candlewax.pipeline.instruments_reload import hold_signals
from candlewax.pipeline.instruments_table import record_markets
from candlewax.pipeline.process import ProcessContext
from candlewax.pipeline.recovery_store import RecoveryError
from candlewax.pipeline.reports.gap_fill import GapFillReport
from candlewax.pipeline.reports.live import LiveReport
from candlewax.pipeline.reports.replay import ReplayReport
from candlewax.pipeline.reports.service import ServiceReport
from candlewax.pipeline.reports.summary import run_console
from candlewax.pipeline.services import start_services
from candlewax.pipeline.sources import (
    empty_source,
    frame_source,
    gap_fill_source,
    require_gap_fill,
    rest_endpoints,
)
from candlewax.runtime.counters import Counters
from candlewax.runtime.cpu import tune_runtime
from candlewax.runtime.errors import configure_logging
from candlewax.runtime.installation import describe_instruments
from candlewax.runtime.poll_timer import MAX_IDLE_AMONG_WORKERS_S, SOURCE_ACTIVITY
from candlewax.runtime.settings import Brokers, Settings, SettingsError
from candlewax.runtime.settings import load as load_settings
from candlewax.runtime.shutdown import ShutdownSignal

REPORT_FLUSH_TIMEOUT_S: Final = 1.0
"""Seconds to wait for what was received to be stored before the report reads it."""


def build_flow(build: Callable[[Components], Dataflow], *, candles: bool) -> Dataflow:
    """Build the dataflow that the environment configures. `candles`: it computes candles.

    Ends the process with a message if a setting is wrong, or if the database, the broker or the
    recovery store cannot be used.
    """
    try:
        configure_logging()
        shutdown = ShutdownSignal()
        # Before anything is opened: a signal during the start ends the sources at once.
        shutdown.listen()
        settings = load_settings()
        configure_logging(settings.log)
        hold_signals(settings, shutdown)
        instruments = load_instruments(settings.instruments)
        recovery_store.check(_flow_name(build))
        tune_runtime()
        cluster = find_cluster()
        if cluster.has_other_workers:
            SOURCE_ACTIVITY.max_idle_s = MAX_IDLE_AMONG_WORKERS_S
        exchanges = settings.exchanges or instruments.exchanges
        process = ProcessContext(
            instruments,
            exchanges,
            Counters(),
            shutdown,
            is_live=settings.is_live,
            max_wait=settings.linger_seconds,
            shard_plan=ShardPlan(settings.shards, settings.own_shards),
            cluster=cluster,
        )
        if store := recovery_store.recovery_folder():
            recovery_store.drop_stale_states(store, process.keys)
        if settings.brokers:
            return _behind_broker(build, settings, settings.brokers, process, shutdown)
        return _embedded(build, settings, process, shutdown, candles=candles)
    except (SettingsError, InstrumentsError, DatabaseError, BrokerError, RecoveryError) as error:
        sys.exit(f"candlewax: {error}")


def _embedded(
    build: Callable[[Components], Dataflow],
    settings: Settings,
    process: ProcessContext,
    shutdown: ShutdownSignal,
    *,
    candles: bool,
) -> Dataflow:
    name = _flow_name(build)
    if name == "repair" and not _has_rest_endpoint(settings, process):
        require_gap_fill(None)
    kind = kind_of(settings) if name != "repair" else live_kind(settings.rest_urls)
    if name == "ingest":  # stores nothing
        settings = settings_for_kind(settings, kind)
        database = open_tables(settings.clickhouse, settings.database, settings.retention)
    else:
        settings, database = open_for_kind(settings, kind)
    repairs = (
        gap_fill_source(settings, process, is_finite=name == "repair") if name != "ingest" else None
    )
    report: ReplayReport | LiveReport | GapFillReport
    beside: ThreadsBeside | None = None
    if name == "repair":
        title = f"Filling gaps in {settings.clickhouse}, database {settings.database}"
        report = GapFillReport(title, run_console(), process.counters, database, shutdown)
    elif settings.is_live:
        feeds = "Simulated feeds" if settings.is_simulated else "Live feeds"
        title = f"{feeds} into {settings.clickhouse}, database {settings.database}; Ctrl-C ends it"
        # A connection of its own, as it reads while the writer stores.
        report_database = connect(settings.clickhouse, settings.database)
        report = LiveReport(title, run_console(), process.counters, report_database, shutdown)
        beside = threads_beside(settings, process) if candles else None
    else:
        report = ReplayReport(
            settings, database, process.counters, shutdown, run_console(), candles=candles
        )
    # Without a broker ingest only counts frames and keeps no state.
    is_replayable = name == "ingest" or not (settings.is_live or name == "repair")
    process = replace(process, on_end=partial(_finish, report, beside), is_replayable=is_replayable)
    if name == "repair":
        components = builder.build_embedded(process, require_gap_fill(repairs), database)
    else:
        if name != "ingest":
            record_markets(settings, process, database)
        components = builder.build_embedded(
            process, frame_source(settings, process), database, repairs
        )
    if isinstance(report, LiveReport):
        report.before_query = partial(components.flush, REPORT_FLUSH_TIMEOUT_S)
    start_services(settings, components, process)
    flow = build(components)
    if database.is_embedded:
        release_library_pages()
    run_console().print(
        describe_instruments(settings), soft_wrap=True, markup=False, highlight=False
    )
    report.begin()
    if beside:
        beside.begin()
    return flow


def _finish(
    report: ReplayReport | LiveReport | GapFillReport | ServiceReport,
    beside: ThreadsBeside | None,
) -> None:
    if beside:
        beside.end()
    report.end()


def _behind_broker(
    build: Callable[[Components], Dataflow],
    settings: Settings,
    brokers: Brokers,
    process: ProcessContext,
    shutdown: ShutdownSignal,
) -> Dataflow:
    name = _flow_name(build)
    kind = ""
    if name == "ingest":
        kind = kind_of(settings) or REAL
        settings = settings_for_kind(settings, kind)
    elif name == "repair" and _has_rest_endpoint(settings, process):
        settings, database = open_for_kind(settings, live_kind(settings.rest_urls))
        database.close()
        kind = SIMULATED if settings.is_simulated else REAL
    broker = KafkaClient(brokers)
    create_topics(broker, brokers, process.exchanges)
    if kind:
        topic_kind.require_kind(broker, process.exchanges, kind)
    title = f"{name}: {', '.join(process.exchanges)} at {broker}. {describe_instruments(settings)}"
    report = ServiceReport(title, process.counters, shutdown)
    beside = None
    if name in {"ohlcv", "tables"}:
        beside = threads_beside(settings, process, process.exchanges)
    process = replace(process, on_end=partial(_finish, report, beside), kind=kind)
    open_database = partial(open_claimed, settings, kind)
    if name == "ingest":
        components = builder.build_ingest(
            process, frame_source(settings, process), broker, open_database
        )
    elif name == "repair":
        source = gap_fill_source(settings, process, is_finite=False) or empty_source(process)
        components = builder.build_ingest(process, source, broker, open_database)
    else:
        components = _build_consumer(name, settings, brokers, process, broker)
        report.lags = components.lags
    start_services(settings, components, process)
    flow = build(components)
    report.begin()
    if beside:
        beside.begin()
    return flow


def _build_consumer(
    name: str, settings: Settings, brokers: Brokers, process: ProcessContext, broker: KafkaClient
) -> Components:
    """Build a dataflow that reads topics and stores data of its database's kind."""
    database = open_tables(settings.clickhouse, settings.database, settings.retention)
    guard = Guard(database, settings.clickhouse, settings.database)
    record_markets(settings, process, database)
    if name == "silver":
        return builder.build_silver(process, broker, database, guard, _codec(brokers))
    if name == "tables":
        return builder.build_tables(process, broker, database, guard)
    return builder.build_ohlcv(process, broker, database, guard, _codec(brokers))


def _codec(brokers: Brokers) -> TradeCodec:
    """Return the codec of the normalized topic: Avro with a schema registry, else JSON."""
    if not brokers.schema_registry:
        return JsonCodec()
    # Imported here, as it is slow to import.
    from candlewax.kafka.avro import Avro  # noqa: PLC0415

    return Avro(brokers.schema_registry)


def _flow_name(build: Callable[[Components], Dataflow]) -> str:
    """Return the name of a dataflow, which is that of its module."""
    return build.__module__.rpartition(".")[2]


def _has_rest_endpoint(settings: Settings, process: ProcessContext) -> bool:
    """Return True if REST access to any exchange is configured."""
    return bool(rest_endpoints(settings, process.exchanges, real=settings.is_live))


def lazy_flow(
    build: Callable[[Components], Dataflow], *, candles: bool = False
) -> Callable[[str], Dataflow]:
    """Return a module's `__getattr__` that builds `flow` on first use.

    So the module can be imported without starting anything.
    """

    def attribute(name: str) -> Dataflow:
        if name != "flow":
            raise AttributeError(name)
        return build_flow(build, candles=candles)

    return attribute
