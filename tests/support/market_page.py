"""The page over the markets of `page_markets`, and what tests read from it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from playwright.sync_api import Browser, Locator, Page, expect

from tests.support.browser import SIZE, lent
from tests.support.web_server import Served

PATIENCE: Final = 30_000


class MarketPage:
    """An open page. `errors` are those of its console and its scripts."""

    def __init__(self, page: Page, port: int) -> None:
        self.page = page
        self.errors: list[str] = []
        self._base = f"http://127.0.0.1:{port}/"
        self._listeners: dict[Any, Any] = {
            "console": lambda one: self.errors.append(one.text) if one.type == "error" else None,
            "pageerror": lambda error: self.errors.append(str(error)),
        }

    def listen(self) -> None:
        for event, listener in self._listeners.items():
            self.page.on(event, listener)

    def end(self) -> None:
        for event, listener in self._listeners.items():
            self.page.remove_listener(event, listener)

    def load(self, address: str = "#binance/BTC/USDT/1m") -> None:
        """Load an address; return once candles are drawn."""
        self.page.goto("about:blank")
        self.page.goto(f"{self._base}{address}")
        self.until("() => window.candlewax?.drawn().length > 0")

    def until(self, condition: str, argument: object = None) -> None:
        self.page.wait_for_function(condition, arg=argument)

    def until_series(self, symbol: str, timeframe: str = "1m") -> None:
        """Wait until a series is named and drawn."""
        expect(self.at("#symbol")).to_have_text(symbol)
        expect(self.at("#frames [aria-pressed=true]")).to_have_text(timeframe)
        self.until("() => candlewax.drawn().length > 0")

    def at(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def drawn(self) -> list[dict[str, Any]]:
        """Return the candles in the chart library, oldest first."""
        points: list[dict[str, Any]] = self.page.evaluate("candlewax.drawn()")
        return points

    def listed(self) -> list[str]:
        """Return the names in the list of markets, with the exchange."""
        return self.at("#market-rows .row .name").all_text_contents()


@contextmanager
def market_page(browser: Browser, served: Served, size: Any = SIZE) -> Iterator[MarketPage]:
    """Lend a page; at the end it has logged no error."""
    expect.set_options(timeout=PATIENCE)
    with lent(browser, size, reduced_motion="reduce") as page:
        page.set_default_timeout(PATIENCE)
        opened = MarketPage(page, served.client.port)
        opened.listen()
        yield opened
        assert opened.errors == []
        opened.end()
