"""The parts of a pipeline, made of the settings and ready to be wired."""

import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from candlewax import instruments, settings
from candlewax.connectors.clickhouse import Database, DatabaseError, open_tables
from candlewax.connectors.history import History
from candlewax.connectors.recordings import Recordings
from candlewax.connectors.sink import Tables
from candlewax.connectors.writer import Writer
from candlewax.data import SAMPLE
from candlewax.exchanges import EXCHANGES
from candlewax.instruments import InstrumentsError
from candlewax.ledger import Ledger
from candlewax.candles import Book
from candlewax.report import Progress, summary
from candlewax.settings import Settings, SettingsError
from candlewax.steps import NOWHERE, Candles, Decoder, Deduplicate
from candlewax.tally import Tally


@dataclass(frozen=True)
class Parts:
    """What the dataflows wire: a source, steps and a sink."""

    feed: Recordings
    decode: Decoder
    deduplicate: Callable[[Ledger | None], Deduplicate]
    candles: Callable[[Book | None], Candles]
    tables: Tables


class Stop:
    """Whether the process was asked to stop: sources then end, and what they emitted
    is stored and remembered before the process exits."""

    def __init__(self) -> None:
        self.asked = False

    def listen(self) -> None:
        """Stop on SIGTERM and SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, *_: object) -> None:
        self.asked = True

    def __call__(self) -> bool:
        return self.asked
