"""Plays one fault from beginning to end."""

import tempfile
import time
from pathlib import Path

from tests.faults.fault import Fault, Outcome, Size
from tests.faults.place import Place, opened
from tests.faults.stage import Stage, staged
from tests.faults.table import Result


def play(fault: Fault, size: Size, runs: int, seed: int) -> Result:
    """Play a fault with a broker, a server and exchanges of its own."""
    begin = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="faults-") as folder,
        opened(Path(folder), size, runs, seed) as place,
    ):
        outcome = on_stage(fault, place) if fault.live else fault.play(place)
    return Result.of(fault, size, time.monotonic() - begin, outcome)


def on_stage(fault: Fault, place: Place) -> Outcome:
    """Play a fault where feeds are live."""
    with staged(place, altered=fault.altered) as stage:
        stage.calm()
        outcome = perform(fault, stage)
        stage.simulator.pause()
        for name in list(stage.running):
            # Ingest first: it hands over what it has received.
            stage.stop(name)
        outcome.ended += len(stage.ended)
        outcome.wrong += stage.ended
    return outcome


def perform(fault: Fault, stage: Stage) -> Outcome:
    """Play a fault, and look at the tables once all that came is stored."""
    outcome: Outcome = fault.play(stage)
    stage.resume()
    stage.calm()
    outcome.account = stage.settle(steady=fault.steady)
    return outcome
