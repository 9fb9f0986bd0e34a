"""The page in a real browser, over a real server and real tables."""

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from playwright.sync_api import Browser, Page, Request, expect

from candlewax.clickhouse.client import Database
from candlewax.core.batch import Batch
from candlewax.core.schema import CANDLES, TRADES
from candlewax.web.stream import feed_status
from tests.support.browser import lent
from tests.support.web_server import BEGIN, Served, candle, serving, store_candles, store_trades
from tests.web.stream.test_feed_status import batch as of_frames

pytestmark = pytest.mark.slow("a browser", seconds=30)

COUNT = 30
PATIENCE = 20_000


@pytest.fixture
def served(tables: Database, engine_path: Path) -> Iterator[Served]:
    store_candles(tables, COUNT)
    store_candles(tables, COUNT, "ETH/USDT")
    store_trades(tables, 10)
    with serving(tables, engine_path) as server:
        yield server


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """The page, loaded; whatever it complains of fails the test."""
    said: list[str] = []
    asked: list[str] = []
    listeners: dict[Any, Any] = {
        "console": lambda one: said.append(one.text) if one.type == "error" else None,
        "pageerror": lambda error: said.append(str(error)),
        "request": lambda one: asked.append(one.url),
    }
    own = f"http://127.0.0.1:{served.client.port}/"
    with lent(browser) as opened:
        opened.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        for event, listener in listeners.items():
            opened.on(event, listener)
        opened.goto(f"{own}#binance/BTC/USDT/1m")
        expect(opened.locator("#legend")).to_contain_text("C")
        yield opened
        assert said == []
        assert [url for url in asked if not url.startswith((own, "data:"))] == []
        for event, listener in listeners.items():
            opened.remove_listener(event, listener)


def changed(number: int, close: str, *, closed: bool, trades: int = 99) -> pl.DataFrame:
    """A row of `ohlcv` as the pipeline makes it."""
    known: dict[str, Any] = {**candle(number), "close": Decimal(close), "trade_count": trades}
    known |= {"high": Decimal(10_000), "timeframe": 1, "symbol": "BTC/USDT"}
    start = known["window_start"]
    known |= {"open_time": start, "close_time": start + timedelta(seconds=30)}
    known |= dict.fromkeys(("quote_volume", "buy_volume", "buy_quote_volume"), Decimal(1))
    known |= {"first_sequence": 1, "last_sequence": 2}
    schema = {name: kind for name, kind in CANDLES.items() if name in known}
    rows = pl.DataFrame([known], schema=schema)
    status = 3 if closed else 1
    return rows.with_columns(
        exchange=pl.lit("binance"),
        closed=pl.lit(closed),
        status=pl.lit(status, pl.Int8),
        missing=pl.lit(7 if closed else 0, pl.UInt64),
        feed_down_ms=pl.lit(0, pl.UInt64),
        repaired=pl.lit(0, pl.UInt32),
        revision=pl.lit(0, pl.UInt16),
    )


def store(served: Served, *rows: pl.DataFrame) -> None:
    served.hub.put([Batch("binance", {"ohlcv": one}) for one in rows])


def pixels(page: Page) -> bytes:
    return page.locator("#chart").screenshot()


def test_page_shows_stored_candles(page: Page) -> None:
    """The last one in words, all of them as a picture, and the market's trades."""
    legend = page.locator("#legend")
    expect(legend).to_contain_text("129.25")
    expect(legend).to_contain_text("forming")
    expect(page.locator("#symbol")).to_have_text("BTC/USDT")
    expect(page.locator("#tape-rows .row")).to_have_count(10)
    expect(page.locator("#market-rows .row")).to_have_count(2)
    assert page.locator("#chart canvas").count() > 0
    colours = page.evaluate(
        """() => { const seen = new Set();
        for (const canvas of document.querySelectorAll('#chart canvas')) {
          if (!canvas.width || !canvas.height) continue;
          const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
          for (let i = 0; i < data.length; i += 4) seen.add(data.slice(i, i + 3).join());
        } return [...seen]; }"""
    )
    # The colour of rising candles, by the theme.
    assert "53,179,148" in colours


def test_forming_candle_changes_and_closes(page: Page, served: Served) -> None:
    """Its price, its shape, its seal; and the next one opens beside it."""
    before = pixels(page)
    store(served, changed(COUNT - 1, "150.5", closed=False))
    legend = page.locator("#legend")
    expect(legend).to_contain_text("150.50")
    expect(legend.locator(".seal")).to_have_text("forming")
    assert pixels(page) != before
    store(served, changed(COUNT - 1, "151.75", closed=True, trades=100))
    expect(legend).to_contain_text("151.75")
    expect(legend.locator(".seal")).to_have_attribute("data-status", "gaps")
    expect(legend.locator(".seal")).to_have_text("7 missing")
    store(served, changed(COUNT, "152.125", closed=False))
    expect(legend).to_contain_text("152.125")
    expect(legend).to_contain_text(f"{BEGIN + timedelta(minutes=COUNT):%H:%M}")
    expect(legend.locator(".seal")).to_have_text("forming")


