"""The page in a real browser, over a real server and real tables."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from playwright.sync_api import Browser, Page, expect

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
    """The loaded page. An error of its console or a request to another site fails the test."""
    errors: list[str] = []
    urls: list[str] = []
    listeners: dict[Any, Any] = {
        "console": lambda event_: errors.append(event_.text) if event_.type == "error" else None,
        "pageerror": lambda error: errors.append(str(error)),
        "request": lambda event_: urls.append(event_.url),
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
        assert errors == []
        assert [url for url in urls if not url.startswith((own, "data:"))] == []
        for event, listener in listeners.items():
            opened.remove_listener(event, listener)


def changed(number: int, close: str, *, closed: bool, trades: int = 99) -> pl.DataFrame:
    """A row of `ohlcv` as the pipeline writes it."""
    fields: dict[str, Any] = {**candle(number), "close": Decimal(close), "trade_count": trades}
    fields |= {"high": Decimal(10_000), "timeframe": 1, "symbol": "BTC/USDT"}
    start = fields["window_start"]
    fields |= {"open_time": start, "close_time": start + timedelta(seconds=30)}
    fields |= dict.fromkeys(("quote_volume", "buy_volume", "buy_quote_volume"), Decimal(1))
    fields |= {"first_sequence": 1, "last_sequence": 2}
    schema = {name: kind for name, kind in CANDLES.items() if name in fields}
    rows = pl.DataFrame([fields], schema=schema)
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
    served.hub.put([Batch("binance", {"ohlcv": row}) for row in rows])


def new_trade(now: datetime) -> pl.DataFrame:
    """A trade of BTC/USDT as the pipeline announces it."""
    row = {
        "exchange": "binance", "symbol": "BTC/USDT", "trade_id": "9", "sequence": 9,
        "timestamp": now, "received_at": now, "side": 2, "price": Decimal("777.5"),
        "quantity": Decimal("0.5"), "quote_volume": Decimal(1),
    }  # fmt: skip
    return pl.DataFrame([row], schema=TRADES)


def pixels(page: Page) -> bytes:
    return page.locator("#chart").screenshot()


def test_page_shows_stored_candles(page: Page) -> None:
    """The last candle as text, all of them in the chart, and the market's trades."""
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
    """Its price, drawing and status change; the next candle opens after it."""
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
    """The newest is on top, with the side of its taker."""
    trades = new_trade(datetime.now(UTC))
    served.hub.put([Batch("binance", {"silver_trades": trades}, trades)])
    first = page.locator("#tape-rows .row").first
    expect(first).to_contain_text("777.5")
    expect(first).to_have_attribute("data-side", "SELL")


def test_stalled_feed_is_shown_as_stalled(
    page: Page, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In its row and above the chart; the next frame makes it live again."""
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
    """After the queue has dropped batches the page reads the tables again."""
    store_candles(served.tables, COUNT + 5)
    empty = changed(0, "1", closed=False)
    served.hub.put([Batch("binance", {"dead_letters": pl.concat([empty] * 200_001)})])
    expect(page.locator("#legend")).to_contain_text("134.25")


def test_keys_toggle_theme_and_help(page: Page) -> None:
    """The help dialog lists the keys and closes with Escape."""
    before = page.evaluate("document.documentElement.dataset.theme")
    page.keyboard.press("t")
    assert page.evaluate("document.documentElement.dataset.theme") != before
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("timeframe")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()


@pytest.mark.parametrize(("width", "height"), [(390, 844), (768, 1024)])
def test_phone_shows_each_panel_without_scrolling_sideways(
    browser: Browser, served: Served, width: int, height: int
) -> None:
    """One panel at a time, chosen by tabs; the chart fills the width."""
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
