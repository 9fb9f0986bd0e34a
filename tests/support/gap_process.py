"""One process that deduplicates frames and stores gaps and outages, and what it stored."""

import json
from typing import Any

import polars as pl

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.clickhouse.writer import Writer
from candlewax.core.gaps.gap_state import GapState
from candlewax.core.schema import FRAMES
from candlewax.core.snapshots import Snapshot
from candlewax.core.trades.decode import decode
from candlewax.exchanges import EXCHANGES
from candlewax.pipeline.steps.deduplicate import DeduplicateStep
from candlewax.runtime.counters import Counters
from tests.support.batches import as_columns
from tests.support.decoding import INSTRUMENTS

BEGIN = 1_790_000_000
"""Seconds since 1970."""

Frame = tuple[float, str, str]
"""Seconds since BEGIN, connection, text."""


def trade(number: int, second: float | None = None, name: str = "b0") -> Frame:
    """A trade that was received a second after it happened."""
    at = float(number) if second is None else second
    text = (
        f'{{"e":"trade","E":1,"s":"BTCUSDT","t":{number},"p":"1","q":"1",'
        f'"T":{BEGIN * 1000 + number * 1000},"m":true,"M":true}}'
    )
    return at + 1, name, text


def event(kind: str, second: float, name: str = "b0", process: str = "p") -> Frame:
    return second, name, json.dumps({"candlewax": kind, "process": process})


class Process:
    """The deduplication and the writer of one process."""

    def __init__(self, tables: Database, resumed: Snapshot | None = None) -> None:
        self.counters = Counters()
        self._history = StateLoader(tables)
        self.step = DeduplicateStep(self._history, self.counters, resumed)
        self._writer = Writer(tables, self.counters, history=self._history, background=False)

    def take(self, *frames: Frame, store: bool = True) -> GapState:
        """Read a batch of frames."""
        rows = [
            (int((BEGIN + second) * 1_000_000_000), name, n, text)
            for n, (second, name, text) in enumerate(frames)
        ]
        decoded = decode(
            EXCHANGES["binance"], pl.DataFrame(rows, FRAMES, orient="row"), INSTRUMENTS
        )
        (batch,) = as_columns(self.step.on_batch([decoded])[0])
        if store:
            self._writer.put(batch)
            self._writer.flush()
        return batch.gap_state


def gaps(tables: Database) -> list[tuple[Any, ...]]:
    """Return the merged gaps of their table."""
    return tables.query(
        "SELECT symbol, first_sequence, last_sequence, min(missing) AS missing, "
        "toString(max(state)) AS state, max(connection) AS connection, "
        "toInt64(toUnixTimestamp64Micro(min(detected_at)) / 1000000) - 1790000000 AS at, "
        "toInt64(toUnixTimestamp64Micro(min(before)) / 1000000) - 1790000000 AS before, "
        "toInt64(toUnixTimestamp64Micro(max(after)) / 1000000) - 1790000000 AS after "
        "FROM gaps GROUP BY symbol, first_sequence, last_sequence ORDER BY first_sequence"
    ).rows()


def outages(tables: Database) -> list[tuple[str, float, float]]:
    return tables.query(
        "SELECT exchange, toUnixTimestamp64Micro(began) / 1000000 - 1790000000 AS began, "
        "toUnixTimestamp64Micro(ended) / 1000000 - 1790000000 AS ended FROM outages FINAL"
    ).rows()
