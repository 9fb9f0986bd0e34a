"""Accessibility of the page by axe-core, and its layout on the narrowest screens."""

from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Final, Literal

import pytest
from playwright.sync_api import Browser, ViewportSize, expect

from tests.support.databases import Databases
from tests.support.market_page import MarketPage, market_page
from tests.support.page_markets import store_markets
from tests.support.web_server import Served, serving

pytestmark = pytest.mark.slow("a browser", seconds=30)

AXE: Final = files("axe_playwright_python").joinpath("axe.min.js").read_text()

_FIND: Final = """async () => (await axe.run()).violations.flatMap(({ id, impact, nodes }) =>
    nodes.map(({ html, failureSummary }) => [impact, id, html.slice(0, 200), failureSummary]))"""

_CLIPPED: Final = """() => [...document.querySelectorAll('.bar *, .strip *, #market-rows *')]
    .filter((one) => one.childElementCount === 0 && one.textContent.trim())
    .filter((one) => { const box = one.getBoundingClientRect();
        return box.width && (box.right > innerWidth + 0.5 || box.left < -0.5
            || one.scrollWidth > one.clientWidth + 1 && one.clientWidth > 0); })
    .map((one) => one.outerHTML)"""
"""Texts of header, list and strip that are outside the screen or cut off."""

WIDE: Final[ViewportSize] = {"width": 1280, "height": 800}
NARROW: Final[ViewportSize] = {"width": 320, "height": 568}


@pytest.fixture(scope="module")
def served(databases: Databases, engine_path: Path) -> Iterator[Served]:
    """A server over tables that no test changes."""
    with databases.one() as tables:
        store_markets(tables)
        with serving(tables, engine_path) as server:
            yield server


def use_everything(page: MarketPage) -> None:
    """Show favourites, overlays, other markets, a recording's label, a notice and past candles."""
    page.load("#binance/LONG/USDT/1m@2026-09-14T12:30:00Z")
    for overlay in ("vwap", "ma20", "ma50", "buyers"):
        page.at(f"[data-overlay={overlay}]").click()
    page.page.keyboard.press("s")
    page.load()
    page.at("#compare").select_option("kraken BTC/USD")
    page.until("() => candlewax.compared()?.some((point) => 'value' in point)")
    page.at("#venues").select_option("dollars")
    page.until("() => candlewax.consolidated()?.bars.some((point) => 'close' in point)")
    page.at("#chart").focus()
    while page.at("#now").is_hidden():
        page.page.keyboard.press("ArrowLeft")
    page.page.evaluate("location.hash = '#hello'")
    expect(page.at("#notice")).to_be_visible()


@pytest.mark.parametrize("scheme", ["dark", "light"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_axe_finds_nothing(
    browser: Browser,
    served: Served,
    monkeypatch: pytest.MonkeyPatch,
    scheme: Literal["dark", "light"],
    size: ViewportSize,
) -> None:
    """With all that the page can show, and with the help open."""
    monkeypatch.setattr(served.live.clock, "pace", 20.0)
    with market_page(browser, served, size) as page:
        page.page.emulate_media(color_scheme=scheme)
        use_everything(page)
        expect(page.at("#replay")).to_be_visible()
        page.page.evaluate(AXE)
        assert page.page.evaluate(_FIND) == []
        page.page.locator("#keys").click()
        expect(page.page.get_by_role("dialog")).to_be_visible()
        assert page.page.evaluate(_FIND) == []


def test_page_is_whole_on_320_pixels(
    browser: Browser, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is cut off or scrolls sideways, and each panel can be reached."""
    monkeypatch.setattr(served.live.clock, "pace", 20.0)
    with market_page(browser, served, NARROW) as page:
        page.load("#binance/PEPE/USDT/1m")
        expect(page.at("#replay")).to_be_visible()
        expect(page.at("#price")).to_have_text("0.000004938268")
        assert page.page.evaluate("document.documentElement.scrollWidth") == NARROW["width"]
        assert page.page.evaluate(_CLIPPED) == []
        box = page.at("#chart").bounding_box()
        assert box is not None
        assert box["width"] == NARROW["width"]
        assert box["height"] > 150
        for tab, panel in (
            ("Trades", "#tape-rows"),
            ("Feeds", "#gaps-sum"),
            ("Markets", "#filter"),
        ):
            page.page.get_by_role("tab", name=tab).click()
            expect(page.at(panel)).to_be_visible()
