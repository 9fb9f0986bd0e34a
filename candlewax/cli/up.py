"""Command `candlewax up`: runs the whole pipeline and its page in one process."""

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.run import cli_main

from candlewax.cli import serve_options, up_options
from candlewax.cli.up_options import SAMPLE_PACE
from candlewax.clickhouse import engine
from candlewax.clickhouse.client import DatabaseError, connect
from candlewax.clickhouse.library_pages import release_library_pages
from candlewax.core.frames import SourceItem
from candlewax.core.instruments import InstrumentsError
from candlewax.core.instruments import load as load_instruments
from candlewax.core.shards import ShardPlan
from candlewax.feeds.replay.paced import PacedSource, PlaybackClock
from candlewax.feeds.replay.source import FrameLogSource
from candlewax.pipeline import builder
from candlewax.pipeline.beside import bars_beside
from candlewax.pipeline.builder import Components
from candlewax.pipeline.data_kind import kind_of, open_for_kind
from candlewax.pipeline.instruments_reload import hold_signals
from candlewax.pipeline.instruments_table import record_markets
from candlewax.pipeline.process import ProcessContext
from candlewax.pipeline.services import start_services
from candlewax.pipeline.sources import frame_source, gap_fill_source
from candlewax.runtime.cold_settings import reach_archive
from candlewax.runtime.counters import Counters
from candlewax.runtime.cpu import tune_runtime
from candlewax.runtime.errors import configure_logging
from candlewax.runtime.installation import describe_database, describe_instruments
from candlewax.runtime.settings import Settings, SettingsError, fill_problems
from candlewax.runtime.settings import load as load_settings
from candlewax.runtime.shutdown import ShutdownSignal
from candlewax.verification.monitor import CrossCheckMonitor, watch_beside
from candlewax.web.app import BackgroundTask, build_app
from candlewax.web.cache.cache import CandleCache
from candlewax.web.queries import Store
from candlewax.web.server import ServerError
from candlewax.web.sql.endpoint import Reader
from candlewax.web.stream.batch_queue import BatchQueue
from candlewax.web.stream.broadcaster import Broadcaster
from candlewax.web.stream.feed_status import Clock
from candlewax.web.stream.poller import Changes

SAMPLE_BEGIN: Final = datetime(2026, 9, 15, 0, 28, tzinfo=UTC)
"""Time in the sample: the 3 hours before it come at once, the 100 minutes after are played."""

EPOCH: Final = timedelta(seconds=10)

