"""Other markets in the chart: a compared one, and all venues of an asset."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from candlewax.core.batch import Batch
from tests.support.databases import Databases
from tests.support.market_page import MarketPage, market_page
from tests.support.page_markets import COUNT, candle_of, store_markets
from tests.support.web_server import Served, serving
from tests.web.page.test_chart_tools import values
from tests.web.page.test_page import changed

pytestmark = pytest.mark.slow("a browser", seconds=30)


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


def test_second_venue_is_drawn_over_the_same_candles(page: MarketPage) -> None:
    """Only markets of the asset are offered; another market ends the comparison."""
    page.load()
    expect(page.at("#compare option")).to_have_text(["Compare with…", "BTC/USD Kraken"])
    page.at("#compare").select_option("kraken BTC/USD")
    page.until("() => candlewax.compared()?.some((point) => 'value' in point)")
    line = values(page.page.evaluate("candlewax.compared()"))
    assert line == {number: float(candle_of("BTC/USD", number)["close"]) for number in range(COUNT)}
    # 59 % 11 is 4: 70,140 against 70,040.
    expect(page.at("#legend")).to_contain_text("Kraken BTC/USD70,140.00 +0.14%")
    page.page.keyboard.press("5")
    page.until("() => candlewax.compared()?.filter((point) => 'value' in point).length === 1")
    page.page.keyboard.press("j")
    page.until("() => candlewax.compared() === null")
    expect(page.at("#compare")).to_have_value("")


def test_all_venues_are_drawn_with_their_spread(page: MarketPage) -> None:
    """In its own quote asset the market is alone; in all dollars the other venue is 100 more."""
    page.load()
    expect(page.at("#venues option")).to_have_text(
        ["Venues…", "Venues in USDT", "Venues in USD, USDT, USDC"]
    )
    page.at("#venues").select_option("dollars")
    page.until("() => candlewax.consolidated()?.bars.some((point) => 'close' in point)")
    drawn = page.page.evaluate("candlewax.consolidated()")
    kraken = {number: float(candle_of("BTC/USD", number)["close"]) for number in range(COUNT)}
    binance = {number: float(candle_of("BTC/USDT", number)["close"]) for number in range(COUNT)}
    assert values(drawn["venues"]["Kraken BTC/USD"]) == kraken
    assert values(drawn["venues"]["Binance BTC/USDT"]) == binance
    assert values(drawn["spread"]) == dict.fromkeys(range(COUNT), 100)
    bars = [{**point, "value": point["high"]} for point in drawn["bars"]]
    assert values(bars) == kraken
    # 100 of 70,040, and half of the volume each.
    expect(page.at("#legend")).to_contain_text("All venues70,140.00 · 2 venues · forming")
    expect(page.at("#legend")).to_contain_text("Spread100.00 (14.28 bp)")
    expect(page.at("#legend")).to_contain_text("Kraken BTC/USD70,140.00 50.0%")
    page.at("#venues").select_option("own")
    page.until("() => Object.keys(candlewax.consolidated().venues).length === 1")
    assert values(page.page.evaluate("candlewax.consolidated().spread")) == {}
    page.load()
    expect(page.at("#venues")).to_have_value("own")
    page.at("#venues").select_option("")
    assert page.page.evaluate("candlewax.consolidated()") is None


def test_late_answer_of_a_comparison_that_ended_is_not_drawn(page: MarketPage) -> None:
    """Nor do its failures reach the page."""
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.load()
    page.page.route("**/api/v1/ohlcv/**exchange=kraken**", hold)
    page.at("#compare").select_option("kraken BTC/USD")
    expect(page.at("#legend")).to_contain_text("Kraken BTC/USD\N{EN DASH}")
    while not held:
        page.page.wait_for_timeout(1)
    page.at("#compare").select_option("")
    for route in held:
        route.abort()
    page.page.unroute_all()
    expect(page.at("#legend")).not_to_contain_text("Kraken")
    assert page.page.evaluate("candlewax.compared()") is None
    page.errors.clear()


def test_comparison_that_a_switch_ended_is_not_offered_as_chosen(page: MarketPage) -> None:
    """Even if the compared market is offered for the next one too."""
    markets = [("binance", "BTC/USDT"), ("kraken", "BTC/USD"), ("coinbase", "BTC/USD")]
    rows = [{"exchange": exchange, "symbol": symbol, "trades": 9} for exchange, symbol in markets]
    page.page.route("**/api/v1/symbols", lambda route: route.fulfill(json={"data": rows}))
    page.load()
    page.at("#compare").select_option("coinbase BTC/USD")
    expect(page.at("#legend")).to_contain_text("Coinbase BTC/USD")
    page.at("#market-rows .row").filter(has_text="Kraken").click()
    expect(page.at("#exchange")).to_have_text("Kraken")
    expect(page.at("#compare")).to_have_value("")
    assert page.page.evaluate("candlewax.compared()") is None
    # The compared market has no candles.
    page.errors.clear()


def test_legend_shows_the_latest_of_all_venues_until_the_next_is_read(
    page: MarketPage, served: Served
) -> None:
    """With its time, as the market's candle is a later one."""
    page.load()
    page.at("#venues").select_option("dollars")
    expect(page.at("#legend")).to_contain_text("All venues70,140.00")
    served.hub.put([Batch("binance", {"ohlcv": changed(COUNT, "150.5", closed=False)})])
    expect(page.at("#price")).to_have_text("150.50")
    expect(page.at("#legend")).to_contain_text("All venues 2026-09-14 12:5970,140.00")


