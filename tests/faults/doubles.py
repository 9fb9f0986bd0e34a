"""Two processes of a kind by mistake."""

import signal
from collections.abc import Callable

from tests.faults.fault import Fault, Outcome
from tests.faults.stage import Place, Stage


def doubled(flow: str) -> Callable[[Stage], Outcome]:
    """One more beside the one that runs; first the new one goes again, then the old one."""

    def play(stage: Stage) -> Outcome:
        second = f"{flow}-second"
        recovery = 0.0
        for gone in (second, flow):
            stage.start(second)
            stage.until(lambda: f"INFO {flow}" in stage.running[second].said_now())
            stage.recover()
            stage.calm()
            stage.running.pop(gone).end(signal.SIGKILL)
            recovery = max(recovery, stage.recover())
        # What runs is the second one now: the first one takes its place.
        stage.start(flow)
        stage.stop(second)
        stage.recover()
        return Outcome(recovery=recovery)

    return play


def one_directory(place: Place) -> Outcome:
    """An embedded database belongs to one process: the second says so and ends."""
    raise NotImplementedError


FAULTS = [
    Fault(f"two-{flow}", f"a second `{flow}` of the same exchanges for a while", doubled(flow))
    for flow in ("ingest", "silver", "ohlcv")
]
