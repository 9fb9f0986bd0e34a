"""Every fault, shortened: after it the tables hold each received trade once.

`python -m tests.faults --full` plays them in full length. Faults that another test plays in the
same way are not repeated here.
"""

import importlib
import os

import pytest

from tests.faults.all import FAULTS
from tests.faults.fault import Fault
from tests.faults.stage import Stage

pytestmark = pytest.mark.slow(
    "a broker, a server and three processes meet every fault", seconds=200
)

LIVE = sorted(
    (fault for fault in FAULTS.values() if fault.live and not fault.shortened),
    # A memory that is small stays so, and a clock that was wrong is known by all that came
    # under it: the machine's is stepped before that of the processes.
    key=lambda fault: (not fault.steady, fault.name != "clock-stepped-for-real", fault.altered),
)
STEADY = [fault for fault in LIVE if fault.steady]
UNSTEADY = [fault for fault in LIVE if not fault.steady]


def check(stage: Stage, *, steady: bool) -> None:
    """Assert that exactly the frames of the raw topics are stored, and others are named."""
    before = stage.system.stored()[0]
    assert stage.settle(steady=steady).wrong == []
    assert stage.system.stored()[0] >= before > 100


def perform(stage: Stage, fault: Fault) -> None:
    """Play a fault, and assert its own checks and that the dataflows recover."""
    if not fault.needs():
        reason = f"{fault.name} takes what is not here: root and mounts, or libfaketime"
        if os.environ.get("CANDLEWAX_TEST_REQUIRED"):
            pytest.fail(reason)
        pytest.skip(reason)
    stage.resume()
    assert fault.play(stage).wrong == []
    assert stage.ended == []


@pytest.mark.parametrize("fault", STEADY, ids=lambda fault: fault.name)
def test_dataflows_recover_from_a_fault(stage: Stage, fault: Fault) -> None:
    """Later trades are soon in their candles."""
    perform(stage, fault)


def test_each_trade_is_stored_once_after_all_faults(stage: Stage) -> None:
    """Candles and certificates are right."""
    check(stage, steady=True)


@pytest.mark.parametrize("fault", UNSTEADY, ids=lambda fault: fault.name)
def test_dataflows_recover_from_a_wrong_clock(stage: Stage, fault: Fault) -> None:
    """Trades after its correction are soon in their candles."""
    perform(stage, fault)


def test_each_trade_is_stored_once_after_wrong_clocks(stage: Stage) -> None:
    """Candles and certificates are right."""
    check(stage, steady=False)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=lambda fault: fault.name)
def test_each_fault_is_played_by_some_test(fault: Fault) -> None:
    """By one of this file, or by the test that it names."""
    module, _, name = fault.shortened.rpartition(".")
    if module:
        assert callable(getattr(importlib.import_module(module), name))
    elif name:
        assert not FAULTS[name].shortened
