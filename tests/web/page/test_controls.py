"""Controls of the page: history, search, favourites, zones, tabs and notices."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Browser, expect

from candlewax.core.batch import Batch
from tests.support.databases import Databases
from tests.support.market_page import PATIENCE, MarketPage, market_page
from tests.support.page_markets import COUNT, LONG_COUNT, candle_of, minute, store_markets
from tests.support.web_server import Served, serving
from tests.web.page.test_page import changed, new_trade

pytestmark = pytest.mark.slow("a browser", seconds=30)

TABS = 8
"""Two more than a browser opens connections to a server."""


@pytest.fixture(scope="module")
def served(databases: Databases, engine_path: Path) -> Iterator[Served]:
    """A server over tables that no test changes."""
    with databases.one() as tables:
        store_markets(tables)
        with serving(tables, engine_path) as server:
            yield server


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[MarketPage]:
    with market_page(browser, served) as opened:
        yield opened


def test_eight_tabs_are_live_at_once(browser: Browser, served: Served) -> None:
    """Each receives the events of its own series, and can still read."""
    expect.set_options(timeout=PATIENCE)
    context = browser.new_context()
    tabs = [context.new_page() for _ in range(TABS)]
    for place, tab in enumerate(tabs):
        tab.goto(f"http://127.0.0.1:{served.client.port}/#binance/{_symbol(place)}/1m")
    for tab in tabs:
        expect(tab.locator("#legend")).to_contain_text("trades")
    served.hub.put([Batch("binance", {"ohlcv": changed(COUNT - 1, "150.5", closed=False)})])
    for place, tab in enumerate(tabs):
        if _symbol(place) == "BTC/USDT":
            expect(tab.locator("#price")).to_have_text("150.50")
        tab.keyboard.press("5")
        expect(tab.locator("#frames [aria-pressed=true]")).to_have_text("1h")
        expect(tab.locator("#legend")).to_contain_text("trades")
    context.close()


def _symbol(place: int) -> str:
    return ("BTC/USDT", "ETH/USDT")[place % 2]


def test_browser_history_goes_back_and_forth_through_the_series(page: MarketPage) -> None:
    """Each choice of market, timeframe and date is an entry; the first load is not."""
    page.load()
    page.at(
        "#market-rows .row",
    ).filter(has_text="ETH/USDT").click()
    page.until_series("ETH/USDT")
    page.page.keyboard.press("5")
    page.until_series("ETH/USDT", "1h")
    page.page.go_back()
    page.until_series("ETH/USDT")
    page.page.go_back()
    page.until_series("BTC/USDT")
    page.page.go_forward()
    page.until_series("ETH/USDT")
    page.page.go_forward()
    page.until_series("ETH/USDT", "1h")
    assert page.page.url.endswith("#binance/ETH/USDT/1h")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("#binance/BTC/USDT/7m", "7m is not one of 1m, 5m, 15m, 30m, 1h, 1d"),
        ("#hello", "#hello is not like #binance/BTC/USDT/1m"),
        ("#binance/BTC/USDT/1m@noon", "noon is not like 2026-09-14T22:00:00Z"),
    ],
)
def test_wrong_address_is_told_and_the_busiest_market_shown(
    page: MarketPage, address: str, reason: str
) -> None:
    """Until another series is chosen."""
    page.load(address)
    expect(page.at("#notice")).to_contain_text(reason)
    expect(page.at("#notice")).to_contain_text("This is the busiest market.")
    page.page.keyboard.press("5")
    expect(page.at("#notice")).to_be_hidden()


def test_market_without_trades_says_so(page: MarketPage, served: Served) -> None:
    """Until the first one comes."""
    page.load("#binance/ETH/USDT/1m")
    expect(page.at("#tape-rows .note")).to_have_text("No trades yet.")
    trades = new_trade(datetime.now(UTC)).with_columns(symbol=pl.lit("ETH/USDT"))
    served.hub.put([Batch("binance", {"silver_trades": trades}, trades)])
    expect(page.at("#tape-rows .row")).to_have_count(1)
    expect(page.at("#tape-rows .note")).to_have_count(0)


def test_typed_text_finds_markets_without_their_punctuation(page: MarketPage) -> None:
    """By symbol and by exchange; symbols that begin with the text come first."""
    page.load()
    page.page.keyboard.press("/")
    page.page.keyboard.type("btcusd")
    assert page.listed() == ["BTC/USDTBinance", "BTC/USDKraken"]
    page.page.keyboard.type(" krak")
    assert page.listed() == ["BTC/USDKraken"]
    page.at("#filter").fill("usd")
    assert len(page.listed()) == 5
    page.at("#filter").fill("nothing like it")
    assert page.listed() == []
    expect(page.at("#market-rows")).to_have_attribute("data-empty", "")


def test_arrow_keys_mark_a_market_and_enter_takes_it(page: MarketPage) -> None:
    """In the field and in the list; the mark wraps around the ends."""
    page.load()
    names = page.listed()
    page.at("#filter").focus()
    for key, place in (("ArrowDown", 0), ("ArrowDown", 1), ("ArrowUp", 0), ("ArrowUp", 4)):
        page.page.keyboard.press(key)
        expect(page.at("#market-rows [data-active] .name")).to_have_text(names[place])
    marked = page.at("#filter").get_attribute("aria-activedescendant")
    assert page.at("#market-rows [data-active]").get_attribute("id") == marked
    page.at("#market-rows").focus()
    page.page.keyboard.press("Home")
    page.page.keyboard.press("ArrowDown")
    page.page.keyboard.press("Enter")
    selected = page.at("#market-rows [aria-selected=true] .name")
    expect(selected).to_have_text(names[1])
    page.at("#chart").focus()
    page.page.keyboard.press("k")
    expect(selected).to_have_text(names[0])


def test_favourites_come_first_and_outlast_the_visit(page: MarketPage) -> None:
    """A key or the star makes one; a chip shows them alone."""
    page.load("#binance/PEPE/USDT/1m")
    expect(page.at("#market-rows .row .name").first).not_to_contain_text("PEPE")
    page.page.keyboard.press("s")
    expect(page.at("#favourite")).to_have_attribute("aria-pressed", "true")
    assert page.listed()[0].startswith("PEPE/USDT")
    page.load("#binance/BTC/USDT/1m")
    expect(page.at("#market-rows .row .name").first).to_contain_text("PEPE/USDT")
    page.page.get_by_role("button", name="Favourites").click()
    assert len(page.listed()) == 1
    page.load("#binance/PEPE/USDT/1m")
    page.at("#favourite").click()
    expect(page.at("#favourite")).to_have_attribute("aria-pressed", "false")
    assert not page.listed()[0].startswith("PEPE")


def test_small_prices_show_twelve_decimals_and_counts_are_grouped(page: MarketPage) -> None:
    """In header, list and legend alike."""
    page.load("#binance/PEPE/USDT/1m")
    # 59 % 7 is 3: four times the base.
    close = "0.000004938268"
    expect(page.at("#price")).to_have_text(close)
    expect(page.at("#market-rows [aria-selected=true] .figure").first).to_have_text(close)
    expect(page.at("#legend")).to_contain_text(f"C{close}")
    expect(page.at("#legend")).to_contain_text("trades12,404")


def test_times_are_in_utc_until_local_is_chosen(browser: Browser, served: Served) -> None:
    """The choice outlasts the visit; a day candle keeps its date in UTC."""
    expect.set_options(timeout=PATIENCE)
    context = browser.new_context(timezone_id="Asia/Kolkata")
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{served.client.port}/#binance/BTC/USDT/1m")
    legend, tape = page.locator("#legend time"), page.locator("#tape-rows time").first
    expect(legend).to_have_text("2026-09-14 12:59")
    expect(tape).to_have_text("12:00:00.000")
    page.keyboard.press("u")
    expect(legend).to_have_text("2026-09-14 18:29")
    expect(tape).to_have_text("17:30:00.000")
    expect(page.locator("#tape-zone")).to_have_text("time (local)")
    expect(page.locator("#clock")).to_contain_text("local")
    page.reload()
    expect(legend).to_have_text("2026-09-14 18:29")
    page.keyboard.press("6")
    expect(legend).to_have_text("2026-09-14")
    context.close()


def test_change_is_that_of_24_hours_of_the_feed(
    page: MarketPage, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the first candle within them; without one it is the day's, and is called so."""
    page.load("#binance/LONG/USDT/1m")
    expect(page.at("#change")).to_contain_text("today")
    expect(page.at("#markets .columns")).to_have_text("marketpricetoday")
    last = int(minute(LONG_COUNT - 1).timestamp() * 1_000_000)
    monkeypatch.setattr(served.live.clock, "feed_time_us", lambda _: last)
    page.load("#binance/LONG/USDT/1m")
    first = candle_of("LONG/USDT", LONG_COUNT - 1_440)["open"]
    change = (candle_of("LONG/USDT", LONG_COUNT - 1)["close"] / first - 1) * 100
    expect(page.at("#change")).to_have_text(f"{change:+.2f}% 24h".replace("-", "\N{MINUS SIGN}"))


def test_recording_is_called_replay(
    page: MarketPage, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recording is never called live, whatever the state of its feeds."""
    page.load()
    expect(page.at("#replay")).to_be_hidden()
    monkeypatch.setattr(served.live.clock, "pace", 20.0)
    expect(page.at("#replay")).to_have_text("REPLAY 20\N{MULTIPLICATION SIGN}")
    state = page.page.evaluate(
        """async () => {
        const { Feeds } = await import('/static/js/feeds.js');
        const feeds = new Feeds(document.createElement('div'));
        const report = { status: 'live', replay: 20, now: 0, feeds: [], trades_per_second: 0,
            frames_per_second: 0, received_to_stored_ms: { p50: null, p95: null } };
        feeds.show(report);
        feeds.state('live');
        return document.getElementById('state').dataset.state;
    }"""
    )
    assert state == "playing"
