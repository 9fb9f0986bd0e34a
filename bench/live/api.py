"""How fast the API answers, over a million stored candles.

In one process with the pipeline (`candlewax up`), and beside it (`candlewax serve`) over a
directory and over a server; with trades coming and without.
"""

import json
import math
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from http.client import HTTPConnection
from typing import Final

from bench.live import stored
from bench.live.processes import COMMAND, ROOT, Meter, Result, Stage, wait
from tests.support.ports import free_port

RATE: Final = 2_000
"""Trades a second of all exchanges together, where there are any."""

JSON: Final = ("newest", "older", "from a time", "back")
"""What is asked for as JSON."""

WAYS: Final = ("up", "up, trades", "serve, directory", "serve, server", "serve, server, trades")


def run(asked: int, ways: Sequence[str] = WAYS) -> Iterator[Result]:
    """Each way to serve, so many requests."""
    for way in ways:
        yield from _way(way, asked)


def _way(way: str, asked: int) -> Iterator[Result]:
    with Stage() as stage:
        count = stored.fill(stage.folder / "clickhouse")
        stage.settings["CANDLEWAX_CLICKHOUSE"] = str(stage.folder / "clickhouse")
        if "server" in way:
            stage.front()
        _, urls = stage.simulator(f"--rate={RATE if 'trades' in way else 0.01}")
        command, port = way.partition(",")[0], free_port()
        if command == "serve" and "trades" in way:
            stage.flow("ohlcv", "ohlcv", **urls).begun("Live feeds")
        piece = stage.python(command, "-c", COMMAND, command, f"--port={port}", **urls)
        piece.begun("Ctrl-C")
        wait(partial(holds, port, count), piece.check, every=0.5, most=900)
        meter = Meter(stage.running)
        taken = _asked(port, asked)
        used = {**meter.read(), "rss_mb": piece.rss_mb()}
    kinds = {"JSON": [one for kind in JSON for one in taken[kind]], **taken}
    for what, times in kinds.items():
        yield {"part": "api", "where": way, "what": what, **summary(times), **used}


def holds(port: int, count: int) -> bool:
    """Whether all that is stored was read."""
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/api/v1")
    held: int = json.loads(connection.getresponse().read())["candles_in_memory"]
    connection.close()
    return held >= count


def _asked(port: int, count: int) -> dict[str, list[float]]:
    command = [sys.executable, "-m", "bench.live.asker", str(port), str(count)]
    found: dict[str, list[float]] = json.loads(subprocess.check_output(command, cwd=ROOT))
    return found


def summary(times: Sequence[float]) -> Result:
    """Quantiles by the nearest rank, in milliseconds, and the share below ten."""
    ordered = sorted(times)
    late = {f"p{share:g}_ms": quantile(ordered, share / 100) for share in (50, 95, 99)}
    under = sum(one < 10 for one in ordered) / max(1, len(ordered))
    return {"asked": len(ordered), "under_10_ms": round(under, 4), **late}


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """By the nearest rank."""
    if not ordered:
        return None
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 2)
