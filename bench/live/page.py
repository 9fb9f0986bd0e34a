"""What a page costs the pipeline, how late it is, and how fast the API answers.

One process runs everything (`candlewax up`, live), over a table that holds a million candles
already. It is measured alone, then with a page open in a browser.
"""

import math
import random
import time
from collections.abc import Iterator, Sequence
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from playwright.sync_api import Page, sync_playwright

from bench.live.processes import Meter, Piece, Result, Stage, wait
from candlewax.candles import TIMEFRAMES
from candlewax.connectors.clickhouse import open_tables
from tests.kafka.broker import free_port
from tests.web.browser import OPTIONS, chromium

RATE: Final = 2_000
"""Trades a second of all exchanges together."""

STORED: Final = 1_000_000
MARKETS: Final = 60
"""Candles that are there from the start, and the markets they are of."""

_WARM: Final = 10.0
_ASKED: Final = 3_000

_COMMAND: Final = "import sys; from candlewax.cli import main; main(sys.argv[1:])"

_FILL: Final = """
INSERT INTO ohlcv (timeframe, exchange, symbol, window_start, open, high, low, close, volume,
    quote_volume, trade_count, open_time, close_time, closed, version, status)
SELECT {number:Int8}, 'binance_usdm', concat('S', toString(number % {markets:UInt32}), '/USDT'),
    toDateTime('2020-01-01', 'UTC') + toIntervalSecond({length:UInt32} * intDiv(number,
        {markets:UInt32})) AS start,
    100 + number / 1e6, 101 + number / 1e6, 99.5, 100.25, 12.34567, 1234.5, 100, start, start,
    true, 201, 'complete'
FROM numbers({count:UInt32})
"""


def run(seconds: float) -> Iterator[Result]:
    """Alone, with a page, and asked for candles."""
    path = chromium()
    with Stage() as stage:
        _fill(stage.folder / "clickhouse")
        _, urls = stage.simulator(f"--rate={RATE}")
        urls["CANDLEWAX_CLICKHOUSE"] = str(stage.folder / "clickhouse")
        port = free_port()
        up = stage.python("up", "-c", _COMMAND, "up", f"--port={port}", **urls)
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
        late = {f"p{share:g}_ms": _quantile(waits, share / 100) for share in (50, 95, 99)}
        yield {"part": "page", "what": "a page", "rate": RATE, "seen": len(waits), **late, **used}
        for name, kept in (("latest 1,000", True), ("older 1,000", False)):
            taken = sorted(_ask(port, kept=kept))
            late = {f"p{share:g}_ms": _quantile(taken, share / 100) for share in (50, 95, 99)}
            under = sum(one < 10 for one in taken) / len(taken)
            yield {"part": "page", "what": name, "under_10_ms": round(under, 4), **late}


def _seen(page: Page) -> bool:
    return int(page.evaluate("window.candlewax.waits().length")) > 20


def _fill(folder: Path) -> None:
    database = open_tables(folder, "market")
    for number, length in TIMEFRAMES.values():
        values = {"number": number, "length": length // 1_000_000}
        count = {1: STORED - 5 * 90_000}.get(number, 90_000)
        database.client.command(_FILL, {**values, "markets": MARKETS, "count": count})
    database.close()


def _metered(stage: Stage, up: Piece, seconds: float) -> Result:
    meter = Meter(stage.running)
    time.sleep(seconds)
    up.check()
    return meter.read()


def _ask(port: int, *, kept: bool) -> Iterator[float]:
    """Milliseconds of each request, of series by chance; `kept` asks for the last candles."""
    chance = random.Random(1)  # noqa: S311 - it must repeat itself
    connection = HTTPConnection("127.0.0.1", port)
    for _ in range(_ASKED if kept else _ASKED // 10):
        timeframe = chance.choice(list(TIMEFRAMES))
        given = {"exchange": "binance_usdm", "symbol": f"S{chance.randrange(MARKETS)}/USDT"}
        older = {} if kept else {"from": "2020-01-01T06:00:00Z"}
        began = time.perf_counter()
        connection.request("GET", f"/api/v1/ohlcv/{timeframe}?{urlencode({**given, **older})}")
        answer = connection.getresponse()
        answer.read()
        assert answer.status == 200  # noqa: S101 - a figure of refusals is none
        yield (time.perf_counter() - began) * 1000
    connection.close()


def _quantile(ordered: Sequence[float], share: float) -> float | None:
    """By the nearest rank."""
    if not ordered:
        return None
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 2)
