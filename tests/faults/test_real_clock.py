"""The clock of whole processes stepped, on a stage whose clock no other fault has altered."""

from tests.faults.all import FAULTS
from tests.faults.stage import Stage
from tests.faults.test_faults import check, perform


def test_all_goes_on_after_a_real_step(stage: Stage) -> None:
    """What comes meanwhile is read at once, and each trade is stored once."""
    perform(stage, FAULTS["clock-stepped-for-real"])
    check(stage, steady=False)
