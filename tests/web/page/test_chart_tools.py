"""Tools of the chart: overlays, past candles, fit, scale, picture and table."""

import csv
import struct
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from playwright.sync_api import Browser, expect

from candlewax.core.batch import Batch
from tests.support.databases import Databases
from tests.support.market_page import MarketPage, market_page
from tests.support.page_markets import COUNT, LONG_COUNT, candle_of, minute, store_markets
from tests.support.web_server import Served, serving
from tests.web.page.test_page import changed

pytestmark = pytest.mark.slow("a browser", seconds=30)

LONG = "#binance/LONG/USDT/1m"
MIDNIGHT = 720
"""Number of the minute at which the second day begins."""


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


def points(page: MarketPage, name: str) -> dict[int, float]:
    """Show an overlay; return its values by the number of the minute."""
    page.at(f"[data-overlay={name}]").click()
    return values(page.page.evaluate("(name) => candlewax.overlay(name)", name))


def values(line: list[dict[str, Any]]) -> dict[int, float]:
    begin = minute(0).timestamp()
    return {int(p["time"] - begin) // 60: p["value"] for p in line if "value" in p}


@pytest.mark.parametrize("length", [20, 50])
def test_moving_average_is_the_mean_of_the_last_closes(page: MarketPage, length: int) -> None:
    """It begins once there are as many candles."""
    page.load()
    closes = [Decimal(candle_of("BTC/USDT", number)["close"]) for number in range(COUNT)]
    right = {
        last: sum(closes[last + 1 - length : last + 1]) / length
        for last in range(length - 1, COUNT)
    }
    shown = points(page, f"ma{length}")
    assert shown.keys() == right.keys()
    assert all(shown[place] == pytest.approx(float(mean)) for place, mean in right.items())


def test_vwap_begins_at_midnight_and_lacks_a_day_loaded_in_part(page: MarketPage) -> None:
    """Quote volume by volume of the day; once its first candle is loaded the day has one too."""
    page.load(LONG)
    assert len(page.drawn()) == 1_000
    right = {}
    for first, end in ((0, MIDNIGHT), (MIDNIGHT, LONG_COUNT)):
        quote = volume = Decimal(0)
        for number in range(first, end):
            candle = candle_of("LONG/USDT", number)
            quote += candle["quote_volume"]
            volume += candle["volume"]
            right[number] = float(quote / volume)
    shown = points(page, "vwap")
    assert shown.keys() == set(range(MIDNIGHT, LONG_COUNT))
    for _ in range(12):
        page.page.keyboard.press("-")
    while len(page.drawn()) < LONG_COUNT:
        page.page.keyboard.press("ArrowLeft")
    whole = values(page.page.evaluate("candlewax.overlay('vwap')"))
    assert whole == pytest.approx(right)


def test_overlays_follow_the_forming_candle_and_outlast_the_visit(
    page: MarketPage, served: Served
) -> None:
    """The buyers' volume is the candle's; the legend names the lines."""
    page.load("#binance/ETH/USDT/1m")
    shown = points(page, "buyers")
    assert shown[COUNT - 1] == float(candle_of("ETH/USDT", COUNT - 1)["buy_volume"])
    points(page, "ma20")
    expect(page.at("#legend")).to_contain_text("MA 20")
    row = changed(COUNT - 1, "99", closed=False)
    served.hub.put([Batch("binance", {"ohlcv": row.with_columns(symbol=_symbol("ETH/USDT", row))})])
    page.until(f"() => candlewax.overlay('buyers').at({COUNT - 1}).value === 1")
    closes = [candle_of("ETH/USDT", number)["close"] for number in range(COUNT - 20, COUNT - 1)]
    mean = float((sum(closes) + 99) / 20)
    assert values(page.page.evaluate("candlewax.overlay('ma20')"))[COUNT - 1] == pytest.approx(mean)
    page.load("#binance/PEPE/USDT/1m")
    assert page.page.evaluate("candlewax.overlay('ma20').length") == COUNT - 19
    page.at("[data-overlay=ma20]").click()
    assert page.page.evaluate("candlewax.overlay('ma20')") is None


def _symbol(name: str, rows: pl.DataFrame) -> pl.Expr:
    return pl.lit(name).cast(rows.schema["symbol"])


def go_to(page: MarketPage, text: str) -> None:
    page.page.keyboard.press("g")
    page.at("#date").fill(text)
    page.page.keyboard.press("Enter")


def test_date_shows_past_candles_and_scrolling_reaches_the_present(
    page: MarketPage, served: Served
) -> None:
    """Updates of later candles are not drawn beside the past ones, until all between are read."""
    page.load(LONG)
    go_to(page, "2026-09-14T12:30")
    expect(page.at("#state")).to_have_attribute("data-state", "past")
    assert page.page.url.endswith("@2026-09-14T12:30:00Z")
    begin = minute(0).timestamp()
    assert [point["time"] for point in page.drawn()] == [begin + 60 * n for n in range(1_000)]
    seen = page.page.evaluate("candlewax.range()")
    assert seen["from"] <= 30 <= seen["to"]
    # The price is the latest one, not that of the last drawn candle.
    latest = candle_of("LONG/USDT", LONG_COUNT - 1)["close"]
    expect(page.at("#price")).to_have_text(f"{latest:,.2f}")
    row = changed(LONG_COUNT, "99", closed=False)
    served.hub.put(
        [Batch("binance", {"ohlcv": row.with_columns(symbol=_symbol("LONG/USDT", row))})]
    )
    served.client.ask("/api/v1/ohlcv/1m", {"exchange": "binance", "symbol": "LONG/USDT"})
    assert len(page.drawn()) == 1_000
    for _ in range(12):
        page.page.keyboard.press("-")
    while len(page.drawn()) == 1_000:
        page.page.keyboard.press("ArrowRight")
    expect(page.at("#state")).to_have_attribute("data-state", "waiting")
    times = [point["time"] for point in page.drawn()]
    assert times == [begin + 60 * n for n in range(LONG_COUNT + 1)]
    expect(page.at("#price")).to_have_text("99.00")


def test_key_returns_from_the_past_to_the_latest_candle(page: MarketPage) -> None:
    """The button does too; the address loses its time."""
    page.load(f"{LONG}@2026-09-14T12:30:00Z")
    expect(page.at("#state")).to_have_attribute("data-state", "past")
    expect(page.at("#now")).to_be_visible()
    page.page.keyboard.press("f")
    expect(page.at("#state")).to_have_attribute("data-state", "waiting")
    assert page.page.url.endswith(LONG)
    last = minute(LONG_COUNT - 1).timestamp()
    page.until("(last) => candlewax.drawn().at(-1)?.time >= last", last)
    expect(page.at("#now")).to_be_hidden()


def test_date_field_shows_the_time_of_the_address(page: MarketPage) -> None:
    """In the chosen zone, through the browser's history; the same date again returns to it."""
    page.load(f"{LONG}@2026-09-14T12:30:00Z")
    expect(page.at("#date")).to_have_value("2026-09-14T12:30")
    go_to(page, "2026-09-14T14:00")
    expect(page.at("#state")).to_have_attribute("data-state", "past")
    page.until("() => candlewax.range().from <= 120 && 120 <= candlewax.range().to")
    for _ in range(30):
        page.page.keyboard.press("ArrowLeft")
    page.until("() => candlewax.range().to < 120")
    go_to(page, "2026-09-14T14:00")
    page.until("() => candlewax.range().from <= 120 && 120 <= candlewax.range().to")
    page.page.go_back()
    expect(page.at("#date")).to_have_value("2026-09-14T12:30")
    page.page.keyboard.press("f")
    expect(page.at("#date")).to_have_value("")


def test_gap_outside_the_loaded_candles_is_gone_to(page: MarketPage) -> None:
    """The row of a gap leads to its candles, read or not."""
    gap = {
        "first_sequence": 1, "last_sequence": 2, "missing": 2, "state": "open",
        "before": "2026-09-14T12:30:10Z", "after": "2026-09-14T12:30:20Z",
    }  # fmt: skip
    page.page.route("**/api/v1/gaps?**", lambda route: route.fulfill(json={"data": [gap]}))
    page.load(LONG)
    page.at("#gap-rows .row").click()
    expect(page.at("#state")).to_have_attribute("data-state", "past")
    assert page.page.url.endswith("@2026-09-14T12:30:10Z")
    page.until("() => candlewax.range().from <= 30 && 30 <= candlewax.range().to")


def test_date_after_the_last_candle_shows_the_latest_ones(page: MarketPage) -> None:
    """An empty chart would be no answer."""
    page.load("#binance/BTC/USDT/1m@2031-01-01T00:00:00Z")
    assert len(page.drawn()) == COUNT
    expect(page.at("#state")).to_have_attribute("data-state", "waiting")


def test_new_timeframe_is_fitted(page: MarketPage) -> None:
    """However the chart was scrolled and zoomed before."""
    page.load(LONG)
    for key in ("+", "+", "+", *["ArrowLeft"] * 20):
        page.page.keyboard.press(key)
    assert page.page.evaluate("candlewax.range()")["to"] < LONG_COUNT - 1
    page.page.keyboard.press("5")
    page.until_series("LONG/USDT", "1h")
    seen = page.page.evaluate("candlewax.range()")
    assert seen["from"] <= 0
    assert seen["to"] >= len(page.drawn()) - 1
    page.page.keyboard.press("1")
    page.until_series("LONG/USDT")
    assert page.page.evaluate("candlewax.range()")["to"] >= 999


def test_prices_can_be_logarithmic(page: MarketPage) -> None:
    """The choice outlasts the visit."""
    page.load("#binance/PEPE/USDT/1m")
    linear = page.at("#chart").screenshot()
    page.page.keyboard.press("l")
    expect(page.at("#log")).to_have_attribute("aria-pressed", "true")
    assert page.at("#chart").screenshot() != linear
    page.load("#binance/PEPE/USDT/1m")
    expect(page.at("#log")).to_have_attribute("aria-pressed", "true")


def test_table_holds_the_loaded_candles_exactly(page: MarketPage, served: Served) -> None:
    """Each field as the API gives it."""
    page.load("#binance/PEPE/USDT/1m")
    with page.page.expect_download() as download:
        page.at("#table").click()
    assert download.value.suggested_filename == "candlewax-binance-PEPE-USDT-1m.csv"
    rows = list(csv.DictReader(download.value.path().read_text().splitlines()))
    parameters = {"exchange": "binance", "symbol": "PEPE/USDT"}
    right = served.client.ask("/api/v1/ohlcv/1m", parameters).rows
    assert rows == [
        {name: str(value).lower() if isinstance(value, bool) else str(value)
         for name, value in row.items()}
        for row in right
    ]  # fmt: skip


def test_picture_shows_the_chart_below_its_name(page: MarketPage) -> None:
    """It is a PNG as wide as the chart, and a line higher."""
    page.load()
    with page.page.expect_download() as download:
        page.at("#picture").click()
    assert download.value.suggested_filename == "candlewax-binance-BTC-USDT-1m.png"
    data = download.value.path().read_bytes()
    assert data.startswith(b"\x89PNG\r\n")
    width, height = struct.unpack(">II", data[16:24])
    box = page.at("#chart").bounding_box()
    assert box is not None
    assert width == pytest.approx(box["width"], abs=2)
    assert height == pytest.approx(box["height"] + 34, abs=2)


def test_candle_that_differs_from_the_exchanges_own_is_marked(
    page: MarketPage, served: Served
) -> None:
    """The legend shows the exchange's values; hours are not compared."""
    served.tables.command(
        "INSERT INTO reconciliations (exchange, symbol, window_start, result, version, fields, "
        "ours, theirs, compared_at) VALUES ('kraken', 'BTC/USD', "
        f"{int(minute(COUNT - 1).timestamp())}, 'differs', 1, ['close', 'volume'], ['1', '2'], "
        "['70123.4', '5'], now64(6))"
    )
    page.load("#kraken/BTC/USD/1m")
    page.until("() => candlewax.differing().length === 1")
    (mark,) = [one for one in page.page.evaluate("candlewax.marks()") if one["text"] == "≠"]
    assert mark["size"] == 0  # no dot, as that means missing trades
    assert mark["time"] == int(minute(COUNT - 1).timestamp())
    expect(page.at("#legend .differs")).to_have_text("≠ exchangeclose 70123.4, volume 5")
    page.load("#kraken/BTC/USD/1h")
    assert page.page.evaluate("candlewax.differing()") == []
