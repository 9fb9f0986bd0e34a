"""Verification: are the warm rows in the archive, and can the archive be read back?"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final

from candlewax.cold.comparison import Sides, compare, reading_archive
from candlewax.cold.differing_rows import find_rows
from candlewax.cold.due import VISIBILITY, select_due
from candlewax.cold.layers import LAYERS, Layer
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import UnitState
from candlewax.cold.units import EPOCH, FAR, NOTHING, Measure, Unit, group_by_day
from candlewax.cold.unproven import find_unreadable, remember_unproven
from candlewax.cold.warehouse import units_in
from candlewax.cold.warm import ChangedUnit

MAX_ROWS: Final = 20
"""Largest number of differing rows named."""


@dataclass(frozen=True)
class LayerCounts:
    """Counts of one layer.

    `compared` units are warm and due, `released` ones are cold only. `pending` units have rows that
    were stored after they were offloaded: the next round writes them. `differing` units are wrong.
    """

    layer: str
    compared: int
    released: int
    rows: int
    pending: int
    differing: int


@dataclass(frozen=True)
class Verification:
    """Result of a verification. `unreadable` names what could not be read, and why."""

    is_deep: bool
    layers: tuple[LayerCounts, ...]
    differing: tuple[str, ...]
    unreadable: tuple[str, ...]
    rows: tuple[Mapping[str, Any], ...]

    @property
    def is_same(self) -> bool:
        """True if nothing differs and everything could be read."""
        return not self.differing and not self.unreadable

    def as_dict(self) -> dict[str, Any]:
        """Return the result for JSON."""
        return {**asdict(self), "is_same": self.is_same}


def verify(
    tier: ColdTier,
    begin: datetime = EPOCH,
    end: datetime = FAR,
    *,
    deep: bool = False,
    layers: Iterable[Layer] = LAYERS.values(),
    on_layer: Callable[[LayerCounts], object] = lambda _: None,
    on_units: Callable[[int, int, str], object] = lambda *_: None,
) -> Verification:
    """Compare the warm rows of units in a time range with the footers of their files.

    `deep`: read the archive back too, and compare it with the footers; units that cannot be read
    back as they were written count as committed only from then on. Units that are not due are left
    out. Of units that differ, at most MAX_ROWS rows are named. `on_units` gets the numbers of a
    layer's units compared so far and of all, and its name.
    """
    counts: list[LayerCounts] = []
    differing: list[str] = []
    unreadable: list[str] = []
    rows: list[dict[str, Any]] = []
    for layer in layers:
        one = _LayerCheck(tier, layer, deep=deep, on_units=on_units)
        try:
            counts.append(one.run(begin, end))
        except ArchiveError as error:
            unreadable.append(str(error))
            continue
        remember_unproven(tier, layer, one.unproven, one.states)
        on_layer(counts[-1])
        unreadable += one.unreadable
        for unit in sorted(one.differing):
            differing.append(str(unit))
            try:
                rows += find_rows(tier, unit, one.states, MAX_ROWS - len(rows))
            except ArchiveError as error:
                unreadable.append(str(error))
    return Verification(deep, tuple(counts), tuple(differing), tuple(unreadable), tuple(rows))


class _LayerCheck:
    """Comparison of the units of one layer."""

    def __init__(
        self,
        tier: ColdTier,
        layer: Layer,
        *,
        deep: bool,
        on_units: Callable[[int, int, str], object],
    ) -> None:
        self._on_units = on_units
        self._done = self._total = 0
        self._tier = tier
        self._layer = layer
        self._deep = deep
        self.states: Mapping[Unit, UnitState] = {}
        self.differing: set[Unit] = set()
        self.unproven: set[Unit] = set()
        self.unreadable: list[str] = []

    def run(self, begin: datetime, end: datetime) -> LayerCounts:
        """Compare the units that begin in a time range. Raises ArchiveError."""
        self.states = self._tier.unit_table.states(self._layer, begin, end)
        with reading_archive(self._layer):
            table = self._tier.warehouse.load(self._layer)
            footers = {
                unit: measure
                for unit, (measure, _) in units_in(
                    table, self._tier.warehouse.data_files(table)
                ).items()
                if begin <= unit.begin < end
            }
        stored = {
            one.unit: one
            for one in self._tier.warm.changed_units(self._layer, EPOCH)
            if begin <= one.unit.begin < end
        }
        due = select_due(
            stored.values(), self.states, self._tier.warm.watermarks(), self._tier.warm.now(),
            every_unit=True,
        ).units  # fmt: skip
        # Not released, and nothing warm: the archive has rows that nobody stored.
        surplus = [unit for unit in footers if unit not in stored and not self._is_released(unit)]
        known = [unit for unit in stored if unit in self.states]
        compared = {*due, *known, *surplus}
        # Released, and not in the archive: the rows are nowhere.
        self.differing |= {unit for unit in self.states if self._is_lost(unit, footers)}
        released = [unit for unit in footers if unit not in stored and self._is_released(unit)]
        self._total = len(compared) + (len(released) if self._deep else 0)
        pending = self._compare(compared, footers, stored)
        if self._deep:
            self._read_back(released, footers)
        return LayerCounts(
            self._layer.name, len(compared), len(released),
            sum(measure.rows for measure in footers.values()), len(pending), len(self.differing),
        )  # fmt: skip

    def _is_released(self, unit: Unit) -> bool:
        return unit in self.states and self.states[unit].released

    def _is_lost(self, unit: Unit, footers: Mapping[Unit, Measure]) -> bool:
        state = self.states[unit]
        is_empty = state.is_verified and not state.measure.rows
        return state.released and unit not in footers and not is_empty

    def _compare(
        self,
        units: Iterable[Unit],
        footers: Mapping[Unit, Measure],
        stored: Mapping[Unit, ChangedUnit],
    ) -> set[Unit]:
        """Compare warm units, and note those that differ. Return those still to be offloaded."""
        pending = set()
        for day in group_by_day(units):
            for unit, sides in self._measure(day, footers).items():
                if sides.is_same:
                    continue
                state = self.states.get(unit)
                is_readable = sides.cold == sides.footer
                if is_readable and self._is_pending(stored.get(unit), state, sides.footer):
                    pending.add(unit)
                else:
                    self.differing.add(unit)
                if not is_readable:
                    self.unproven.add(unit)
            self._count_units(len(day))
        return pending

    def _count_units(self, count: int) -> None:
        self._done += count
        self._on_units(self._done, self._total, self._layer.name)

    def _is_pending(
        self, stored: ChangedUnit | None, state: UnitState | None, footer: Measure
    ) -> bool:
        """Return True if a unit has rows that came after it was offloaded."""
        if stored is None:
            return False
        if state is None:
            return footer == NOTHING
        if self._layer.changed is None:
            return state.measure == footer
        return stored.last_stored + VISIBILITY >= state.measured_at

    def _measure(self, day: list[Unit], footers: Mapping[Unit, Measure]) -> dict[Unit, Sides]:
        if self._deep:
            try:
                return compare(self._tier, self._layer, day, self.states)
            except ArchiveError as error:
                self._note_unreadable(day, error)
        whole = [unit for unit in day if not self._is_released(unit)]
        if not whole:
            return {}
        warm = self._tier.warm.measure(whole)
        return {
            unit: Sides(warm[unit], footers.get(unit, NOTHING), footers.get(unit, NOTHING))
            for unit in whole
        }

    def _read_back(self, units: Iterable[Unit], footers: Mapping[Unit, Measure]) -> None:
        """Note units whose cold rows are not as their footers say."""
        for day in group_by_day(units):
            self._count_units(len(day))
            try:
                with reading_archive(self._layer):
                    table = self._tier.warehouse.load(self._layer)
                    cold = self._tier.archive.measure(table, day)
            except ArchiveError as error:
                self._note_unreadable(day, error)
                continue
            changed = {unit for unit in day if cold[unit] != footers[unit]}
            self.differing |= changed
            self.unproven |= changed

    def _note_unreadable(self, units: Iterable[Unit], error: ArchiveError) -> None:
        self.unreadable.append(str(error))
        self.unproven |= find_unreadable(self._tier, self._layer, units)
