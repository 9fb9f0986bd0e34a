"""Cost of an open page to the pipeline, and delay until trades are on the screen.

One process runs everything (`candlewax up`, live), over a table that already holds a million
candles. It is measured alone, then with a driver of the page, then with the page in a browser,
which competes for the same cores.
"""

import json
import time
from collections.abc import Iterator
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, sync_playwright

from bench.live import stored
from bench.live.api import has_cached, summary
from bench.live.processes import COMMAND, Meter, Piece, Result, Stage, wait
from candlewax.simulator.exchanges.registry import markets_of
from tests.support.browser import OPTIONS, chromium
from tests.support.ports import free_port

RATE: Final = 2_000
"""Trades per second of all exchanges."""

EACH: Final = 20
"""Markets of each of the three exchanges."""

_WARM: Final = 5.0
"""Seconds of trades at the start that are not counted."""


def run(seconds: float) -> Iterator[Result]:
    """Measure alone, then with a page."""
    path = chromium()
    with Stage() as stage:
        count = stored.fill(stage.folder / "clickhouse")
        _, urls = stage.simulator(f"--rate={RATE}", f"--markets={EACH}")
        urls["CANDLEWAX_INSTRUMENTS"] = str(_instruments(stage.folder / "instruments.toml"))
        urls["CANDLEWAX_CLICKHOUSE"] = str(stage.folder / "clickhouse")
        port = free_port()
        up = stage.python("up", "-c", COMMAND, "up", f"--port={port}", **urls)
        up.wait_for_output("Ctrl-C")
        wait(partial(has_cached, port, count), up.check, pause_s=0.5, timeout_s=900)
        time.sleep(_WARM)
        alone = _measure(stage, up, seconds)
        yield {"part": "page", "what": "no page", "rate": RATE, **alone}
        yield {"part": "page", "rate": RATE, **_drive(stage, up, port, seconds)}
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=path, args=list(OPTIONS))
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(f"http://127.0.0.1:{port}/#binance/BTC/USDT/1m")
            wait(partial(_has_drawn, page))
            page.evaluate("window.candlewax.waits().length = 0")
            used = _measure(stage, up, seconds)
            delays = page.evaluate("window.candlewax.waits()")
            shown = len(page.query_selector_all("#market-rows .row"))
            browser.close()
        fields = {"part": "page", "rate": RATE, "markets": shown}
        yield {**fields, "what": "a page: from receipt to screen", **summary(delays), **used}
        yield {**fields, "what": "from receipt to the tables", **_stored(port), **used}


def _drive(stage: Stage, up: Piece, port: int, seconds: float) -> Result:
    driver = ("-m", "bench.live.page_driver", str(port), "binance/BTC/USDT", str(seconds + 1))
    piece = stage.python("driver", *driver)
    used = _measure(stage, up, seconds)
    piece.wait_for_end()
    delays = json.loads(piece.output())
    stage.end(piece)
    return {"what": "a page's events: from receipt to screen", **summary(delays), **used}


def _instruments(path: Path) -> Path:
    """Write an instruments file with all markets that the simulator plays."""
    lines = []
    for exchange in ("binance", "kraken", "coinbase"):
        lines.append(f"[{exchange}.subscribe]")
        lines += [f'"{m.native_symbol}" = "{m.symbol}"' for m in markets_of(exchange, EACH)]
    path.write_text("\n".join(lines))
    return path


def _stored(port: int) -> Result:
    """Return the delay until storage of the last minute, as the API reports it."""
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/api/v1/health")
    delays = json.loads(connection.getresponse().read())["received_to_stored_ms"]
    connection.close()
    return {f"{name}_ms": wait for name, wait in delays.items()}


def _has_drawn(page: Page) -> bool:
    return int(page.evaluate("window.candlewax.waits().length")) > 20


def _measure(stage: Stage, up: Piece, seconds: float) -> Result:
    meter = Meter(stage.running)
    time.sleep(seconds)
    up.check()
    return meter.read()
