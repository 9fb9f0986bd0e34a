"""Offload: rounds over all layers, which write the units that are due into the archive."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final, NamedTuple

from candlewax.cold.due import select_due
from candlewax.cold.layers import LAYERS, Layer
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.unit_table import UnitState, UnitTable
from candlewax.cold.unit_writer import Staged, UnitWriter
from candlewax.cold.units import EPOCH, Measure, Unit
from candlewax.cold.warehouse import ConflictError, Warehouse
from candlewax.cold.warm import ChangedUnit, WarmTables

MARK_MARGIN: Final = timedelta(minutes=15)
"""Rows are looked through again this far back: an insert may be visible later than its time."""

_log: Final = logging.getLogger(__name__)


class EndOfLayer(NamedTuple):
    """End of the due units of a layer, and the mark to store if all were offloaded."""

    layer: Layer
    mark: datetime


Item = tuple[Unit, ...] | EndOfLayer
"""Work of a round: units of one layer and day, or the end of a layer."""


@dataclass(frozen=True)
class Round:
    """Counts of one round over all layers: units written anew, units looked at, and rows.

    `errors` name what could not be offloaded.
    """

    offloaded: int
    looked_at: int
    rows: int
    errors: tuple[str, ...]


class Offloader:
    """Offloads due units of all layers, one round after the other."""

    def __init__(
        self,
        warm: WarmTables,
        warehouse: Warehouse,
        unit_table: UnitTable,
        writer: UnitWriter,
        after_commit: Callable[[Layer], object] = lambda _: None,
    ) -> None:
        """`after_commit` is called with the layer of units that were committed and verified."""
        self._warm = warm
        self._warehouse = warehouse
        self._unit_table = unit_table
        self._writer = writer
        self._after_commit = after_commit
        self._failed_layers: set[str] = set()
        self._errors: list[str] = []

    def prepare(self) -> None:
        """Create absent tables of the archive, and the indexes of the warm tables."""
        self._warehouse.create_tables()
        for layer in LAYERS.values():
            self._warm.prepare(layer)

    def items(
        self, *, every_unit: bool = False, layers: Iterable[Layer] = LAYERS.values()
    ) -> Iterator[Item]:
        """Yield the work of one round: for each layer its due units, by day, and then its end.

        `every_unit`: look at all units, whenever their rows were stored.
        """
        begun = self._warm.now()
        watermarks = self._warm.watermarks()
        for layer in layers:
            mark = EPOCH if every_unit else self._unit_table.mark(layer)
            changed = self._warm.changed_units(layer, mark)
            states = self._states(layer, changed)
            due = select_due(changed, states, watermarks, begun, every_unit=every_unit)
            yield from _by_day(due.units)
            first_waiting = min((one.first_stored for one in due.waiting), default=begun)
            yield EndOfLayer(layer, min(first_waiting, begun - MARK_MARGIN))

    def _states(self, layer: Layer, changed: Sequence[ChangedUnit]) -> Mapping[Unit, UnitState]:
        if not changed:
            return {}
        begins = [one.unit.begin for one in changed]
        return self._unit_table.states(layer, min(begins), max(begins) + timedelta(seconds=1))

    def write_item(self, item: Item) -> Staged | EndOfLayer:
        """Plan and write the units of an item. Errors are kept for the end of the layer."""
        if isinstance(item, EndOfLayer):
            return item
        try:
            return self._stage(item)
        except Exception:
            # An archive or a database that is away: the mark must not pass these units.
            self._failed_layers.add(item[0].layer)
            raise

    def _stage(self, units: Sequence[Unit]) -> Staged:
        """Write units. One that cannot be written keeps no other of its day from the archive."""
        try:
            return self._writer.stage(units)
        except ArchiveError as error:
            if len(units) == 1:
                self._keep_error(LAYERS[units[0].layer], error)
                return Staged(frozenset(units), None, {}, {})
        good = [unit for unit in units if self._stage([unit]).plan is not None]
        if good and len(good) < len(units):
            return self._stage(good)
        return Staged(frozenset(units), None, {}, {})

    def archive_item(self, item: Staged | EndOfLayer) -> Mapping[Unit, Measure]:
        """Commit and verify staged units, and return those written anew.

        At the end of a layer without errors, remember that all its due units were offloaded.
        """
        if isinstance(item, EndOfLayer):
            if item.layer.name not in self._failed_layers and item.layer.changed:
                self._unit_table.store_mark(item.layer, item.mark)
            self._failed_layers.discard(item.layer.name)
            return {}
        if item.plan is None:
            return {}
        try:
            written = self._writer.complete(item)
            if written:
                self._after_commit(item.plan.layer)
        except (ArchiveError, ConflictError) as error:
            self._keep_error(item.plan.layer, error)
            return {}
        except Exception:
            self._failed_layers.add(item.plan.layer.name)
            raise
        return written

    def _keep_error(self, layer: Layer, error: Exception) -> None:
        self._failed_layers.add(layer.name)
        self._errors.append(str(error))
        _log.error("%s", error)

    def take_errors(self) -> tuple[str, ...]:
        """Return the errors since they were last taken."""
        errors, self._errors = tuple(self._errors), []
        return errors

    def run_round(
        self,
        *,
        every_unit: bool = False,
        layers: Iterable[Layer] = LAYERS.values(),
        on_unit: Callable[[Unit, Measure], object] = lambda *_: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Round:
        """Offload all units that are due. `every_unit`: look at all, whenever they were stored."""
        offloaded = looked_at = rows = 0
        for item in self.items(every_unit=every_unit, layers=layers):
            if should_stop():
                break
            written = self.archive_item(self.write_item(item))
            looked_at += 0 if isinstance(item, EndOfLayer) else len(item)
            offloaded += len(written)
            for unit, measure in written.items():
                rows += measure.rows
                on_unit(unit, measure)
        return Round(offloaded, looked_at, rows, self.take_errors())


def _by_day(units: Iterable[Unit]) -> Iterator[tuple[Unit, ...]]:
    """Yield the units of each day."""
    in_order = sorted(units, key=lambda unit: (unit.begin, unit.exchange))
    for _, group in groupby(in_order, key=lambda unit: unit.day):
        yield tuple(group)
