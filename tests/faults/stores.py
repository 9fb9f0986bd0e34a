"""Recovery stores that are lost, or older than the tables."""

import shutil
import signal
from pathlib import Path

from tests.faults.fault import Fault, Outcome
from tests.faults.stage import Stage

STORING = ("silver", "ohlcv")


def lost(stage: Stage) -> Outcome:
    """Each process without its own, then both."""
    recovery = 0.0
    for some in _parts(stage):
        for name in some:
            stage.lose(name)
        for name in some:
            stage.start(name)
        recovery = max(recovery, stage.recover())
        stage.calm()
    return Outcome(recovery=recovery)


def older(stage: Stage) -> Outcome:
    """Each process with its own of some time ago, then both."""
    recovery = 0.0
    for some in _parts(stage):
        for name in some:
            _copy(stage, name)
        stage.recover()
        stage.calm()
        for name in some:
            stage.lose(name)
            _kept(stage, name).rename(stage.system.store(name))
        for name in some:
            stage.start(name)
        recovery = max(recovery, stage.recover())
    return Outcome(recovery=recovery)


def _parts(stage: Stage) -> list[tuple[str, ...]]:
    return [*((name,) for name in STORING if stage.size.thorough), STORING]


def _kept(stage: Stage, name: str) -> Path:
    return stage.system.store(name).with_suffix(".kept")


def _copy(stage: Stage, name: str) -> None:
    """What it would find if it were killed now."""
    process = stage.running[name]
    process.tell(signal.SIGSTOP)
    shutil.copytree(stage.system.store(name), _kept(stage, name))
    process.tell(signal.SIGCONT)


FAULTS = [
    Fault(
        "store-lost",
        "recovery stores deleted: of each process, then of both",
        lost,
    ),
    Fault("store-older", "recovery stores put back to what they were some time before", older),
]
