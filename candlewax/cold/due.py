"""Selection of the units that are due to be offloaded."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from candlewax.cold.layers import HOUR, LAYERS
from candlewax.cold.unit_table import UnitState
from candlewax.cold.units import Unit
from candlewax.cold.warm import ChangedUnit

LATENESS: Final = timedelta(minutes=15)
"""An hour of trades is offloaded once the watermark is this far past it: late trades have come."""

RECEIPT_DELAY: Final = timedelta(minutes=2)
"""An hour of frames is offloaded once the clock is this far past it."""

VISIBILITY: Final = timedelta(minutes=1)
"""Longest time between the time of our clock in a row and the moment when a query sees it."""

SILENCE: Final = timedelta(days=1)
"""An hour is offloaded this long after its end if the watermark stands still."""


class DueUnits(NamedTuple):
    """Changed units that are due, and the time before which all stored rows are covered by them."""

    units: tuple[Unit, ...]
    waiting: tuple[ChangedUnit, ...]


def select_due(
    changed: Iterable[ChangedUnit],
    states: Mapping[Unit, UnitState],
    watermarks: Mapping[str, datetime],
    now: datetime,
    *,
    every_unit: bool = False,
) -> DueUnits:
    """Divide changed units into those that are due and those that wait.

    Units that were verified after their last row was stored are neither, unless `every_unit`.
    """
    due, waiting = [], []
    for one in changed:
        state = states.get(one.unit)
        if not every_unit and state is not None and _is_covered(one, state):
            continue
        if is_due(one.unit, state, watermarks.get(one.unit.exchange), now):
            due.append(one.unit)
        else:
            waiting.append(one)
    return DueUnits(tuple(due), tuple(waiting))


def is_due(unit: Unit, state: UnitState | None, watermark: datetime | None, now: datetime) -> bool:
    """Return True if a changed unit is to be offloaded now.

    Days, and layers without units of time, are offloaded again each hour, a quarter past it: the
    candle of a day closes a day after that of its first minute. What was never read back is due.
    """
    layer = LAYERS[unit.layer]
    if layer.span != HOUR:
        return (
            state is None
            or not state.is_verified
            or _hour(now - LATENESS) > _hour(state.measured_at - LATENESS)
        )
    if layer.namespace in {"raw", "bronze"}:
        return now >= unit.end + RECEIPT_DELAY
    is_past = watermark is not None and watermark >= unit.end + LATENESS
    return is_past or now >= unit.end + SILENCE


def _is_covered(changed: ChangedUnit, state: UnitState) -> bool:
    """Return True if the unit was measured when its last stored row was visible to all."""
    return state.is_verified and changed.last_stored + VISIBILITY < state.measured_at


def _hour(time: datetime) -> datetime:
    return time.replace(minute=0, second=0, microsecond=0)
