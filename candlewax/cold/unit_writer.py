"""Writer of units: plans, writes, commits and reads back units of one layer.

Each step can be cut off at any moment. A file that was written but not committed is an orphan. A
unit that was committed but not verified is recognised by the footer of its file. A commit that
another process forestalls is planned again from the new state of the table.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from candlewax.clickhouse.client import QueryError, short_message
from candlewax.cold import parquet_files, relations
from candlewax.cold.archive import Archive
from candlewax.cold.layers import LAYERS, Layer
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.unit_table import COMMITTED, VERIFIED, WRITTEN, UnitState, UnitTable
from candlewax.cold.units import NOTHING, Measure, Unit
from candlewax.cold.warehouse import ConflictError, Warehouse, units_in
from candlewax.cold.warm import WarmTables

MAX_ATTEMPTS: Final = 5
"""Attempts to offload units while others commit or rows are stored, before the next round."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """Writes that make units of one layer cold as they are warm, for one state of their table.

    `rows` is the SELECT of the rows of `units`, which are to be written. `old` are the committed
    files that hold them, which go. `unverified` are units whose files stay but were never read
    back.
    """

    layer: Layer
    table: Table
    rows: str
    units: tuple[Unit, ...]
    old: tuple[DataFile, ...]
    unverified: frozenset[Unit]
    known: Mapping[Unit, UnitState]
    measured_at: datetime


@dataclass(frozen=True)
class Staged:
    """Units with their plan, and the measures and paths of their written files.

    `plan` is None if they could not be planned.
    """

    units: frozenset[Unit]
    plan: Plan | None
    measures: Mapping[Unit, Measure]
    paths: Mapping[Unit, str]


class UnitWriter:
    """Makes units cold as they are warm."""

    def __init__(
        self, warm: WarmTables, warehouse: Warehouse, archive: Archive, unit_table: UnitTable
    ) -> None:
        self._warm = warm
        self._warehouse = warehouse
        self._archive = archive
        self._unit_table = unit_table

    def offload(self, units: Iterable[Unit]) -> dict[Unit, Measure]:
        """Offload units of one layer until they are verified. Return those written anew.

        Raises ArchiveError if they cannot be read back as they were written, ConflictError if other
        processes forestalled each attempt.
        """
        return self.complete(self.stage(units))

    def stage(self, units: Iterable[Unit], differing: frozenset[Unit] = frozenset()) -> Staged:
        """Plan what is to be written so that the units are cold as they are warm, and write it."""
        chosen = frozenset(units)
        return self.write(chosen, self.plan(chosen, differing))

    def complete(self, staged: Staged) -> dict[Unit, Measure]:
        """Commit and verify staged units; plan again if others forestall it or content differs."""
        written: dict[Unit, Measure] = {}
        error: Exception = ConflictError("nothing was attempted")
        differing: frozenset[Unit] = frozenset()
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                staged = self.stage(staged.units, differing)
            if staged.plan is None:
                break
            try:
                self.commit(staged, staged.plan)
            except ConflictError as conflict:
                error = conflict
                continue
            written |= staged.measures
            differing = self.verify(staged.plan)
            if not differing:
                return written
            names = ", ".join(map(str, sorted(differing)))
            error = ArchiveError(f"{names}: read back from the archive with other content")
            _log.warning("%s; written again", error)
        raise error

    def plan(self, chosen: frozenset[Unit], differing: frozenset[Unit] = frozenset()) -> Plan:
        """Return what is to be written so that the chosen units are cold as they are warm.

        A unit whose cold content is the same is not written, unless it was found `differing`. Units
        that share a file with one that is written are written too.
        """
        layer = LAYERS[next(iter(chosen)).layer]
        table = self._warehouse.load(layer)
        measured_at = self._warm.now()
        cold = units_in(table, self._warehouse.data_files(table, chosen))
        neighbours = _sharing_files(chosen, cold)
        begins = [unit.begin for unit in chosen | neighbours]
        known = self._unit_table.states(layer, min(begins), max(begins) + timedelta(seconds=1))
        released = {unit for unit in chosen | neighbours if unit in known and known[unit].released}
        if lost := [unit for unit in released - cold.keys() if known[unit].measure.rows]:
            # Written from what is warm alone, the unit would pass for complete.
            raise ArchiveError(
                f"{', '.join(map(str, sorted(lost)))}: released, and not in the archive any more"
            )
        rows = self._archive.merged_rows(layer, table) if released else relations.warm_rows(layer)
        compared = {unit for unit in chosen if unit in cold and unit not in differing}
        try:
            measures = self._warm.measure(compared, rows) if compared else {}
        except QueryError as error:
            names = ", ".join(map(str, sorted(compared)))
            raise ArchiveError(f"{names}: cannot be read: {short_message(error)}") from error
        changed = chosen - {unit for unit in compared if _is_same(measures[unit], cold[unit][0])}
        written = changed | _sharing_files(changed, cold)
        return Plan(
            layer,
            table,
            rows,
            tuple(sorted(written)),
            tuple(
                {
                    cold[unit][1].file_path: cold[unit][1] for unit in written if unit in cold
                }.values()
            ),
            frozenset(
                unit
                for unit in chosen - written
                if unit in cold and not _is_remembered(known.get(unit), cold[unit][0])
            ),
            known,
            measured_at,
        )

    def write(self, chosen: frozenset[Unit], plan: Plan) -> Staged:
        """Write the rows of each unit of a plan as a file."""
        measures: dict[Unit, Measure] = {}
        paths: dict[Unit, str] = {}
        io, schema = plan.table.io, plan.table.schema()
        for unit in plan.units:
            path = self._warehouse.new_path(plan.table, plan.layer, unit)
            batches = self._warm.stream(unit, plan.rows)
            try:
                measures[unit] = parquet_files.write_unit(io, path, unit, schema, batches)
            except QueryError as error:
                raise ArchiveError(f"{unit}: cannot be read: {short_message(error)}") from error
            if measures[unit].rows:
                paths[unit] = path
            else:
                io.delete(path)
        self._remember(plan, WRITTEN, measures, paths, 0)
        return Staged(chosen, plan, measures, paths)

    def commit(self, staged: Staged, plan: Plan) -> None:
        """Commit the files of a plan in one snapshot. Raises ConflictError."""
        if not plan.old and not staged.paths:
            return
        self._require_unreleased(plan)
        contents = {
            f"{unit.exchange} {unit.begin.isoformat()}": measure.content
            for unit, measure in staged.measures.items()
        }
        properties = {"candlewax.units": json.dumps(contents)}
        table = self._warehouse.swap(plan.table, plan.old, staged.paths.values(), properties)
        snapshot = table.current_snapshot()
        snapshot_id = snapshot.snapshot_id if snapshot else 0
        self._remember(plan, COMMITTED, staged.measures, staged.paths, snapshot_id)

    def _require_unreleased(self, plan: Plan) -> None:
        """Raise ConflictError if a unit was released since the plan was made.

        Its rows may have been read after they were dropped. As long as no unit is marked as
        released, all its rows are warm.
        """
        begins = [unit.begin for unit in plan.units]
        now_known = self._unit_table.states(
            plan.layer, min(begins), max(begins) + timedelta(seconds=1)
        )
        for unit in plan.units:
            was_released = unit in plan.known and plan.known[unit].released
            if unit in now_known and now_known[unit].released and not was_released:
                raise ConflictError(f"{unit}: released meanwhile")

    def verify(self, plan: Plan) -> frozenset[Unit]:
        """Read the units of a plan back through the committed metadata, by ClickHouse.

        Return those that are not as their footers say. The others become verified. Raises
        ArchiveError if they cannot be read.
        """
        units = set(plan.units) | plan.unverified
        if not units:
            return frozenset()
        table = self._warehouse.load(plan.layer)
        cold = units_in(table, self._warehouse.data_files(table, units))
        found = self._read_back(table, units, plan.unverified)
        expected = {unit: cold[unit][0] if unit in cold else NOTHING for unit in units}
        verified = {unit: found[unit] for unit in units if found.get(unit) == expected[unit]}
        snapshot = table.current_snapshot()
        paths = {unit: cold[unit][1].file_path for unit in verified if unit in cold}
        self._remember(plan, VERIFIED, verified, paths, snapshot.snapshot_id if snapshot else 0)
        return frozenset(units - set(verified))

    def _read_back(
        self, table: Table, units: set[Unit], unverified: frozenset[Unit]
    ) -> Mapping[Unit, Measure]:
        """Return the measures of units. Of the `unverified` only those that can be read.

        Raises ArchiveError if one that was written just now cannot be read.
        """
        try:
            return self._archive.measure(table, units)
        except ArchiveError:
            if not unverified:
                raise
        found = self._archive.measure(table, units - unverified) if units - unverified else {}
        for unit in unverified:
            with suppress(ArchiveError):
                found |= self._archive.measure(table, [unit])
        return found

    def _remember(
        self,
        plan: Plan,
        state: str,
        measures: Mapping[Unit, Measure],
        paths: Mapping[Unit, str],
        snapshot: int,
    ) -> None:
        unsettled = self._warm.unsettled(measures)
        location = f"{plan.table.location()}/"
        self._unit_table.store(
            UnitState(
                unit,
                state,
                measure,
                settled=unit not in unsettled,
                files=(paths[unit].removeprefix(location),) if unit in paths else (),
                snapshot=snapshot,
                measured_at=plan.measured_at,
                version=plan.known[unit].version if unit in plan.known else 0,
            )
            for unit, measure in measures.items()
        )


def _sharing_files(
    units: Iterable[Unit], cold: Mapping[Unit, tuple[Measure, DataFile]]
) -> frozenset[Unit]:
    """Return the units in the files of the given ones."""
    paths = {cold[unit][1].file_path for unit in units if unit in cold}
    return frozenset(unit for unit, (_, file) in cold.items() if file.file_path in paths)


def _is_same(warm: Measure, cold: Measure) -> bool:
    """Return True if rows and content are the same. Our clocks change if a row is stored again."""
    return (warm.rows, warm.content) == (cold.rows, cold.content)


def _is_remembered(state: UnitState | None, cold: Measure) -> bool:
    """Return True if the unit was verified with this content."""
    return state is not None and state.is_verified and state.measure == cold