_STORE_TIMEOUT_S: Final = 1.0
"""Longest time that a query waits for new rows; on a full disk they cannot be stored."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", build: "Build") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "up", help="run the whole pipeline and show its candles on a page (the sample if "
        "CANDLEWAX_FEED says nothing else)"
    )  # fmt: skip
    up_options.add(command)
    command.set_defaults(run=partial(run, build=build))


Build = Callable[[Components], Dataflow]
"""Callable that builds the dataflow of the whole pipeline."""


def run(arguments: argparse.Namespace, build: Build) -> int:
    """Run until Ctrl-C. Return the exit status."""
    configure_logging()
    try:
        settings = load_settings()
        configure_logging(settings.log)
        if settings.brokers:
            raise SettingsError(
                "CANDLEWAX_BROKERS: up runs without a broker; behind one, candlewax serve "
                "shows what the dataflows store"
            )
        if arguments.fill:
            if problems := fill_problems(settings.feed, settings.brokers):
                raise SettingsError("\n".join(problems))
            settings = replace(settings, fill=arguments.fill)
        if settings.cold:
            reach_archive(settings.cold)
        tune_runtime()
        with ExitStack() as stack:
            status = _Up(settings, arguments, build, stack).run()
        return engine.exit_with(status)
    except (SettingsError, InstrumentsError, DatabaseError, ServerError) as error:
        print(f"candlewax: {error}", file=sys.stderr)
        return engine.exit_with(1)


class _Up:
    def __init__(
        self, settings: Settings, arguments: argparse.Namespace, build: Build, stack: ExitStack
    ) -> None:
        self._build = build
        self._stack = stack
        self._shutdown = ShutdownSignal()
        self._shutdown.listen()
        hold_signals(settings, self._shutdown)
        instruments = load_instruments(settings.instruments)
        self._playback = None if settings.is_live else _build_playback(settings, arguments)
        self._kind = kind_of(settings)
        self._database_suffix = "."
        if not (settings.is_live or arguments.keep or not isinstance(settings.clickhouse, Path)):
            # In a database that holds the recording, all trades are duplicates and nothing moves.
            folder = tempfile.mkdtemp(prefix="candlewax-")
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            settings = replace(settings, clickhouse=Path(folder), is_placed=True)
            self._kind = ""
            self._database_suffix = (
                "; it is removed at the end, unless --keep is given.\nOther commands read it with "
                f"CANDLEWAX_CLICKHOUSE={folder}"
            )
        self._settings = settings
        exchanges = settings.exchanges or instruments.exchanges
        self._process = ProcessContext(
            instruments, exchanges, Counters(), self._shutdown, is_live=settings.is_live,
            is_replayable=not settings.is_live, max_wait=settings.linger_seconds,
            shard_plan=ShardPlan(settings.shards, settings.own_shards),
        )  # fmt: skip
        self._batch_queue = BatchQueue()
        self._address = serve_options.read(arguments)
        self._flush: Callable[[float], None] = lambda _: None

    def run(self) -> int:
        # A start that fails must not leave an empty database as the one that was filled last.
        serve_options.require_free(self._address)
        settings, database = open_for_kind(self._settings, self._kind)
        self._settings = settings
        self._stack.callback(database.close)
        record_markets(settings, self._process, database)
        print(describe_instruments(settings))
        print(f"{describe_database(settings)}{self._database_suffix}", flush=True)
        store = Store(
            partial(connect, settings.clickhouse, settings.database, fail_fast=True),
            before_query=self._store_pending,
        )
        self._stack.callback(store.close)
        cache = CandleCache()
        monitor = watch_beside(settings)
        cross_check = monitor.metrics.report if monitor else None
        broadcaster = Broadcaster(self._batch_queue, cache, _clock(self._playback), cross_check)
        broadcaster.update_days(store.days())
        reader = None
        if isinstance(settings.clickhouse, Path):
            reader = Reader(
                settings.clickhouse, settings.database, before_query=self._store_pending
            )
            self._stack.callback(reader.close)
        background_tasks: list[BackgroundTask] = [broadcaster.run]
        if not isinstance(settings.clickhouse, Path):
            # Other processes may store on a server too.
            background_tasks.append(Changes(store, broadcaster, cache).run)
        app = build_app(
            store,
            broadcaster,
            cache,
            reader,
            background_tasks,
            feed_title=self._feed_title(),
            names=self._address.names,
            prefix=self._address.prefix,
        )
        repairs = gap_fill_source(settings, self._process, is_finite=False)
        batch_queue = self._batch_queue
        components = builder.build_embedded(
            self._process,
            self._feed(),
            database,
            repairs,
            on_stored=batch_queue.put_announced,
            on_recomputed=batch_queue.put,
            before_store=batch_queue.announce,
        )
        self._flush = components.flush
        start_services(settings, components, self._process)
        server = serve_options.begin(app, broadcaster, self._address, self._feed_title())
        self._stack.callback(server.stop)
        announced = serve_options.announce(settings.clickhouse, "up", self._address, server.port)
        self._stack.enter_context(announced)
        flow = self._build(components)
        if database.is_embedded:
            release_library_pages()
        self._begin_threads(settings, monitor)
        cli_main(flow, epoch_interval=EPOCH)
        broadcaster.feeds.has_ended = True
        if self._playback and not self._shutdown():
            print(_describe_played(self._process.counters), flush=True)
        _wait_for(self._shutdown)
        print("Stopped as asked.", flush=True)
        return 0

    def _begin_threads(self, settings: Settings, monitor: CrossCheckMonitor | None) -> None:
        """Start the threads of the cold tier, of bars and of the cross-check, as far as wanted."""
        if settings.cold:
            # Imported here: without a cold tier it costs nothing.
            from candlewax.cold.service import ColdThread  # noqa: PLC0415

            cold = ColdThread(settings)
            cold.begin()
            self._stack.callback(cold.end)
        bars = bars_beside(settings, self._process)
        bars.begin()
        self._stack.callback(bars.end)
        if monitor:
            monitor.begin()
            self._stack.callback(monitor.close)
            self._stack.callback(monitor.end)

    def _store_pending(self) -> None:
        """Store what was received, so that a query sees it: the writer does so once a second."""
        self._flush(_STORE_TIMEOUT_S)

    def _feed(self) -> Source[SourceItem]:
        if self._playback is None:
            return frame_source(self._settings, self._process)
        logs = FrameLogSource(self._settings.frame_logs, self._process.counters, self._shutdown)
        return PacedSource(logs, self._playback, self._shutdown)

    def _feed_title(self) -> str:
        if self._playback is None:
            return "simulated feeds" if self._settings.is_simulated else "live feeds"
        feed = self._settings.feed
        name = feed if isinstance(feed, str) else ", ".join(path.name for path in feed)
        return f"{name} at {self._playback.pace:g} times its pace"


def _build_playback(settings: Settings, arguments: argparse.Namespace) -> PlaybackClock:
    sample = settings.feed == "sample"
    begin = arguments.begin or (SAMPLE_BEGIN if sample else None)
    pace = arguments.pace or (SAMPLE_PACE if sample else 1.0)
    return PlaybackClock(pace, int(begin.timestamp() * 1_000_000) if begin else None)


class _PlaybackPageClock(Clock):
    """Clock of the page that follows a playback."""

    def __init__(self, playback: PlaybackClock) -> None:
        self._playback = playback
        self.pace = playback.pace

    def feed_time_us(self, wall_us: int) -> int:
        return self._playback.now(wall_us)

    def wall_time_us(self, received_us: int) -> int:
        return self._playback.to_wall(received_us)


def _clock(playback: PlaybackClock | None) -> Clock:
    return _PlaybackPageClock(playback) if playback else Clock()


def _describe_played(counters: Counters) -> str:
    """Return what a recording brought: without it, one that is unreadable or known is silent."""
    new, repeated = counters.total("trades"), counters.total("duplicates")
    return (
        f"The recording has ended: {counters.total('frames'):,} frames, {new:,} new trades, "
        f"{repeated:,} repeated or stored before, {counters.total('dead_letters'):,} dead letters. "
        "The page stays until Ctrl-C."
    )


def _wait_for(should_stop: Callable[[], bool]) -> None:
    while not should_stop():
        time.sleep(0.1)
