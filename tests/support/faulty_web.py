"""A page whose requests a test aborts, delays, and answers itself, and what it draws."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, NamedTuple
from urllib.parse import quote_plus

from playwright.sync_api import Browser, Error, Page, Route, expect

from candlewax.clickhouse.client import Database
from tests.support.browser import lent
from tests.support.web_server import BEGIN, Client, row, store_rows

PATIENCE: Final = 30_000

COUNT: Final = 12
"""Candles of each series, unless a test says another number."""

KINDS: Final = {
    "about": "**/api/v1",
    "symbols": "**/api/v1/symbols*",
    "health": "**/api/v1/health*",
    "stream": "**/api/v1/stream?*",
    "ohlcv": "**/api/v1/ohlcv/**",
    "trades": "**/api/v1/trades?*",
    "gaps": "**/api/v1/gaps?*",
}
"""The requests that the page makes, by what they are for."""

BASES: Final = {
    ("BTC/USDT", "1m"): 100,
    ("BTC/USDT", "5m"): 1_000,
    ("ETH/USDT", "1m"): 10_000,
    ("ETH/USDT", "5m"): 100_000,
}
"""Prices of a series are between its base and ten times that: a candle tells whose it is."""

_WATCH: Final = """(bases) => {
    window.foreign = [];
    const look = () => {
        if (!window.candlewax) return;
        const symbol = document.getElementById('symbol').textContent;
        const frame = document.querySelector('#frames [aria-pressed=true]')?.textContent;
        const base = bases[`${symbol} ${frame}`];
        if (base === undefined) return;
        for (const { close } of window.candlewax.drawn()) {
            if (close < base || close >= base * 10) window.foreign.push([symbol, frame, close]);
        }
    };
    const all = { subtree: true, childList: true, attributes: true, characterData: true };
    new MutationObserver(look).observe(document, all);
    const everyFrame = () => { look(); requestAnimationFrame(everyFrame); };
    everyFrame();
}"""


_HURRY: Final = """() => {
    const wait = window.setTimeout.bind(window);
    window.setTimeout = (act, ms, ...more) => wait(act, ms < 10_000 ? ms / 20 : ms, ...more);
}"""
"""Has waits before another attempt end soon; bounds on silence stay."""


_NO_SOCKET: Final = """() => {
    window.WebSocket = class {
        constructor() { setTimeout(() => this.onclose?.()); }
        close() {}
    };
}"""
"""Refuses WebSockets, as a proxy may: the page then opens event streams, which tests can route."""


class Chosen(NamedTuple):
    """A market and a timeframe, as the page names them."""

    symbol: str
    timeframe: str

    @property
    def address(self) -> str:
        return f"#binance/{self.symbol}/{self.timeframe}"


def store_series(tables: Database, count: int, shift: int = 0) -> None:
    """Store candles of all series, each with prices of its own; `shift` moves them."""
    minutes = {"1m": 1, "5m": 5}
    for (symbol, timeframe), base in BASES.items():
        rows = []
        for number in range(count):
            start = BEGIN + timedelta(minutes=number * minutes[timeframe])
            rows.append(_candle(symbol, timeframe, start, base + number + shift, count + shift))
        # A market is known by its days.
        day = _candle(symbol, "1d", BEGIN.replace(hour=0), base + shift, count + shift)
        store_rows(tables, [*rows, day])


def _candle(
    symbol: str, timeframe: str, start: datetime, price: int, trades: int
) -> dict[str, Any]:
    amounts = dict.fromkeys(("open", "high", "low", "close"), Decimal(price))
    volume = {"volume": Decimal(price), "trade_count": trades}
    return row(timeframe, symbol, closed=True, window_start=start, **amounts, **volume)


@contextmanager
def opened(browser: Browser, port: int, chosen: Chosen, scheme: Any = "dark") -> Iterator["Faulty"]:
    """Open the page at a series; at the end nothing foreign was ever drawn."""
    expect.set_options(timeout=PATIENCE)
    bases = {" ".join(series): base for series, base in BASES.items()}
    scripts = f"({_WATCH})({bases})", f"({_HURRY})()", f"({_NO_SOCKET})()"
    media = {"color_scheme": scheme, "reduced_motion": "reduce"}
    with lent(browser, scripts=scripts, **media) as page:
        page.set_default_timeout(PATIENCE)
        yield Faulty(page, f"http://127.0.0.1:{port}/{chosen.address}")
        assert page.evaluate("window.foreign") == []


class Faulty:
    """The page, and the ends of its network."""

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self.url = url
        self.held: list[Route] = []
        self.failed = 0

    def load(self) -> None:
        self.page.goto(self.url)

    def fail(self, kind: str, times: int, how: str) -> None:
        """Have the next requests of a kind fail: aborted, or answered with no use."""

        def handle(route: Route) -> None:
            if self.failed >= times:
                route.continue_()
                return
            self.failed += 1
            if how == "abort":
                route.abort("connectionreset")
            else:
                route.fulfill(status=500, body="<p>proxy error</p>", content_type="text/html")

        self.page.route(KINDS[kind], handle)

    def until_failed(self, times: int) -> None:
        """Wait until so many requests have failed."""
        self._wait(lambda: self.failed >= times)

    def until_held(self, word: str) -> None:
        """Wait until the last request that waits has a word in its address."""
        name = quote_plus(word)
        self._wait(lambda: bool(self.held) and name in self.held[-1].request.url)

    def _wait(self, is_so: Callable[[], bool]) -> None:
        for _ in range(PATIENCE // 5):
            if is_so():
                return
            self.page.wait_for_timeout(5)
        raise AssertionError("the page did not ask")

    def hold(self, kind: str) -> None:
        """Have requests of a kind wait until they are released."""

        def handle(route: Route) -> None:
            self.held.append(route)

        self.page.route(KINDS[kind], handle)

    def release(self, kind: str, *, backwards: bool = False) -> None:
        """Let all that waits, and all that comes, go on; the last one first if `backwards`."""
        self.page.unroute(KINDS[kind])
        for route in reversed(self.held) if backwards else self.held:
            # The page may have given it up.
            with suppress(Error):
                route.continue_()
        self.held.clear()

    def until(self, condition: str, argument: object = None) -> None:
        """Wait for a condition of the page."""
        self.page.wait_for_function(condition, arg=argument)

    def choose(self, chosen: Chosen) -> None:
        """Choose a market and a timeframe by hand."""
        self.page.locator("#market-rows .row", has_text=chosen.symbol).click()
        self.page.get_by_role("button", name=chosen.timeframe, exact=True).click()

    def expect_drawn(self, client: Client, chosen: Chosen, count: int = COUNT) -> None:
        """Wait until the chart holds what the API says of the series, and nothing is amiss."""
        parameters = {"exchange": "binance", "symbol": chosen.symbol, "limit": 1000}
        rows = client.ask(f"/api/v1/ohlcv/{chosen.timeframe}", parameters).rows
        wanted = [
            [datetime.fromisoformat(one["window_start"]).timestamp(), float(one["close"])]
            for one in rows
        ]
        assert len(wanted) == count
        self.until(
            """(wanted) => JSON.stringify(candlewax.drawn().map(({ time, close }) => [time, close]))
            === JSON.stringify(wanted)""",
            wanted,
        )
        expect(self.page.locator("#symbol")).to_have_text(chosen.symbol)
        pressed = self.page.locator("#frames [aria-pressed=true]")
        expect(pressed).to_have_text(chosen.timeframe)
        expect(self.page.locator("#empty")).to_be_hidden()
        expect(self.page.locator("#state")).to_have_attribute("data-state", "waiting")
