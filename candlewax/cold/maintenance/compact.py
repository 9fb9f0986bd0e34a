"""Compaction: one file per table, exchange and day, in place of one an hour.

Rows of the old files are merged in the order of the layer and written as a new file. Before
anything is committed, ClickHouse reads that file and must find in it, unit by unit, the number of
rows, the content hash and the sum of clocks that the footers of the old files name; these were read
back when they were committed. So no row is lost, doubled or changed, unless two contents have one
hash of 128 bits. Only then the files change places, in one snapshot for all exchanges of a day, and
the units are read back through the committed metadata.

Files are never changed, so a merge stays right while others commit to the table, as long as the
table still has all of its old files. If it has not, the merge is left for the next time. A process
that ends at any moment leaves orphans at most.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final, NamedTuple

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from candlewax.cold import parquet_files
from candlewax.cold.layers import DAY, Layer
from candlewax.cold.maintenance.merged_rows import between, read_in_order
from candlewax.cold.maintenance.written_files import check_file
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.schemas import arrow_schema
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import COMMITTED, RELEASED, VERIFIED, UnitState
from candlewax.cold.units import Measure, Unit
from candlewax.cold.warehouse import ConflictError, Warehouse, units_in

SETTLED_AFTER: Final = timedelta(days=1)
"""A day is compacted this long after its end, if it is settled."""

UNSETTLED_AFTER: Final = timedelta(days=3)
"""A day is compacted this long after its end, whatever is open in it."""

MAX_FILE_BYTES: Final = 512 << 20
"""A day with more is divided into several files, each of whole units."""

MAX_ATTEMPTS: Final = 5
"""Attempts to commit while others commit to the same table."""

PROPERTY: Final = "candlewax.compaction"
"""Property of the snapshot, by which readers of changes know that no row changed."""


@dataclass(frozen=True)
class Merge:
    """Files of one exchange and day that become fewer.

    `units` are all units in them, with the measures of the footers. `parts` are the units of each
    new file.
    """

    layer: Layer
    exchange: str
    day: datetime
    units: Mapping[Unit, Measure]
    old: tuple[DataFile, ...]
    parts: tuple[tuple[Unit, ...], ...]

    @property
    def bytes(self) -> int:
        """Size of the old files together."""
        return sum(file.file_size_in_bytes for file in self.old)

    def __str__(self) -> str:
        name = f"{self.layer.name} {self.exchange} {self.day:%F}"
        return f"{name}: {len(self.old)} files of {self.bytes:,} bytes into {len(self.parts)}"


@dataclass(frozen=True)
class Compacted:
    """A merge that took place, and the size of its new files together."""

    merge: Merge
    bytes: int


class Outcome(NamedTuple):
    """Results of merges. `left` counts merges that another process forestalled."""

    done: list[Compacted]
    left: int
    errors: list[str]


@dataclass(frozen=True)
class Written:
    """A merge whose new files are written and checked, but not committed."""

    merge: Merge
    paths: tuple[str, ...]


def find_merges(
    tier: ColdTier, layer: Layer, now: datetime, max_bytes: int = MAX_FILE_BYTES
) -> list[Merge]:
    """Return what can be compacted in a layer, by day. Raises ArchiveError."""
    if layer.partition != "day":
        return []
    table = tier.warehouse.load(layer)
    by_partition: dict[tuple[int, str], list[DataFile]] = {}
    for file in tier.warehouse.data_files(table):
        key = (file.spec_id, repr(file.partition))
        by_partition.setdefault(key, []).append(file)
    found = (
        _merge(tier, layer, table, files, now, max_bytes)
        for files in by_partition.values()
        if len(files) > 1
    )
    merges = [merge for merge in found if merge is not None]
    return sorted(merges, key=lambda merge: (merge.day, merge.exchange))


def _merge(
    tier: ColdTier,
    layer: Layer,
    table: Table,
    files: list[DataFile],
    now: datetime,
    max_bytes: int,
) -> Merge | None:
    """Return the merge of the files of a partition; None if it is not due or not worth it."""
    cold = units_in(table, files)
    if not cold:
        return None
    first = min(cold)
    end = first.day + DAY
    if now < end + SETTLED_AFTER:
        return None
    states = {
        unit: state
        for unit, state in tier.unit_table.states(layer, first.day, end).items()
        if unit.exchange == first.exchange
    }
    measures = {unit: cold[unit][0] for unit in sorted(cold)}
    if not all(state.is_verified for state in states.values()) or any(
        unit not in states or states[unit].measure != measure for unit, measure in measures.items()
    ):
        return None
    if now < end + UNSETTLED_AFTER and tier.warm.unsettled(measures):
        return None
    parts = divide({unit: _size(unit, cold) for unit in measures}, max_bytes)
    if len(parts) >= len(files):
        return None
    return Merge(layer, first.exchange, first.day, measures, tuple(files), parts)


def _size(unit: Unit, cold: Mapping[Unit, tuple[Measure, DataFile]]) -> int:
    """Return the part of its file that a unit takes, by rows."""
    measure, file = cold[unit]
    return file.file_size_in_bytes * measure.rows // max(file.record_count, 1)


def divide(sizes: Mapping[Unit, int], max_bytes: int) -> tuple[tuple[Unit, ...], ...]:
    """Divide units in order of time into parts of at most `max_bytes`, or of one unit."""
    parts: list[list[Unit]] = [[]]
    filled = 0
    for unit, size in sorted(sizes.items()):
        if parts[-1] and filled + size > max_bytes:
            parts.append([])
            filled = 0
        parts[-1].append(unit)
        filled += size
    return tuple(map(tuple, parts))


def compact(
    tier: ColdTier,
    merges: Iterable[Merge],
    on_progress: Callable[[str], object] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Carry out merges of one layer, day by day."""
    done: list[Compacted] = []
    left = 0
    errors: list[str] = []
    for _, of_day in groupby(merges, key=lambda merge: merge.day):
        written = []
        for merge in of_day:
            if should_stop():
                return Outcome(done, left, errors)
            on_progress(str(merge))
            try:
                written.append(write(tier, merge))
            except ArchiveError as error:
                errors.append(f"{merge}: {error}")
        if written:
            try:
                committed = commit(tier, written)
            except ConflictError:
                committed = []
            except ArchiveError as error:
                errors.append(str(error))
                continue
            done += committed
            left += len(written) - len(committed)
    return Outcome(done, left, errors)


