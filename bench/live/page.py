"""What a page costs the pipeline, and how late it is.

One process runs everything (`candlewax up`, live), over a table that holds a million candles
already. It is measured alone, then with a page open in a browser.
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
from bench.live.api import holds, summary
from bench.live.processes import COMMAND, Meter, Piece, Result, Stage, wait
from candlewax.simulator.exchanges.registry import markets_of
from tests.support.browser import OPTIONS, chromium
from tests.support.ports import free_port

RATE: Final = 2_000
"""Trades a second of all exchanges together."""

EACH: Final = 20
"""Markets of each of the three exchanges."""

_WARM: Final = 5.0
"""Seconds of trades that are not counted at the beginning."""


def run(seconds: float) -> Iterator[Result]:
    """Alone, and with a page."""
    path = chromium()
    with Stage() as stage:
        count = stored.fill(stage.folder / "clickhouse")
        _, urls = stage.simulator(f"--rate={RATE}", f"--markets={EACH}")
        urls["CANDLEWAX_INSTRUMENTS"] = str(_instruments(stage.folder / "instruments.toml"))
        urls["CANDLEWAX_CLICKHOUSE"] = str(stage.folder / "clickhouse")
        port = free_port()
        up = stage.python("up", "-c", COMMAND, "up", f"--port={port}", **urls)
        up.begun("Ctrl-C")
        wait(partial(holds, port, count), up.check, every=0.5, most=900)
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
            waits = page.evaluate("window.candlewax.waits()")
            shown = len(page.query_selector_all("#market-rows .row"))
            browser.close()
        about = {"part": "page", "rate": RATE, "markets": shown}
        yield {**about, "what": "a page: from receipt to screen", **summary(waits), **used}
        yield {**about, "what": "from receipt to the tables", **_stored(port), **used}


def _instruments(path: Path) -> Path:
    """Write which markets are listened to: all that the simulator plays."""
    lines = []
    for exchange in ("binance", "kraken", "coinbase"):
        lines.append(f"[{exchange}.subscribe]")
        lines += [f'"{one.native_symbol}" = "{one.symbol}"' for one in markets_of(exchange, EACH)]
    path.write_text("\n".join(lines))
    return path


def _stored(port: int) -> Result:
    """As the page itself says it, of the last minute."""
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/api/v1/health")
    waits = json.loads(connection.getresponse().read())["received_to_stored_ms"]
    connection.close()
    return {f"{name}_ms": wait for name, wait in waits.items()}


def _seen(page: Page) -> bool:
    return int(page.evaluate("window.candlewax.waits().length")) > 20


def _metered(stage: Stage, up: Piece, seconds: float) -> Result:
    meter = Meter(stage.running)
    time.sleep(seconds)
    up.check()
    return meter.read()
