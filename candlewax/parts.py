"""The parts of a pipeline, made of the settings and ready to be wired."""

import atexit
import os
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from bytewax.dataflow import Dataflow
from bytewax.inputs import Source

from candlewax import instruments, settings
from candlewax.candles import Book
from candlewax.connectors.clickhouse import Database, DatabaseError, open_tables
from candlewax.connectors.history import History
from candlewax.connectors.recordings import Recordings
from candlewax.connectors.sink import Counts, Tables
from candlewax.connectors.writer import Writer
from candlewax.exchanges import EXCHANGES
from candlewax.feed import Feed
from candlewax.instruments import Instruments, InstrumentsError
from candlewax.ledger import Ledger
from candlewax.report import console
from candlewax.run import Run
from candlewax.settings import SettingsError
from candlewax.steps import NOWHERE, Candles, Decoder, Deduplicate
from candlewax.tally import Tally


@dataclass(frozen=True)
class Parts:
    """What the dataflows wire: a source, steps and sinks."""

    feed: Source[Feed]
    decode: Decoder
    deduplicate: Callable[[Ledger | None], Deduplicate]
    candles: Callable[[Book | None], Candles]
    tables: Tables
    count: Counts


class Stop:
    """Whether the process was asked to stop: sources then end, and what they emitted
    is stored and remembered before the process exits.
    """

    def __init__(self) -> None:
        self._asked = False

    def listen(self) -> None:
        """Stop on SIGTERM and SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)
            # All is done when the interpreter ends; being asked then is no failure.
            atexit.register(signal.signal, number, signal.SIG_IGN)

    def _ask(self, *_: object) -> None:
        self._asked = True

    def __call__(self) -> bool:
        return self._asked


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
    history = History(database)
    return Parts(
        feed=feed,
        decode=Decoder(known, wanted, tally),
        deduplicate=partial(Deduplicate, history, tally),
        candles=partial(Candles, history, tally),
        tables=Tables((*EXCHANGES, NOWHERE), Writer(database, tally), on_end),
        count=Counts(tally, on_end),
    )


def start(build: Callable[[Parts], Dataflow], *, candles: bool) -> Dataflow:
    """Build a dataflow as the environment says; `candles` tells whether it makes any.

    Ends the process with a message if a setting is wrong or the database cannot be
    opened.
    """
    try:
        chosen = settings.load()
        known = instruments.load(chosen.instruments)
        database = open_tables(chosen.clickhouse, chosen.database)
    except (SettingsError, InstrumentsError, DatabaseError) as error:
        sys.exit(f"candlewax: {error}")
    # An error's own text says enough; the engine's stack says nothing more.
    os.environ.setdefault("RUST_BACKTRACE", "0")
    stop = Stop()
    stop.listen()
    tally = Tally()
    run = Run(chosen, database, tally, stop, console(), candles=candles)
    feed = Recordings(chosen.logs, tally, stop)
    wanted = chosen.exchanges or known.exchanges
    flow = build(make(feed, known, wanted, database, tally, run.end))
    run.begin()
    return flow


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
