"""Every fault, shortened: whatever is done, the tables hold what came, each trade once.

`python -m tests.faults --full` plays them for as long as it takes. What another test does in
the same way is not done here again.
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
    """Exactly what reached the raw topics is stored, and what did not is named."""
    before = stage.system.stored()[0]
    assert stage.settle(steady=steady).wrong == []
    assert stage.system.stored()[0] >= before > 100


def perform(stage: Stage, fault: Fault) -> None:
    """What a fault itself looks at is as it must be, and all goes on by itself."""
    if not fault.needs():
        why = f"{fault.name} takes what is not here: root and mounts, or libfaketime"
        if os.environ.get("CANDLEWAX_TEST_REQUIRED"):
            pytest.fail(why)
        pytest.skip(why)
    stage.resume()
    assert fault.play(stage).wrong == []
    assert stage.ended == []


@pytest.mark.parametrize("fault", STEADY, ids=lambda fault: fault.name)
def test_dataflows_recover_from_a_fault(stage: Stage, fault: Fault) -> None:
    """Trades that happen when it is over are in their candles soon."""
    perform(stage, fault)


def test_each_trade_is_stored_once_after_all_faults(stage: Stage) -> None:
    """So it is, and candles and certificates are right."""
    check(stage, steady=True)


@pytest.mark.parametrize("fault", UNSTEADY, ids=lambda fault: fault.name)
def test_dataflows_recover_from_a_wrong_clock(stage: Stage, fault: Fault) -> None:
    """Trades that happen when it is right again are in their candles soon."""
    perform(stage, fault)


def test_each_trade_is_stored_once_after_wrong_clocks(stage: Stage) -> None:
    """So it is, and candles and certificates are right."""
    check(stage, steady=False)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=lambda fault: fault.name)
def test_each_fault_is_played_by_some_test(fault: Fault) -> None:
    """By one of these, or by the one that it names."""
    module, _, name = fault.shortened.rpartition(".")
    if module:
        assert callable(getattr(importlib.import_module(module), name))
    elif name:
        assert not FAULTS[name].shortened
