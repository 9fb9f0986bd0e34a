"""Exchanges spread over more processes, and together again."""

from tests.faults.fault import Fault, Outcome
from tests.faults.stage import VENUES, Stage


def resharded(stage: Stage) -> Outcome:
    """All exchanges in one process of a kind, in one for each, and back, each time with
    empty recovery stores.
    """
    one = {flow: [flow] for flow in ("silver", "ohlcv")}
    each = {flow: [f"{flow}-{venue}" for venue in VENUES] for flow in one}
    recovery = 0.0
    for before, after in ((one, each), (each, one)):
        for flow in one:
            stage.stop(*before[flow])
        for flow in one:
            for name in after[flow]:
                stage.forget(name)
                stage.start(name, CANDLEWAX_EXCHANGES=name.partition("-")[2] or ",".join(VENUES))
        recovery = max(recovery, stage.recover())
        stage.calm()
    return Outcome(recovery=recovery)


FAULTS = [
    Fault(
        "resharding",
        "one `silver` and one `ohlcv` split into one for each exchange, and back, with empty "
        "recovery stores",
        resharded,
    )
]
