"""Correction of `cold_units` where a process ended between a commit and remembering it.

Such a unit is remembered in files that are gone, or as not verified for ever, though the table
holds it. It is read back as the table holds it now.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Final

from pyiceberg.table import Table

from candlewax.cold.layers import DAY, Layer
from candlewax.cold.parquet_files import ArchiveError
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import COMMITTED, RELEASED, VERIFIED, WRITTEN, UnitState
from candlewax.cold.units import EPOCH, NOTHING, Unit
from candlewax.cold.warehouse import units_in

MIN_AGE: Final = timedelta(hours=1)
"""A unit measured later than this ago may be under way."""


def find_outdated(tier: ColdTier, layer: Layer, now: datetime) -> list[UnitState]:
    """Return units that are remembered in other files than they are in, or as not verified."""
    table = tier.warehouse.load(layer)
    live = {file.file_path for file in tier.warehouse.data_files(table)}
    return [
        state
        for state in tier.unit_table.states(layer).values()
        if state.measured_at < now - MIN_AGE
        and not (
            state.is_verified and all(f"{table.location()}/{path}" in live for path in state.files)
        )
    ]


def correct(tier: ColdTier, layer: Layer, outdated: Iterable[UnitState]) -> int:
    """Read units back through the committed metadata, and remember them as they are.

    Return how many. Raises ArchiveError with the names of those that were verified and are in no
    file now, or that are not as their footers say; they are not verified any more, so that nothing
    warm of them is released and they are offloaded again.
    """
    count = 0
    lost: list[str] = []
    in_order = sorted(outdated, key=lambda state: state.unit.begin)
    for day, group in groupby(in_order, key=lambda state: state.unit.day):
        of_day = {state.unit: state for state in group}
        table = tier.warehouse.load(layer)
        corrected = [one for one in _as_they_are(tier, table, of_day) if one != of_day[one.unit]]
        # Reading took a while: another process may have gone on, and remembers that itself.
        known = tier.unit_table.states(layer, day, day + DAY)
        corrected = [one for one in corrected if known.get(one.unit) == of_day[one.unit]]
        tier.unit_table.store(corrected)
        count += len(corrected)
        lost += [
            str(one.unit)
            for one in corrected
            if one.state == COMMITTED or (of_day[one.unit].is_verified and not one.is_verified)
        ]
    if lost:
        raise ArchiveError(f"{', '.join(lost)}: not in the archive as it was once verified")
    return count


def _as_they_are(tier: ColdTier, table: Table, states: Mapping[Unit, UnitState]) -> list[UnitState]:
    """Return what is to be remembered of units of one day."""
    cold = units_in(table, tier.warehouse.data_files(table, states))
    found = tier.archive.measure(table, states)
    snapshot = table.current_snapshot()
    snapshot_id = snapshot.snapshot_id if snapshot else 0
    result = []
    for unit, state in states.items():
        if unit in cold:
            measure, file = cold[unit]
            path = file.file_path.removeprefix(f"{table.location()}/")
            is_known = state.is_verified and state.measure == measure
            result.append(
                replace(
                    state,
                    state=_state(state, is_equal=measure == found[unit]),
                    measure=measure,
                    files=(path,),
                    snapshot=snapshot_id,
                    # Else another content was measured then, so the offload looks at it again.
                    measured_at=state.measured_at if is_known else EPOCH,
                )
            )
        elif state.measure != NOTHING:
            result.append(
                replace(state, state=WRITTEN, measure=NOTHING, files=(), measured_at=EPOCH)
            )
    return result


def _state(state: UnitState, *, is_equal: bool) -> str:
    if not is_equal:
        return COMMITTED
    return RELEASED if state.state == RELEASED else VERIFIED
