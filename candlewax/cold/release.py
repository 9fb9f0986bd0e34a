"""Release: warm partitions are dropped once all their rows are proven to be in the archive.

A partition leaves in steps, and can be cut off after each:

1. `marked`: its units are stored as released, so that later rows of them are merged with the cold.
2. `hidden`: the view reads its rows cold, wherever the warm ones are.
3. `moved`: its rows are moved into a table of their own, at once.
4. `compared`: these rows are measured once more. If they equal the archive, the units are released.
   Otherwise the partition is moved back, and its units are offloaded again in the next round.
5. `dropped`: the rows are dropped.
6. `shown`: the view no longer knows a leaving partition.

A round begins with what an earlier one left unfinished. One process at a time may release.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Final

from candlewax.cold.comparison import Sides, compare, reading_archive
from candlewax.cold.layers import HOUR, LAYERS, Layer
from candlewax.cold.leaving import LeavingTable, Partition
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import RELEASED, SEALED, UnitState
from candlewax.cold.units import Unit
from candlewax.cold.views import Leaving

MAX_NAMED: Final = 5
"""Units that a reason names."""

_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Held:
    """Warm partition past its keep that was not dropped, the reason, and its size in bytes."""

    layer: str
    partition: str
    reason: str
    bytes: int

    def __str__(self) -> str:
        return f"{self.layer} {self.partition}: held: {self.reason}"


@dataclass(frozen=True)
class Release:
    """Partitions that one round dropped, as layer and partition, and those that it held."""

    released: tuple[tuple[str, str], ...]
    held: tuple[Held, ...]

    @property
    def held_bytes(self) -> int:
        """Bytes of rows past their keep that are still warm."""
        return sum(one.bytes for one in self.held)


class Releaser:
    """Drops warm rows past their keep, day by day, the oldest first."""

    def __init__(
        self, tier: ColdTier, after_step: Callable[[str], object] = lambda _: None
    ) -> None:
        """`after_step` is called with the name of each step of a partition."""
        self._tier = tier
        self._after_step = after_step

    def run(self, now: datetime) -> Release:
        """Drop all partitions past their keep that the archive holds.

        What cannot be proven is held and named. Nothing is raised if the archive is away.
        """
        rounds = [self.run_layer(layer, now) for layer in LAYERS.values() if layer.can_leave]
        return Release(
            tuple(name for one in rounds for name in one.released),
            tuple(name for one in rounds for name in one.held),
        )

    def run_layer(self, layer: Layer, now: datetime) -> Release:
        """Do the same for one layer."""
        released: list[tuple[str, str]] = []
        held = self.finish(layer)
        for partition in self._past_keep(layer, now):
            try:
                self._release(layer, partition)
            except ArchiveError as error:
                held.append(Held(layer.name, partition.id, str(error), partition.bytes))
            else:
                released.append((layer.name, partition.id))
        for one in held:
            _log.warning("%s", one)
        return Release(tuple(released), tuple(held))

    def finish(self, layer: Layer) -> list[Held]:
        """Finish what an earlier round left: drop leaving rows that are cold, move others back."""
        held = []
        leaving = LeavingTable(self._tier.database, layer)
        for partition in leaving.leaving_partitions():
            try:
                self._complete(layer, leaving, partition)
            except ArchiveError as error:
                held.append(Held(layer.name, partition.id, str(error), partition.bytes))
        self._show(layer, leaving)
        return held

    def _past_keep(self, layer: Layer, now: datetime) -> list[Partition]:
        keep = self._tier.keep[layer.source]
        if keep is None:
            return []
        warm = LeavingTable(self._tier.database, layer)
        past = now - keep
        return [
            partition
            for partition in warm.warm_partitions()
            # Rows are stored after they happened, so younger partitions need not be read.
            if partition.begin < past and warm.newest(partition) < past
        ]

    def _release(self, layer: Layer, partition: Partition) -> None:
        """Let a partition leave. Raises ArchiveError if it is not proven to be in the archive."""
        leaving = LeavingTable(self._tier.database, layer)
        newest = leaving.newest(partition)
        states = self._tier.unit_table.states(layer, partition.begin, partition.end)
        units = leaving.units(partition) | set(states)
        _require_sealed(units, states)
        _require_same(compare(self._tier, layer, units, states))
        prior = {**states, **self._require_views(layer, units)}
        self._tier.unit_table.store_released(prior, released=True)
        self._after_step("marked")
        try:
            leaving.create()
            mark = Leaving(leaving.name, partition.begin, partition.end, newest)
            with reading_archive(layer):
                self._tier.views.refresh(layer, mark)
            self._after_step("hidden")
            leaving.move_out(partition)
            self._after_step("moved")
            self._complete(layer, leaving, partition)
        except ArchiveError:
            self._take_back(prior)
            self._show(layer, leaving)
            raise
        self._show(layer, leaving)
        self._after_step("shown")

    def _take_back(self, prior: Mapping[Unit, UnitState]) -> None:
        """Store that units were not released after all, unless warm rows of them are gone.

        A second process that releases may have dropped them.
        """
        for _, group in groupby(sorted(prior), key=lambda unit: unit.layer):
            warm = self._tier.warm.measure(group)
            whole = [
                unit
                for unit, measure in warm.items()
                if not prior[unit].released and measure.rows >= prior[unit].measure.rows
            ]
            self._tier.unit_table.store_released(whole, released=False)

    def _require_views(self, layer: Layer, units: Iterable[Unit]) -> dict[Unit, UnitState]:
        """Require that what views make of the rows is in the archive. Return its units.

        Bronze trades are made of frames: once these go, the trades cannot be made again.
        """
        found: dict[Unit, UnitState] = {}
        for view in LAYERS.values():
            if view.is_table or view.changed_in != layer.source:
                continue
            of_view = {
                Unit(view.name, unit.exchange, unit.begin)
                for unit in units
                if unit.exchange in view.exchanges
            }
            if not of_view:
                continue
            begins = [unit.begin for unit in of_view]
            known = self._tier.unit_table.states(view, min(begins), max(begins) + HOUR)
            states = {unit: known[unit] for unit in of_view if unit in known}
            unverified = [unit for unit, state in states.items() if not state.is_verified]
            if unverified:
                raise ArchiveError(f"{_names(unverified)}: not verified")
            _require_same(compare(self._tier, view, of_view, states))
            found |= states
        return found

    def _complete(self, layer: Layer, leaving: LeavingTable, partition: Partition) -> None:
        """Drop leaving rows if they equal the archive. Move them back and raise otherwise."""
        states = self._tier.unit_table.states(layer, partition.begin, partition.end)
        try:
            units = leaving.units(partition, is_leaving=True)
            _require_same(compare(self._tier, leaving.layer, units, states, is_leaving=True))
        except ArchiveError:
            leaving.move_back(partition)
            raise
        self._tier.unit_table.store(
            state.advance(RELEASED)
            for state in states.values()
            if state.released and state.state == SEALED
        )
        self._after_step("compared")
        leaving.drop(partition)
        self._after_step("dropped")

    def _show(self, layer: Layer, leaving: LeavingTable) -> None:
        """Make the view forget the leaving table, and drop this one if it is empty."""
        try:
            with reading_archive(layer):
                self._tier.views.refresh(layer)
        except ArchiveError as error:
            # The view stays as it is: right, and replaced in the next round.
            _log.warning("%s", error)
            return
        if not leaving.leaving_partitions():
            leaving.remove()


def _require_sealed(units: Iterable[Unit], states: Mapping[Unit, UnitState]) -> None:
    unsealed = [
        unit for unit in units if unit not in states or states[unit].state not in {SEALED, RELEASED}
    ]
    if unsealed:
        raise ArchiveError(f"{_names(unsealed)}: not sealed")


def _require_same(sides: Mapping[Unit, Sides]) -> None:
    differing = [unit for unit, one in sides.items() if not one.is_same]
    if differing:
        raise ArchiveError(f"{_names(differing)}: the archive holds other rows")


def _names(units: Iterable[Unit]) -> str:
    names = [str(unit) for unit in sorted(units)]
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"{', '.join(names[:MAX_NAMED])}{more}"
