"""Faults, shortened, of one process with an embedded database."""

from pathlib import Path

import pytest

from tests.faults.all import FAULTS
from tests.faults.fault import SHORT, Fault
from tests.faults.place import opened

pytestmark = pytest.mark.slow("processes that are killed and begin again", seconds=110)


@pytest.mark.parametrize(
    "fault",
    [fault for fault in FAULTS.values() if not fault.live and not fault.shortened],
    ids=lambda fault: fault.name,
)
def test_each_received_trade_is_stored_once_after_a_fault(tmp_path: Path, fault: Fault) -> None:
    """With its candles and certificates."""
    if not fault.needs():
        pytest.skip("it takes root, and a system that lets it mount")
    with opened(tmp_path, SHORT) as place:
        outcome = fault.play(place)
    assert outcome.wrong + outcome.account.wrong == []
    assert outcome.account.trades > 100
