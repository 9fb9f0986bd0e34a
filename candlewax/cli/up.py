"""The command `candlewax up`: the whole pipeline and its page, in one process."""

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

from candlewax.cli import serve_options
from candlewax.clickhouse import engine
from candlewax.clickhouse.client import DatabaseError, connect
from candlewax.core import instruments
from candlewax.core.frames import SourceItem
from candlewax.core.instruments import InstrumentsError
from candlewax.feeds.replay.paced import PacedSource, PlaybackClock
from candlewax.feeds.replay.source import FrameLogSource
from candlewax.pipeline import builder
from candlewax.pipeline.app import serve_metrics, tune_runtime
from candlewax.pipeline.builder import Components, ProcessContext
from candlewax.pipeline.data_kind import kind_of, open_for_kind
from candlewax.pipeline.sources import frame_source, gap_fill_source
from candlewax.runtime import settings
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import configure_logging
from candlewax.runtime.settings import Settings, SettingsError
from candlewax.runtime.shutdown import ShutdownSignal
from candlewax.runtime.times import parse_time_or_utc
from candlewax.verification.monitor import watch_beside
from candlewax.web.app import BackgroundTask, build_app
from candlewax.web.cache.cache import CandleCache
from candlewax.web.queries import Store
from candlewax.web.server import ServerError
from candlewax.web.sql.endpoint import Reader
from candlewax.web.stream.batch_queue import BatchQueue
from candlewax.web.stream.broadcaster import Broadcaster
from candlewax.web.stream.feed_status import Clock
from candlewax.web.stream.poller import Changes

SAMPLE_PACE: Final = 20.0
"""Seconds of the sample in one second: a candle of a minute takes three."""

SAMPLE_BEGIN: Final = datetime(2026, 9, 15, 0, 28, tzinfo=UTC)
"""Three hours of the sample come at once, a hundred minutes are played."""

EPOCH: Final = timedelta(seconds=10)


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", build: "Build") -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "up", help="run the whole pipeline and show its candles on a page (the sample if "
        "CANDLEWAX_FEED says nothing else)"
    )  # fmt: skip
    serve_options.add(command)
    command.add_argument(
        "--pace",
        type=_pace,
        help=f"seconds of a recording in one second (the sample: {SAMPLE_PACE:g}, others: 1)",
    )
    command.add_argument(
        "--begin",
        type=_time,
        help="time in a recording up to which all comes at once, as 2026-09-15T00:30Z",
    )
    command.add_argument(
        "--keep",
        action="store_true",
        help="store a recording in CANDLEWAX_CLICKHOUSE, not in a directory that is removed",
    )
    command.set_defaults(run=partial(run, build=build))


Build = Callable[[Components], Dataflow]
"""Wires the whole pipeline."""


def run(arguments: argparse.Namespace, build: Build) -> int:
    """Run until Ctrl-C; gives the exit status."""
    configure_logging()
    try:
        chosen = settings.load()
        if chosen.brokers:
            raise SettingsError(
                "CANDLEWAX_BROKERS: up runs without a broker; behind one, candlewax serve "
                "shows what the dataflows store"
            )
        tune_runtime()
        with ExitStack() as stack:
            status = _Up(chosen, arguments, build, stack).run()
        return engine.exit_with(status)
    except (SettingsError, InstrumentsError, DatabaseError, ServerError) as error:
        print(f"candlewax: {error}", file=sys.stderr)
        return engine.exit_with(1)


