"""What a pipeline that runs as fast as it can loses by a page that watches it.

One process runs everything (`candlewax up`) on a recording whose pace is beyond it: alone, and
with a page open in a browser on the same cores, once as usual and once with all the browser's
processes at the lowest priority, so that it takes what the pipeline leaves, as one on another
machine would.
"""

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, sync_playwright

from bench.live import made
from bench.live.processes import COMMAND, Meter, Piece, Result, Stage
from tests.ports import free_port
from tests.web.browser import OPTIONS, chromium

WAYS: Final = ("no page", "a page", "a page, its browser at the lowest priority")

ROUNDS: Final = 2
"""How often each way is measured, in turns."""

_MOST: Final = 150_000
"""More trades a second than a pipeline carries: the recording is long enough."""

_PACE: Final = 100_000
"""Seconds of a recording in one."""

_WARM: Final = 3.0
"""Seconds of trades that are not counted at the beginning."""

_LOST_IN: Final = 6.0
"""Seconds a process and a page may take to begin, and trades go by."""


def run(seconds: float) -> Iterator[Result]:
    """Each way, in turns."""
    with Stage() as stage:
        count = int(_MOST * (seconds + _WARM + _LOST_IN))
        recording = made.write(stage.folder / "frames.tsv", count)
        for _ in range(ROUNDS):
            for way in WAYS:
                yield {"part": "watched", "what": way, **_way(stage, recording, way, seconds)}


def _way(stage: Stage, recording: Path, way: str, seconds: float) -> Result:
    port = free_port()
    command = ("up", f"--port={port}", f"--pace={_PACE}")
    with _browser(stage.folder, way) as browser:
        up = stage.python("up", "-c", COMMAND, *command, CANDLEWAX_FEED=str(recording))
        up.begun("Ctrl-C")
        if browser:
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(f"http://127.0.0.1:{port}/#binance/BTC/USDT/1m")
            page.wait_for_selector("#market-rows .row")
        time.sleep(_WARM)
        result = _carried(stage, up, port, seconds)
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


def _browser(folder: Path, way: str) -> AbstractContextManager[Browser | None]:
    if way == WAYS[0]:
        return nullcontext()
    path = Path(chromium())
    if way == WAYS[2]:
        path, niced = folder / "niced", path
        path.write_text(f'#!/bin/sh\nexec nice -n 19 {niced} "$@"\n')
        path.chmod(0o755)
    return _opened(path)


@contextmanager
def _opened(path: Path) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(OPTIONS))
        yield browser
        browser.close()
