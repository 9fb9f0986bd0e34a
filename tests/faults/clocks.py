"""Clocks that are stepped."""

from collections.abc import Callable

from tests.faults.fault import Fault, Outcome
from tests.faults.stage import Stage

SECOND = 10**9
HOUR = 3600 * SECOND


def stepped(*steps: int) -> Callable[[Stage], Outcome]:
    """Step the clock of all three processes so far from the right time, one after another,
    and back to it; connections are cut by each of these clocks, but soon take long to be back:
    where it is short, by the last one that is wrong.
    """

    def play(stage: Stage) -> Outcome:
        assert stage.clock
        for ahead in (*steps, 0):
            stage.clock.step(ahead)
            if stage.size.thorough or ahead == steps[-1]:
                stage.cut()
            stage.calm()
            stage.come(20)
        recovery = stage.recover()
        sql = "SELECT count() FROM dead_letters FINAL WHERE reason = 'bad_time'"
        letters = int(stage.system.tables.query(sql).item())
        return Outcome(recovery=recovery, seen=f"{letters:,} trades kept as dead letters")

    return play


FAULTS = [
    Fault(
        "clock-ahead",
        "the clock stepped 2 h ahead, and back; connections cut by each",
        stepped(2 * HOUR),
        altered=True,
        steady=False,
    ),
    Fault(
        "clock-behind",
        "the clock stepped 30 s back, then an hour, and on again; connections cut by each",
        stepped(-30 * SECOND, -HOUR),
        altered=True,
        steady=False,
    ),
]