class _Up:
    def __init__(
        self, chosen: Settings, arguments: argparse.Namespace, build: Build, stack: ExitStack
    ) -> None:
        self._build = build
        self._stack = stack
        self._stop = ShutdownSignal()
        self._stop.listen()
        known = instruments.load(chosen.instruments)
        self._play = None if chosen.live else _play(chosen, arguments)
        self._kind = kind_of(chosen)
        if not (chosen.live or arguments.keep or not isinstance(chosen.clickhouse, Path)):
            # What is played again would be known already, and nothing would move.
            folder = tempfile.mkdtemp(prefix="candlewax-")
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            chosen = replace(chosen, clickhouse=Path(folder), is_placed=True)
            self._kind = ""
        self._chosen = chosen
        wanted = chosen.exchanges or known.exchanges
        self._process = ProcessContext(
            known, wanted, Counters(), self._stop, is_live=chosen.live,
            is_replayable=not chosen.live, max_wait=chosen.linger_seconds,
        )  # fmt: skip
        self._hub = BatchQueue()
        self._serving = serve_options.read(arguments)

    def run(self) -> int:
        chosen, database = open_for_kind(self._chosen, self._kind)
        self._chosen = chosen
        self._stack.callback(database.close)
        store = Store(partial(connect, chosen.clickhouse, chosen.database, fail_fast=True))
        self._stack.callback(store.close)
        recent = CandleCache()
        watching = watch_beside(chosen)
        cross_check = watching.checked.report if watching else None
        live = Broadcaster(self._hub, recent, _clock(self._play), cross_check)
        live.update_days(store.days())
        reader = None
        if isinstance(chosen.clickhouse, Path):
            reader = Reader(chosen.clickhouse, chosen.database)
            self._stack.callback(reader.close)
        beside: list[BackgroundTask] = [live.run]
        if not isinstance(chosen.clickhouse, Path):
            # Others may store there too.
            beside.append(Changes(store, live, recent).run)
        names = self._serving.names
        app = build_app(store, live, recent, reader, beside, feed_title=self._what(), names=names)
        repairs = gap_fill_source(chosen, self._process, is_finite=False)
        hub = self._hub
        made = builder.build_embedded(
            self._process,
            self._feed(),
            database,
            repairs,
            on_stored=hub.put,
            before_store=hub.announce,
        )
        serve_metrics(chosen, made, self._process)
        server = serve_options.begin(app, live, self._serving, self._what())
        self._stack.callback(server.stop)
        flow = self._build(made)
        if watching:
            watching.begin()
            self._stack.callback(watching.close)
            self._stack.callback(watching.end)
        cli_main(flow, epoch_interval=EPOCH)
        live.feeds.has_ended = True
        _wait(self._stop)
        print("Stopped as asked.", flush=True)
        return 0

    def _feed(self) -> Source[SourceItem]:
        if self._play is None:
            return frame_source(self._chosen, self._process)
        recordings = FrameLogSource(self._chosen.logs, self._process.counters, self._stop)
        return PacedSource(recordings, self._play, self._stop)

    def _what(self) -> str:
        if self._play is None:
            return "live feeds"
        feed = self._chosen.feed
        name = feed if isinstance(feed, str) else ", ".join(path.name for path in feed)
        return f"{name} at {self._play.pace:g} times its pace"


def _play(chosen: Settings, arguments: argparse.Namespace) -> PlaybackClock:
    sample = chosen.feed == "sample"
    begin = arguments.begin or (SAMPLE_BEGIN if sample else None)
    pace = arguments.pace or (SAMPLE_PACE if sample else 1.0)
    return PlaybackClock(pace, int(begin.timestamp() * 1_000_000) if begin else None)


class _Played(Clock):
    """The time of a recording as it is played."""

    def __init__(self, play: PlaybackClock) -> None:
        self._play = play

    def feed_time_us(self, wall_us: int) -> int:
        return self._play.now(wall_us)

    def wall_time_us(self, received_us: int) -> int:
        return self._play.to_wall(received_us)


def _clock(play: PlaybackClock | None) -> Clock:
    return _Played(play) if play else Clock()


def _wait(stopped: Callable[[], bool]) -> None:
    while not stopped():
        time.sleep(0.1)


def _pace(text: str) -> float:
    try:
        pace = float(text)
    except ValueError:
        pace = 0.0
    if not 0.01 <= pace <= 100_000:
        raise argparse.ArgumentTypeError(f"takes a number from 0.01 to 100000, got {text!r}")
    return pace


def _time(text: str) -> datetime:
    try:
        return parse_time_or_utc(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