def write(tier: ColdTier, merge: Merge) -> Written:
    """Write the new files of a merge, and check them. Raises ArchiveError."""
    layer = merge.layer
    table = tier.warehouse.load(layer)
    schema = table.schema()
    cold = units_in(table, merge.old)
    paths = []
    for part in merge.parts:
        path = tier.warehouse.new_path(table, layer, part[0])
        units = {unit: merge.units[unit] for unit in part}
        sources = {cold[unit][1].file_path for unit in part}
        batches = read_in_order(table.io, sorted(sources), arrow_schema(schema), layer.sort)
        if any(cold[unit][1].file_path in sources for unit in merge.units.keys() - set(part)):
            batches = between(batches, layer.time, part[0].begin, part[-1].end)
        parquet_files.write_units(table.io, path, layer, schema, batches, units)
        check_file(tier, layer, path, units)
        paths.append(path)
    return Written(merge, tuple(paths))


def commit(tier: ColdTier, written: Iterable[Written]) -> list[Compacted]:
    """Commit merges of one day that still stand, read them back, and remember their files.

    Raises ConflictError if others forestalled each attempt, ArchiveError if a unit is read back
    with other content.
    """
    waiting = list(written)
    layer = waiting[0].merge.layer
    units = [unit for one in waiting for unit in one.merge.units]
    for _ in range(MAX_ATTEMPTS):
        table = tier.warehouse.load(layer)
        live = _by_path(table, units)
        waiting = [
            one for one in waiting if live.keys() >= {file.file_path for file in one.merge.old}
        ]
        if not waiting:
            return []
        old = [live[file.file_path] for one in waiting for file in one.merge.old]
        paths = [path for one in waiting for path in one.paths]
        note = {"day": f"{waiting[0].merge.day:%F}", "files": [len(old), len(paths)]}
        with suppress(ConflictError):
            tier.warehouse.swap(table, old, paths, {PROPERTY: json.dumps(note)})
        # The outcome of a failed attempt may be unknown, so the table tells it.
        live = _by_path(tier.warehouse.load(layer), units)
        if live.keys() >= set(paths):
            return [_finish(tier, one, live) for one in waiting]
    raise ConflictError(f"{waiting[0].merge}: others committed meanwhile, each time")


def _by_path(table: Table, units: Iterable[Unit]) -> dict[str, DataFile]:
    return {file.file_path: file for file in Warehouse.data_files(table, units)}


def _finish(tier: ColdTier, written: Written, live: Mapping[str, DataFile]) -> Compacted:
    """Read the units of a committed merge back and remember where they are."""
    merge = written.merge
    table = tier.warehouse.load(merge.layer)
    cold = units_in(table, tier.warehouse.data_files(table, merge.units))
    found = tier.archive.measure(table, merge.units)
    known = tier.unit_table.states(merge.layer, merge.day, merge.day + DAY)
    unsettled = tier.warm.unsettled(merge.units)
    snapshot = table.current_snapshot()
    states = []
    for unit in merge.units:
        # Another process may have replaced it already, and remembers it itself.
        if unit not in known or unit not in cold or cold[unit][1].file_path not in written.paths:
            continue
        state, (measure, file) = known[unit], cold[unit]
        is_equal = found[unit] == measure
        states.append(
            UnitState(
                unit,
                _next_state(state, is_equal=is_equal),
                measure,
                settled=unit not in unsettled,
                files=(file.file_path.removeprefix(f"{table.location()}/"),),
                snapshot=snapshot.snapshot_id if snapshot else 0,
                measured_at=state.measured_at,
                version=state.version,
            )
        )
    tier.unit_table.store(states)
    differing = [str(one.unit) for one in states if one.state == COMMITTED]
    if differing:
        raise ArchiveError(f"{', '.join(differing)}: read back with other content once compacted")
    return Compacted(merge, sum(live[path].file_size_in_bytes for path in written.paths))


def _next_state(state: UnitState, *, is_equal: bool) -> str:
    if not is_equal:
        return COMMITTED
    return RELEASED if state.state == RELEASED else VERIFIED
