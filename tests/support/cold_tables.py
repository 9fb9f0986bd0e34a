"""Warm tables filled by the pipeline, and an archive beside them."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl

from candlewax.clickhouse.client import Database
from candlewax.cold.layers import LAYERS
from candlewax.cold.offload import EndOfLayer
from candlewax.cold.tier import ColdTier, open_tier
from candlewax.cold.units import Unit
from candlewax.runtime.cold_settings import ColdSettings
from tests.support import playing
from tests.support.oracle import Fill
from tests.support.playing import Frame, binance, kraken_v1
from tests.support.rebuilding import BEGIN, HOUR, SECOND, fill

FIRST_HOUR: Final = datetime.fromtimestamp(BEGIN // SECOND, UTC)
"""First hour with trades."""


def two_hours() -> list[Frame]:
    """Frames of two exchanges: 2 hours of Binance and of Kraken, a trade each 3 minutes, one frame
    that nobody can read, and a trade much later, which moves the watermark of Binance on.
    """
    times = [BEGIN + n * 180 * SECOND for n in range(40)]
    frames = [binance(n, time + 50_000, fill(100 + n, time)) for n, time in enumerate(times, 1)]
    broken = Frame("binance", "b0", len(frames) + 1, times[-1] + 60_000, "{not JSON", ())
    last = BEGIN + 4 * HOUR
    frames += [broken, binance(len(frames) + 2, last + 50_000, fill(141, last))]
    for n, time in enumerate([*times, last], 1):
        trade = replace(fill(500 + n, time + 7), exchange="kraken", sequence=0)
        frames.append(kraken_v1(n, time + 70_000, [trade]))
    return sorted(frames, key=lambda frame: frame.recv_us)


def play(database: Database, frames: list[Frame] | None = None) -> list[Fill]:
    """Run frames, by default two_hours, through the pipeline. Return their trades."""
    chosen = two_hours() if frames is None else frames
    playing.play(playing.received(chosen, cuts=[20]), database)
    return playing.all_fills(chosen)


def local_settings(folder: Path) -> ColdSettings:
    """Return settings of an archive in a directory, with its catalog in SQLite."""
    return ColdSettings(str(folder), f"sqlite:///{folder}/catalog.db")


def open_local(folder: Path, database: Database) -> ColdTier:
    """Open an archive in a directory below the working directory, with its tables.

    The warm tables get no indexes: a changed table is not used for the next test.
    """
    tier = open_tier(local_settings(folder), database)
    tier.warehouse.create_tables()
    return tier


def hour(layer: str, exchange: str, hours: int = 0) -> Unit:
    """Return the unit of an hour, counted from the first one with trades."""
    return Unit(layer, exchange, FIRST_HOUR + timedelta(hours=hours))


def due_units(tier: ColdTier, layer: str) -> list[Unit]:
    """Return all units of a layer that are due, in order of time."""
    return [
        unit
        for item in tier.offloader.items(every_unit=True, layers=[LAYERS[layer]])
        if not isinstance(item, EndOfLayer)
        for unit in item
    ]


def offload(tier: ColdTier, *layers: str) -> None:
    """Offload all units of some layers."""
    for layer in layers:
        tier.writer.offload(due_units(tier, layer))


def write_without_commit(tier: ColdTier, units: Iterable[Unit]) -> None:
    """Write the files of units, and end before the commit."""
    tier.writer.stage(units)


def write_again(tier: ColdTier, unit: Unit) -> None:
    """Write a unit anew and commit it, though it is the same."""
    staged = tier.writer.stage([unit], differing=frozenset([unit]))
    tier.writer.complete(staged)


def scan(tier: ColdTier, layer: str) -> pl.DataFrame:
    """Return the committed rows of a layer, as Polars reads them."""
    table = tier.warehouse.load(LAYERS[layer])
    return pl.scan_iceberg(table, reader_override="native").collect()


def files(tier: ColdTier, layer: str) -> list[str]:
    """Return the paths of the committed files of a layer, within its table."""
    table = tier.warehouse.load(LAYERS[layer])
    found = tier.warehouse.data_files(table)
    return sorted(file.file_path.removeprefix(f"{table.location()}/") for file in found)
