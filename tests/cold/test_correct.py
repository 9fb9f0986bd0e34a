"""Correction of what is remembered of units, after a process ended at a bad moment."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

import pytest

from candlewax.cold.layers import DAY, LAYERS
from candlewax.cold.maintenance.compact import compact, find_merges
from candlewax.cold.maintenance.correct import find_outdated
from candlewax.cold.maintenance.maintain import maintain
from candlewax.cold.seal import make_manifest
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import (
    COMMITTED,
    RELEASED,
    SEALED,
    VERIFIED,
    WRITTEN,
    UnitState,
    UnitTable,
)
from candlewax.cold.units import EPOCH, Unit
from tests.support.cold_tables import FIRST_HOUR, due_units, files, hour, offload

SILVER = LAYERS["silver.trades"]
UNIT = hour("silver.trades", "binance")
COMPACTED = FIRST_HOUR.replace(hour=0) + 2 * DAY
LATER = datetime(2100, 1, 1, tzinfo=UTC)


class KilledError(Exception):
    """End of a process."""


def states(tier: ColdTier) -> dict[Unit, UnitState]:
    return tier.unit_table.states(SILVER)


def set_state(tier: ColdTier, **changes: Any) -> None:
    """Change what is remembered of the first hour of Binance."""
    tier.unit_table.store([replace(states(tier)[UNIT], **changes)])


def test_compaction_that_ended_after_its_commit_is_remembered_by_the_next_maintenance(
    traded: ColdTier, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_manifest(traded, LATER)
    before = states(traded)

    def end(*_: object) -> NoReturn:
        raise KilledError

    found = find_merges(traded, SILVER, COMPACTED)
    with monkeypatch.context() as patch:
        patch.setattr(UnitTable, "store", end)
        with pytest.raises(KilledError):
            compact(traded, found)
    assert len(files(traded, "silver.trades")) == 2
    assert states(traded) == before
    report = maintain(traded, LATER, layers=[SILVER])
    assert (report.corrected, report.errors) == (6, ())
    after = states(traded)
    assert sorted({path for one in after.values() for path in one.files}) == files(
        traded, "silver.trades"
    )
    assert {one.state for one in after.values()} == {VERIFIED}
    assert {unit: one.measured_at for unit, one in after.items()} == {
        unit: one.measured_at for unit, one in before.items()
    }
    # So the new files are sealed.
    made = make_manifest(traded, LATER + DAY)
    assert made
    assert (made.units, made.files) == (6, 2)
    assert {one.state for one in states(traded).values()} == {SEALED}


@pytest.mark.parametrize("state", [WRITTEN, COMMITTED])
def test_unit_that_was_committed_and_not_read_back_is_read_back(
    traded: ColdTier, state: str
) -> None:
    measure = states(traded)[UNIT].measure
    set_state(traded, state=state, files=())
    report = maintain(traded, LATER, layers=[SILVER])
    assert report.corrected == 1
    after = states(traded)[UNIT]
    assert (after.state, after.measure) == (VERIFIED, measure)
    # What was measured then is not known, so the offload looks at it again.
    assert after.measured_at == EPOCH
    assert UNIT in due_units(traded, "silver.trades")


def test_unit_under_way_is_left_alone(traded: ColdTier) -> None:
    set_state(traded, state=WRITTEN)
    measured_at = states(traded)[UNIT].measured_at
    assert find_outdated(traded, SILVER, measured_at + timedelta(hours=1)) == []
    (found,) = find_outdated(traded, SILVER, measured_at + timedelta(hours=2))
    assert found.unit == UNIT


def test_released_unit_stays_released(traded: ColdTier) -> None:
    set_state(traded, state=RELEASED, files=("data/gone.parquet",))
    traded.unit_table.store_released([UNIT], released=True)
    assert maintain(traded, LATER, layers=[SILVER]).corrected == 1
    after = states(traded)[UNIT]
    assert (after.state, after.released) == (RELEASED, True)
    assert after.files != ("data/gone.parquet",)


def test_verified_unit_that_is_in_no_file_is_named_and_not_verified_any_more(
    traded: ColdTier,
) -> None:
    table = traded.warehouse.load(SILVER)
    old = traded.warehouse.data_files(table, [UNIT])
    traded.warehouse.swap(table, old, [], {})
    report = maintain(traded, FIRST_HOUR + timedelta(hours=1), layers=[SILVER])
    assert report.errors == ()
    report = maintain(traded, LATER, layers=[SILVER])
    assert len(report.errors) == 1
    assert f"{UNIT}: not in the archive as it was once verified" in report.errors[0]
    assert states(traded)[UNIT].state == WRITTEN
    assert maintain(traded, LATER, layers=[SILVER]).errors == ()
    offload(traded, "silver.trades")
    assert states(traded)[UNIT].state == VERIFIED
    assert states(traded)[UNIT].measure.rows == 20


def test_dry_run_corrects_nothing(traded: ColdTier) -> None:
    set_state(traded, state=COMMITTED)
    before = states(traded)
    lines: list[str] = []
    report = maintain(traded, LATER, dry_run=True, layers=[SILVER], on_progress=lines.append)
    assert report.corrected == 1
    assert f"{UNIT}: remembered as committed, is read back" in lines
    assert states(traded) == before
