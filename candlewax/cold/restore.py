"""Restore: rows of the archive are put back into tables of ClickHouse.

By default into a database of its own. In a live one, old trades look like gaps to a process that
begins with the tables.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from candlewax.clickhouse.client import Database, open_tables
from candlewax.clickhouse.retention import remove_ttl
from candlewax.cold import relations
from candlewax.cold.archive import Archive
from candlewax.cold.comparison import reading_archive
from candlewax.cold.layers import LAYERS, Layer
from candlewax.cold.tier import ColdTier
from candlewax.cold.units import NOTHING, Measure, Unit, group_by_day
from candlewax.cold.warehouse import units_in
from candlewax.cold.warm import measure
from candlewax.runtime.setting_parsers import Server

_SETTINGS: Final = (
    "insert_deduplicate = 0, optimize_on_insert = 0, max_threads = 1, "
    "min_insert_block_size_rows = 524288, min_insert_block_size_bytes = 134217728"
)
"""Settings of an insert: rows of the archive are in order and each once. Large blocks take half the
time of small ones."""


class RestoreError(RuntimeError):
    """Rows that cannot be restored, or that are not as the archive has them; units are named."""


class Progress(NamedTuple):
    """Units of a layer and day that were restored, and their rows.

    `done`: rows restored so far, of `total` in all.
    """

    layer: str
    day: datetime
    rows: int
    done: int
    total: int


@dataclass(frozen=True)
class Restored:
    """Database with the restored rows, and counts. `present` units were there before."""

    database: str
    units: int
    rows: int
    present: int


def default_name(tier: ColdTier) -> str:
    """Return the name of the database for restored rows."""
    return f"{tier.database.client.database}_restored"


def restore(
    tier: ColdTier,
    location: Path | Server,
    begin: datetime,
    end: datetime,
    into: str = "",
    on_progress: Callable[[Progress], object] = lambda _: None,
) -> Restored:
    """Restore all units that overlap a time range, and compare them with their footers.

    `location` is the ClickHouse of the tier. `into` is created if it is absent, and loses its TTL:
    restored rows are old. Units that are there already are left as they are. Into the live database
    go no gaps, outages and watermarks, and rows count as stored now. Bronze trades follow from the
    frames. Raises RestoreError before anything is written if a unit is there with other rows, or
    afterwards if one differs; ArchiveError if the archive cannot be read.
    """
    name = into or default_name(tier)
    is_live = name == tier.database.client.database
    target = tier.database if is_live else open_tables(location, name)
    try:
        if not is_live:
            remove_ttl(target)
        return _Restoration(tier, target, is_live=is_live).run(name, begin, end, on_progress)
    finally:
        if not is_live:
            target.close()


class _Restoration:
    def __init__(self, tier: ColdTier, target: Database, *, is_live: bool) -> None:
        self._tier = tier
        self._target = target
        self._archive = Archive(target, tier.settings)
        self._is_live = is_live

    def run(
        self,
        name: str,
        begin: datetime,
        end: datetime,
        on_progress: Callable[[Progress], object],
    ) -> Restored:
        chosen = {
            layer: self._units(layer, begin, end)
            for layer in LAYERS.values()
            if layer.is_table and (layer.span or not self._is_live)
        }
        absent = {layer: self._absent(layer, units) for layer, units in chosen.items()}
        rows, total = 0, sum(one.rows for units in absent.values() for one in units.values())
        for layer, units in absent.items():
            for day in group_by_day(units):
                self._insert(layer, day)
                self._require_equal(layer, {unit: units[unit] for unit in day})
                of_day = sum(units[unit].rows for unit in day)
                rows += of_day
                on_progress(Progress(layer.name, day[0].day, of_day, rows, total))
        restored = sum(map(len, absent.values()))
        return Restored(name, restored, rows, sum(map(len, chosen.values())) - restored)

    def _units(self, layer: Layer, begin: datetime, end: datetime) -> dict[Unit, Measure]:
        """Return the units of the archive in a time range, as their footers say."""
        with reading_archive(layer):
            table = self._tier.warehouse.load(layer)
            found = units_in(table, self._tier.warehouse.data_files(table))
        return {
            unit: one
            for unit, (one, _) in found.items()
            if layer.span is None or (unit.begin < end and unit.end > begin)
        }

    def _absent(self, layer: Layer, units: dict[Unit, Measure]) -> dict[Unit, Measure]:
        """Return the units that are not there. Raises RestoreError if other rows are."""
        other = []
        absent = {}
        for day in group_by_day(units):
            for unit, present in self._measure(layer, day).items():
                if present == NOTHING:
                    absent[unit] = units[unit]
                elif not _is_same(present, units[unit]):
                    other.append(unit)
        if other:
            raise RestoreError(f"{_names(other)}: other rows are there; nothing was restored")
        return absent

    def _insert(self, layer: Layer, units: list[Unit]) -> None:
        with reading_archive(layer):
            table = self._tier.warehouse.load(layer)
            rows = relations.bind(self._archive.rows(layer, table), units)
        names = ", ".join(layer.column_names)
        fresh = " REPLACE (now64(6) AS inserted_at)" if "inserted_at" in layer.clocks else ""
        selected = f"SELECT *{fresh}" if self._is_live else "SELECT *"
        with reading_archive(layer):
            self._target.command(
                f"INSERT INTO {layer.source} ({names}) SELECT {names} FROM ({selected} "
                f"FROM ({rows})) SETTINGS {_SETTINGS}"
            )

    def _require_equal(self, layer: Layer, units: dict[Unit, Measure]) -> None:
        found = self._measure(layer, units)
        other = [unit for unit, one in units.items() if not _is_same(found[unit], one)]
        if other:
            raise RestoreError(f"{_names(other)}: restored with other rows than the archive has")

    def _measure(self, layer: Layer, units: Iterable[Unit]) -> dict[Unit, Measure]:
        chosen = list(units)
        found = measure(self._target, layer, chosen, relations.warm_rows(layer))
        return {unit: found.get(unit, NOTHING) for unit in chosen}


def _is_same(one: Measure, other: Measure) -> bool:
    return (one.rows, one.content) == (other.rows, other.content)


def _names(units: Iterable[Unit]) -> str:
    return ", ".join(map(str, sorted(units)))
