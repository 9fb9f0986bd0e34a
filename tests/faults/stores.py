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
    for some in (*((name,) for name in STORING), STORING):
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
    for some in (*((name,) for name in STORING), STORING):
        for name in some:
            # Not while it is written.
            stage.stop(name)
            _copy(stage, name)
            stage.start(name)
        stage.recover()
        stage.calm()
        for name in some:
            stage.running.pop(name).end(signal.SIGKILL)
            stage.forget(name)
            _kept(stage, name).rename(stage.system.store(name))
        for name in some:
            stage.start(name)
        recovery = max(recovery, stage.recover())
    return Outcome(recovery=recovery)


def _kept(stage: Stage, name: str) -> Path:
    return stage.system.store(name).with_suffix(".kept")


def _copy(stage: Stage, name: str) -> None:
    shutil.copytree(stage.system.store(name), _kept(stage, name))


FAULTS = [
    Fault("store-lost", "recovery stores deleted: of each process, then of both", lost),
    Fault("store-older", "recovery stores put back to what they were some time before", older),
]