@pytest.mark.parametrize("height", [568, 800])
def test_spread_leaves_most_of_the_height_to_the_candles(page: MarketPage, height: int) -> None:
    """On a phone too, where the chart is low and the venues' own lines are not written over it."""
    page.page.set_viewport_size({"width": 320, "height": height})
    page.load()
    page.at("#venues").select_option("dollars")
    expect(page.at("#legend")).to_contain_text("Spread")
    expect(page.at("#legend .venue-1")).to_be_hidden()
    panes = page.at("#chart table tr:has(canvas)")
    candles, spread, *_ = panes.evaluate_all("(all) => all.map((one) => one.clientHeight)")
    assert candles > 2 * spread > 0


def test_each_of_fifteen_venues_has_a_line_of_its_own(page: MarketPage) -> None:
    """By its colour, and by dashes if all colours are taken; the legend shows both."""
    page.load()
    lines = page.page.evaluate(
        """async () => {
        const { venueLine } = await import('/static/js/consolidated.js');
        return [...Array(15).keys()].map((place) => JSON.stringify(venueLine(place)));
        }"""
    )
    assert len(set(lines)) == 15
    page.at("#venues").select_option("dollars")
    solid = page.at("#legend .venue-1 b")
    expect(solid).to_have_css("text-decoration-line", "none")
    solid.evaluate("(title) => title.parentElement.classList.add('dashed')")
    expect(solid).to_have_css("text-decoration-style", "dashed")


def test_line_is_pale_over_minutes_of_which_nothing_is_known(page: MarketPage) -> None:
    """A venue that was away drew no price meanwhile; one that proves no trade keeps its price."""
    page.load()
    colours = page.page.evaluate(
        """async () => {
        const { overGaps } = await import('/static/js/consolidated.js');
        const none = { isEmpty: true };
        const points = [{ value: 1 }, { value: 2 }, {}, none, { value: 3 }, none, { value: 4 }, {}];
        return overGaps(points, '#112233').map((point) => point.color ?? null);
        }"""
    )
    assert colours == [None, "#11223338", None, None, None, None, "#11223338", None]


def test_differing_candles_are_asked_for_again_after_a_failure(page: MarketPage) -> None:
    """After a pause, though the feed's time stands still; an answer is asked for once a minute."""
    page.load()
    asked = page.page.evaluate(
        """async () => {
        const { Reconciled } = await import('/static/js/reconciled.js');
        let asked = 0;
        const differing = async () => { if (++asked === 1) throw new Error('away'); return []; };
        const marks = new Reconciled({ differing }, { rows: new Map() }, () => {});
        const now = performance.now();
        const counts = [];
        for (const seconds of [0, 1, 20, 40]) {
            performance.now = () => now + seconds * 1000;
            marks.follow({ exchange: 'kraken', symbol: 'BTC/USD', timeframe: '1m' }, 0);
            await new Promise((resolve) => queueMicrotask(() => queueMicrotask(resolve)));
            counts.push(asked);
        }
        return counts;
    }"""
    )
    assert asked == [1, 1, 2, 2]