def test_new_trades_appear_on_the_tape(page: Page, served: Served) -> None:
    """The newest on top, on the side its taker took."""
    now = datetime.now(UTC)
    row = {
        "exchange": "binance", "symbol": "BTC/USDT", "trade_id": "9", "sequence": 9,
        "timestamp": now, "received_at": now, "side": 2, "price": Decimal("777.5"),
        "quantity": Decimal("0.5"), "quote_volume": Decimal(1),
    }  # fmt: skip
    trades = pl.DataFrame([row], schema=TRADES)
    served.hub.put([Batch("binance", {"silver_trades": trades}, trades)])
    first = page.locator("#tape-rows .row").first
    expect(first).to_contain_text("777.5")
    expect(first).to_have_attribute("data-side", "SELL")


def test_timeframe_is_switched_by_mouse_and_key(page: Page) -> None:
    """The address follows, and so does what is shown."""
    page.get_by_role("button", name="1d", exact=True).click()
    expect(page.locator("#legend")).to_contain_text("2026-09-14 00:00")
    expect(page).to_have_url(re.compile(r"#binance/BTC/USDT/1d$"))
    page.keyboard.press("1")
    expect(page.get_by_role("button", name="1m")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#legend")).to_contain_text("12:29")


def test_market_is_chosen_by_filter_key_and_mouse(page: Page) -> None:
    """The list narrows to what is written."""
    page.keyboard.press("/")
    page.keyboard.type("eth")
    expect(page.locator("#market-rows .row")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator("#symbol")).to_have_text("ETH/USDT")
    page.locator("#filter").fill("")
    page.locator("#chart").focus()
    page.keyboard.press("k")
    expect(page.locator("#symbol")).to_have_text("BTC/USDT")
    page.locator("#market-rows .row", has_text="ETH/USDT").click()
    expect(page.locator("#symbol")).to_have_text("ETH/USDT")


def test_stalled_feed_is_shown_as_stalled(
    page: Page, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its line and above the chart; live again with its next frame."""
    state, line = page.locator("#state"), page.locator("#feed-rows .row")
    now = (datetime.now(UTC) - BEGIN.replace(hour=0)).total_seconds()
    served.hub.put([of_frames("binance-0", now)])
    expect(line).to_contain_text("binance-0")
    expect(state).to_have_attribute("data-state", "live")
    monkeypatch.setattr(feed_status, "STALLED_US", 0)
    expect(line).to_contain_text("silent")
    expect(line.locator(".dot")).to_have_attribute("data-state", "stalled")
    expect(state).to_have_attribute("data-state", "degraded")
    monkeypatch.setattr(feed_status, "STALLED_US", 3600 * feed_status.SECOND_US)
    served.hub.put([of_frames("binance-0", now)])
    expect(line.locator(".dot")).to_have_attribute("data-state", "live")


def test_page_reads_the_tables_after_a_full_queue(page: Page, served: Served) -> None:
    """The hub had no room for all: the page asks the tables."""
    store_candles(served.tables, COUNT + 5)
    empty = changed(0, "1", closed=False)
    served.hub.put([Batch("binance", {"dead_letters": pl.concat([empty] * 200_001)})])
    expect(page.locator("#legend")).to_contain_text("134.25")


def test_keys_toggle_theme_and_help(page: Page) -> None:
    """By key; the dialog closes with Escape and says what keys there are."""
    before = page.evaluate("document.documentElement.dataset.theme")
    page.keyboard.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") != before
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("timeframe")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


def test_scrolling_back_reads_earlier_candles(
    browser: Browser, tables: Database, engine_path: Path
) -> None:
    """A page has a thousand; what lies before them comes when it is looked for."""
    store_candles(tables, 1500)
    with serving(tables, engine_path) as server, lent(browser) as page:
        asked: list[str] = []

        def note(request: Request) -> None:
            asked.append(request.url)

        page.on("request", note)
        page.goto(f"http://127.0.0.1:{server.client.port}/")
        expect(page.locator("#legend")).to_contain_text("C")
        for _ in range(12):
            page.keyboard.press("-")
        deadline = time.monotonic() + PATIENCE / 1000
        while not any("to=" in url for url in asked) and time.monotonic() < deadline:
            page.keyboard.press("ArrowLeft")
            page.wait_for_timeout(20)
        assert any("to=" in url for url in asked)
        page.remove_listener("request", note)


@pytest.mark.parametrize(("width", "height"), [(360, 640), (390, 844), (768, 1024)])
def test_phone_shows_each_panel_without_scrolling_sideways(
    browser: Browser, served: Served, width: int, height: int
) -> None:
    """One panel at a time, behind tabs, with room for fingers."""
    with lent(browser, {"width": width, "height": height}) as page:
        page.goto(f"http://127.0.0.1:{served.client.port}/")
        expect(page.locator("#legend")).to_contain_text("C")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        box = page.locator("#chart").bounding_box()
        assert box is not None
        assert box["width"] > width * 0.9
        assert box["height"] > 150
        page.get_by_role("tab", name="Trades").click()
        expect(page.locator("#tape-rows .row").first).to_be_visible()
        expect(page.locator("#market-rows")).to_be_hidden()
