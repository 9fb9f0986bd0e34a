"""Cost of each process at a usual rate of trades."""

import time
from collections.abc import Iterator, Mapping
from typing import Final

from bench.live.latency import pipeline
from bench.live.processes import Meter, Result, Stage

RATE: Final = 55
"""Trades per second."""

LINGER: Final = 0.25
"""Seconds that batches wait for more, to use less of a core."""

WARM: Final = 60.0
"""Seconds before measuring starts."""


def run(seconds: float) -> Iterator[Result]:
    """Measure one process, the same with a longer wait, and a pipeline behind a broker."""
    yield _embedded(seconds, "one process")
    longer = {"CANDLEWAX_LINGER_SECONDS": str(LINGER)}
    yield _embedded(seconds, f"one process, CANDLEWAX_LINGER_SECONDS={LINGER}", longer)
    yield _brokered(seconds)


def _embedded(seconds: float, where: str, settings: Mapping[str, str] | None = None) -> Result:
    with Stage() as stage:
        stage.settings.update(settings or {})
        _, urls = stage.simulator(f"--rate={RATE}")
        urls["CANDLEWAX_CLICKHOUSE"] = str(stage.folder / "clickhouse")
        options = stage.recovery("ohlcv")
        piece = stage.flow("pipeline", "ohlcv", *options, **urls)
        piece.wait_for_output("Live feeds")
        return {"part": "footprint", "where": where, **_used(stage, seconds)}


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
