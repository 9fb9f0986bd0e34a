"""Exchanges spread over more processes, and together again."""

from tests.faults.fault import Fault, Outcome
from tests.faults.stage import VENUES, Stage


def resharded(stage: Stage) -> Outcome:
    """All exchanges in one process of a kind, in several, and back, each time with empty
    recovery stores.
    """
    one = {flow: [flow] for flow in ("silver", "ohlcv")}
    parts = VENUES if stage.size.thorough else (VENUES[0], ",".join(VENUES[1:]))
    each = {flow: [f"{flow}-{venues}" for venues in parts] for flow in one}
    recovery = 0.0
    changes = [(one, each), (each, one)]
    for before, after in changes if stage.size.thorough else changes[:1]:
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
