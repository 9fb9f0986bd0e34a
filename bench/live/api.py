"""Latency of the API over a million stored candles.

Served in the process of the pipeline (`candlewax up`), and beside it (`candlewax serve`) over a
directory and over a server; with live trades and without.
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
"""Trades per second of all exchanges, if there are any."""

JSON: Final = ("newest", "older", "from a time", "back")
"""Requests for JSON."""

WAYS: Final = ("up", "up, trades", "serve, directory", "serve, server", "serve, server, trades")


def run(requests: int, ways: Sequence[str] = WAYS) -> Iterator[Result]:
    """Measure each way of serving with `asked` requests."""
    for way in ways:
        yield from _way(way, requests)


def _way(way: str, requests: int) -> Iterator[Result]:
    with Stage() as stage:
        count = stored.fill(stage.folder / "clickhouse")
        stage.settings["CANDLEWAX_CLICKHOUSE"] = str(stage.folder / "clickhouse")
        if "server" in way:
            stage.front()
        _, urls = stage.simulator(f"--rate={RATE if 'trades' in way else 0.01}")
        command, port = way.partition(",")[0], free_port()
        if command == "serve" and "trades" in way:
            stage.flow("ohlcv", "ohlcv", **urls).wait_for_output("Live feeds")
        piece = stage.python(command, "-c", COMMAND, command, f"--port={port}", **urls)
        piece.wait_for_output("Ctrl-C")
        wait(partial(has_cached, port, count), piece.check, pause_s=0.5, timeout_s=900)
        meter = Meter(stage.running)
        times_by_kind = _send_requests(port, requests)
        used = {**meter.read(), "rss_mb": piece.rss_mb()}
    by_kind = {"JSON": [ms for kind in JSON for ms in times_by_kind[kind]], **times_by_kind}
    for what, times in by_kind.items():
        yield {"part": "api", "where": way, "what": what, **summary(times), **used}


def has_cached(port: int, count: int) -> bool:
    """Return whether the cache holds all stored candles."""
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/api/v1")
    count_in_memory: int = json.loads(connection.getresponse().read())["candles_in_memory"]
    connection.close()
    return count_in_memory >= count


def _send_requests(port: int, count: int) -> dict[str, list[float]]:
    command = [sys.executable, "-m", "bench.live.asker", str(port), str(count)]
    times: dict[str, list[float]] = json.loads(subprocess.check_output(command, cwd=ROOT))
    return times


def summary(times: Sequence[float]) -> Result:
    """Return quantiles by nearest rank in milliseconds, and the share below ten milliseconds."""
    ordered = sorted(times)
    quantiles = {f"p{share:g}_ms": quantile(ordered, share / 100) for share in (50, 95, 99)}
    under = sum(ms < 10 for ms in ordered) / max(1, len(ordered))
    return {"asked": len(ordered), "under_10_ms": round(under, 4), **quantiles}


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """Return a quantile by nearest rank."""
    if not ordered:
        return None
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 2)
