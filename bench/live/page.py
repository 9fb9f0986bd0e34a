"""What a page costs the pipeline, and how late it is.

One process runs everything (`candlewax up`, live), over a table that holds a million candles
already. It is measured alone, then with a page open in a browser.
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import Final

from playwright.sync_api import Page, sync_playwright

from bench.live import stored
from bench.live.api import summary
from bench.live.processes import COMMAND, Meter, Piece, Result, Stage, wait
from tests.kafka.broker import free_port
from tests.web.browser import OPTIONS, chromium

RATE: Final = 2_000
"""Trades a second of all exchanges together."""

_WARM: Final = 10.0


def run(seconds: float) -> Iterator[Result]:
    """Alone, with a page, and asked for candles."""
    path = chromium()
    with Stage() as stage:
        stored.fill(stage.folder / "clickhouse")
        _, urls = stage.simulator(f"--rate={RATE}")
        urls["CANDLEWAX_CLICKHOUSE"] = str(stage.folder / "clickhouse")
        port = free_port()
        up = stage.python("up", "-c", COMMAND, "up", f"--port={port}", **urls)
        up.begun("Ctrl-C")
        time.sleep(_WARM)
        alone = _metered(stage, up, seconds)
        yield {"part": "page", "what": "no page", "rate": RATE, **alone}
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=list(OPTIONS))
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(f"http://127.0.0.1:{port}/#binance/BTC/USDT/1m")
            wait(partial(_seen, page))
            page.evaluate("window.candlewax.waits().length = 0")
            used = _metered(stage, up, seconds)
            waits = sorted(page.evaluate("window.candlewax.waits()"))
            browser.close()
        yield {"part": "page", "what": "a page", "rate": RATE, **summary(waits), **used}


def _seen(page: Page) -> bool:
    return int(page.evaluate("window.candlewax.waits().length")) > 20


def _metered(stage: Stage, up: Piece, seconds: float) -> Result:
    meter = Meter(stage.running)
    time.sleep(seconds)
    up.check()
    return meter.read()
