"""Clocks that are stepped."""

import struct
from collections.abc import Callable
from pathlib import Path

from tests.faults.fault import Fault, Outcome
from tests.faults.stage import FLOWS, Stage

SECOND = 10**9
HOUR = 3600 * SECOND

STEPPED = "tests.faults.flows.stepped"


class Clock:
    """What is added to the clock of the processes."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.step(0)

    def step(self, nanoseconds: int) -> None:
        """Set it to so much ahead."""
        with self.file.open("r+b" if self.file.exists() else "wb") as file:
            file.write(struct.pack("=q", nanoseconds))


def stepped(*steps: int) -> Callable[[Stage], Outcome]:
    """Step the clock of all three processes so far from the right time, one after another,
    and back to it.
    """

    def play(stage: Stage) -> Outcome:
        clock = Clock(stage.place.folder / "clock")
        for flow in FLOWS:
            stage.stop(flow)
            stage.modules[flow] = STEPPED
            stage.start(flow, CANDLEWAX_TEST_FLOW=flow, CANDLEWAX_TEST_CLOCK=str(clock.file))
        stage.recover()
        for ahead in steps:
            clock.step(ahead)
            stage.calm()
            stage.come(20)
        clock.step(0)
        recovery = stage.recover()
        for flow in FLOWS:
            stage.stop(flow)
            del stage.modules[flow]
            stage.start(flow)
        stage.recover()
        sql = "SELECT count() FROM dead_letters FINAL WHERE reason = 'bad_time'"
        letters = int(stage.system.tables.query(sql).item())
        return Outcome(recovery=recovery, seen=f"{letters:,} trades kept as dead letters")

    return play


FAULTS = [
    Fault("clock-ahead", "the clock stepped 2 h ahead, and back", stepped(2 * HOUR), steady=False),
    Fault(
        "clock-behind",
        "the clock stepped 30 s back, then an hour, and on again",
        stepped(-30 * SECOND, -HOUR),
        steady=False,
    ),
]
