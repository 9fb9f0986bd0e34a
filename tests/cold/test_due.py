"""Selection of due units by watermark and time."""

from datetime import UTC, datetime, timedelta

import pytest

from candlewax.cold.due import select_due
from candlewax.cold.unit_table import COMMITTED, VERIFIED, UnitState
from candlewax.cold.units import EPOCH, NOTHING, Unit
from candlewax.cold.warm import ChangedUnit

TEN = datetime(2026, 3, 1, 10, tzinfo=UTC)
TRADES = Unit("silver.trades", "kraken", TEN)
FRAMES = Unit("raw.frames", "kraken", TEN)
CANDLES = Unit("gold.ohlcv", "kraken", TEN.replace(hour=0))


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


def is_due(
    unit: Unit,
    now: datetime,
    watermark: datetime | None = None,
    state: UnitState | None = None,
    last_stored: datetime = TEN,
) -> bool:
    changed = ChangedUnit(unit, TEN, last_stored)
    found = select_due(
        [changed],
        {unit: state} if state else {},
        {unit.exchange: watermark} if watermark else {},
        now,
    )
    assert {*found.units, *(one.unit for one in found.waiting)} <= {unit}
    return unit in found.units


def offloaded(unit: Unit, at: datetime, state: str = VERIFIED) -> UnitState:
    return UnitState(unit, state, NOTHING, settled=True, files=(), snapshot=1, measured_at=at)


@pytest.mark.parametrize(("past_end", "due"), [(14.9, False), (15, True)])
def test_hour_of_trades_is_due_a_quarter_after_its_end_by_the_watermark(
    past_end: float, due: bool
) -> None:
    watermark = TEN + minutes(60 + past_end)
    assert is_due(TRADES, watermark + minutes(1), watermark) is due


@pytest.mark.parametrize(("past_end", "due"), [(1.9, False), (2, True)])
def test_hour_of_frames_is_due_by_the_clock(past_end: float, due: bool) -> None:
    assert is_due(FRAMES, TEN + minutes(60 + past_end)) is due


@pytest.mark.parametrize(("hours", "due"), [(24.9, False), (25, True)])
def test_hour_of_a_silent_exchange_is_due_a_day_after_its_end(hours: float, due: bool) -> None:
    assert is_due(TRADES, TEN + timedelta(hours=hours), TEN + minutes(59)) is due


@pytest.mark.parametrize(
    ("last", "now", "due"), [(10.25, 11.2, False), (10.25, 11.25, True), (11.2, 11.25, True)]
)
def test_day_of_candles_is_due_once_an_hour_a_quarter_past(
    last: float, now: float, due: bool
) -> None:
    midnight = TEN.replace(hour=0)
    state = offloaded(CANDLES, midnight + timedelta(hours=last))
    later = midnight + timedelta(hours=now)
    assert is_due(CANDLES, later, later, state, last_stored=later) is due


def test_unit_measured_after_its_last_row_is_passed_over() -> None:
    now = TEN + timedelta(hours=3)
    state = offloaded(TRADES, TEN + minutes(90))
    assert not is_due(TRADES, now, now, state, last_stored=TEN + minutes(88))
    assert is_due(TRADES, now, now, state, last_stored=TEN + minutes(89.5))


@pytest.mark.parametrize("unit", [TRADES, CANDLES, Unit("meta.gaps", "kraken", EPOCH)], ids=str)
def test_unit_that_was_never_read_back_is_due_again(unit: Unit) -> None:
    """A process ended between the commit and the read-back."""
    now = TEN + timedelta(hours=3)
    state = offloaded(unit, now - minutes(1), COMMITTED)
    assert is_due(unit, now, now, state)
