"""What each process costs when trades come as they usually do."""

import time
from collections.abc import Iterator
from typing import Final

from bench.live.latency import pipeline
from bench.live.processes import Meter, Result, Stage

RATE: Final = 55
"""Trades a second."""

WARM: Final = 60.0
"""Seconds before anything is measured."""


def run(seconds: float) -> Iterator[Result]:
    """A pipeline in one process, and one behind a broker."""
    yield _embedded(seconds)
    yield _brokered(seconds)


def _embedded(seconds: float) -> Result:
    with Stage() as stage:
        _, urls = stage.simulator(f"--rate={RATE}")
        urls["CANDLEWAX_CLICKHOUSE"] = str(stage.folder / "clickhouse")
        options = stage.recovery("ohlcv")
        piece = stage.flow("pipeline", "ohlcv", *options, **urls)
        piece.begun("Live feeds")
        return {"part": "footprint", "where": "one process", **_used(stage, seconds)}


def _brokered(seconds: float) -> Result:
    with Stage() as stage:
        stage.broker()
        stage.front()
        _, urls = stage.simulator(f"--rate={RATE}")
        pipeline(stage, urls, snapshots=True)
        return {"part": "footprint", "where": "broker", **_used(stage, seconds)}


def _used(stage: Stage, seconds: float) -> Result:
    time.sleep(WARM)
    meter = Meter(stage.running)
    time.sleep(seconds)
    used = meter.read()
    cores = {name: round(cpu / used["seconds"], 3) for name, cpu in used.pop("cpu").items()}
    memory = {name: running.rss_mb() for name, running in stage.running.items()}
    return {"rate": RATE, "cores": cores, "rss_mb": memory, **used}
