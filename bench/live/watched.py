"""Throughput of a pipeline at full speed, without and with a page that watches it.

One process runs everything (`candlewax up`) on a recording faster than it can process: alone; with
a program that reads the stream of a page, which costs almost nothing; and with the page in a
browser, which draws on the same cores.
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from playwright.sync_api import Browser, ViewportSize, sync_playwright

from bench.live import made
from bench.live.processes import COMMAND, Meter, Piece, Result, Stage
from tests.support.browser import OPTIONS, chromium
from tests.support.ports import free_port

WAYS: Final = ("no page", "a page's stream, read", "a page in a browser")

ROUNDS: Final = 3
"""Measurements of each way, in turns."""

_MAX_RATE: Final = 150_000
"""Trades per second, more than the pipeline can process, so that the recording is long enough."""

_PACE: Final = 100_000
"""Seconds of the recording per second."""

_SIZE: Final[ViewportSize] = {"width": 1440, "height": 900}

_WARM: Final = 3.0
"""Seconds of trades at the start that are not counted."""

_START_S: Final = 6.0
"""Seconds that the process and the page may take to start while trades are played."""


_READ: Final = """
import sys, urllib.request
for _ in urllib.request.urlopen(sys.argv[1]):
    pass
"""


def run(seconds: float) -> Iterator[Result]:
    """Measure each way, in turns."""
    with Stage() as stage:
        count = int(_MAX_RATE * (seconds + _WARM + _START_S))
        recording = made.write(stage.folder / "frames.tsv", count), count
        for _ in range(ROUNDS):
            for way in WAYS:
                yield {"part": "watched", "what": way, **_way(stage, recording, way, seconds)}


def _way(stage: Stage, recording: tuple[Path, int], way: str, seconds: float) -> Result:
    port, (feed, played) = free_port(), recording
    command = ("up", f"--port={port}", f"--pace={_PACE}")
    up = stage.python("up", "-c", COMMAND, *command, CANDLEWAX_FEED=str(feed))
    up.wait_for_output("Ctrl-C")
    with ExitStack() as stack:
        if way == WAYS[1]:
            series = urlencode({"exchange": "binance", "symbol": "BTC/USDT", "timeframe": "1m"})
            address = f"http://127.0.0.1:{port}/api/v1/stream?{series}"
            reader = stage.python("reader", "-c", _READ, address)
            stack.callback(stage.end, reader)
        if way == WAYS[2]:
            page = stack.enter_context(_browser()).new_page(viewport=_SIZE)
            page.goto(f"http://127.0.0.1:{port}/#binance/BTC/USDT/1m")
            page.wait_for_selector("#market-rows .row")
        time.sleep(_WARM)
        result = _measure(stage, up, port, seconds)
        if _stored(port) >= played:
            raise RuntimeError(f"all {played:,} trades were stored before the end: raise _MAX_RATE")
    stage.end(up)
    return result


def _measure(stage: Stage, up: Piece, port: int, seconds: float) -> Result:
    meter, before, began = Meter(stage.running), _stored(port), time.monotonic()
    time.sleep(seconds)
    after, ended = _stored(port), time.monotonic()
    up.check()
    used = meter.read()
    return {
        **used,
        "frames": after - before,
        "per_second": round((after - before) / (ended - began)),
    }


def _stored(port: int) -> int:
    """Return how many trades are stored."""
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/api/v1/exchanges")
    rows = json.loads(connection.getresponse().read())["data"]
    connection.close()
    return sum(row["trades"] for row in rows)


@contextmanager
def _browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(OPTIONS))
        yield browser
        browser.close()
