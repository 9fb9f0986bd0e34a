"""What a pipeline that runs as fast as it can loses by a page that watches it.

One process runs everything (`candlewax up`) on a recording whose pace is beyond it: alone; with
a program that reads what a page is sent, and is nearly free; and with the page itself in a
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

WAYS: Final = ("no page", "what a page is sent, read", "a page in a browser")

ROUNDS: Final = 3
"""How often each way is measured, in turns."""

_MOST: Final = 150_000
"""More trades a second than a pipeline carries: the recording is long enough."""

_PACE: Final = 100_000
"""Seconds of a recording in one."""

_SIZE: Final[ViewportSize] = {"width": 1440, "height": 900}

_WARM: Final = 3.0
"""Seconds of trades that are not counted at the beginning."""

_LOST_IN: Final = 6.0
"""Seconds a process and a page may take to begin, and trades go by."""


_READ: Final = """
import sys, urllib.request
for _ in urllib.request.urlopen(sys.argv[1]):
    pass
"""


def run(seconds: float) -> Iterator[Result]:
    """Each way, in turns."""
    with Stage() as stage:
        count = int(_MOST * (seconds + _WARM + _LOST_IN))
        recording = made.write(stage.folder / "frames.tsv", count), count
        for _ in range(ROUNDS):
            for way in WAYS:
                yield {"part": "watched", "what": way, **_way(stage, recording, way, seconds)}


def _way(stage: Stage, recording: tuple[Path, int], way: str, seconds: float) -> Result:
    port, (feed, most) = free_port(), recording
    command = ("up", f"--port={port}", f"--pace={_PACE}")
    up = stage.python("up", "-c", COMMAND, *command, CANDLEWAX_FEED=str(feed))
    up.begun("Ctrl-C")
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
        result = _carried(stage, up, port, seconds)
        if _stored(port) >= most:
            raise RuntimeError(f"all {most:,} trades were stored before the end: raise _MOST")
    stage.end(up)
    return result


def _carried(stage: Stage, up: Piece, port: int, seconds: float) -> Result:
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
    """Trades in the tables."""
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
