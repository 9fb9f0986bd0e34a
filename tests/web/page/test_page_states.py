"""The state that the page shows: messages above the chart, the price, the cross-check."""

import base64
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal

import polars as pl
import pytest
from playwright.sync_api import Browser, Page, expect

from candlewax.clickhouse.client import Database
from candlewax.core.batch import Batch
from tests.support.faulty_web import COUNT, KINDS, Chosen, Faulty, opened, store_series
from tests.support.web_server import BEGIN, Served, serving
from tests.web.page.test_page import changed

pytestmark = pytest.mark.slow("a browser", seconds=30)

BTC: Final = Chosen("BTC/USDT", "1m")
SCHEMES: Final[tuple[Literal["dark", "light"], ...]] = ("dark", "light")
NOWHERE: Final = Chosen("DOT/USDT", "1m")

AWAY: Final = {"code": "database_away", "message": "tables.example does not answer"}

_COUNT_COLOUR: Final = """async ([data, colour]) => {
    const image = new Image();
    image.src = `data:image/png;base64,${data}`;
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const { data: points } = context.getImageData(0, 0, image.width, image.height);
    const [red, green, blue] = colour.match(/\\d+/g).map(Number);
    let count = 0;
    for (let place = 0; place < points.length; place += 4) {
        const [r, g, b] = points.slice(place, place + 3);
        if (r === red && g === green && b === blue) count += 1;
    }
    return count;
}"""


@pytest.fixture
def served(tables: Database, engine_path: Path) -> Iterator[Served]:
    store_series(tables, COUNT)
    with serving(tables, engine_path) as server:
        yield server


def answer(faulty: Faulty, kind: str, status: int, body: object) -> None:
    """Answer each request of a kind with this status and body."""
    text = json.dumps(body)
    faulty.page.route(
        KINDS[kind],
        lambda route: route.fulfill(status=status, body=text, content_type="application/json"),
    )


_ANSWERED: Final[dict[str, tuple[int, object, str]]] = {
    "empty": (200, {"data": [], "next": None}, "No candles of BTC/USDT 1m yet"),
    "error": (
        500,
        {"error": {"code": "failed", "message": "this failed"}},
        "this failed. Retrying",
    ),
    "database": (503, {"error": AWAY}, "The database is away: tables.example does not answer"),
}
"""For each state, the answer to requests for candles and the text that the page must show."""


def enter_state(faulty: Faulty, state: str, served: Served) -> str:
    """Bring the page into a state; return a part of the text that it must show."""
    if state in _ANSWERED:
        status, body, text = _ANSWERED[state]
        answer(faulty, "ohlcv", status, body)
        faulty.load()
        return text
    if state == "loading":
        faulty.hold("ohlcv")
    faulty.load()
    if state == "loading":
        return "Loading BTC/USDT 1m"
    if state == "unknown":
        return "nothing is stored of DOT/USDT"
    faulty.expect_drawn(served.client, BTC)
    return _lose_connection(faulty, state, served)


def _lose_connection(faulty: Faulty, state: str, served: Served) -> str:
    if state == "database, with candles":
        answer(faulty, "health", 503, {"error": AWAY})
        return "The database is away: tables.example does not answer"
    for kind in KINDS:
        faulty.page.route(KINDS[kind], lambda route: route.abort())
    served.live.end()
    return "The server does not answer"


def count_text_pixels(page: Page) -> int:
    """Count the pixels of the message's box that have the colour of its text."""
    box = page.locator("#empty").bounding_box()
    assert box is not None
    picture = page.screenshot(
        clip={"x": box["x"], "y": box["y"], "width": box["width"], "height": box["height"]}
    )
    colour = page.evaluate("getComputedStyle(document.getElementById('empty')).color")
    given = [base64.b64encode(picture).decode(), colour]
    return int(page.evaluate(_COUNT_COLOUR, given))


@pytest.mark.parametrize(
    "state",
    ["loading", "empty", "unknown", "error", "database", "database, with candles", "server away"],
)
def test_message_is_visible_above_the_chart_in_both_themes(
    browser: Browser, served: Served, state: str
) -> None:
    """Its text is drawn in the dark and the light theme, and vanishes if it is hidden."""
    chosen = NOWHERE if state == "unknown" else BTC
    with opened(browser, served.client.port, chosen) as faulty:
        text = enter_state(faulty, state, served)
        page = faulty.page
        expect(page.locator("#empty")).to_contain_text(text)
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            expect(page.locator("html")).to_have_attribute("data-theme", scheme)
            page.evaluate("Promise.all(document.getAnimations().map((one) => one.finished))")
            assert count_text_pixels(page) > 40
            page.evaluate("document.getElementById('empty').style.visibility = 'hidden'")
            assert count_text_pixels(page) < 8
            page.evaluate("document.getElementById('empty').style.visibility = ''")


_SAMPLE: Final = """() => {
    window.prices = [];
    const number = (text) => Number(text.replaceAll(',', ''));
    const cells = () => ({
        header: number(document.getElementById('price').value),
        list: number(
            document.querySelector('#market-rows [aria-selected=true] .figure').textContent),
        legend: number(document.querySelectorAll('#legend span')[3].lastChild.textContent),
        chart: candlewax.drawn().at(-1).close,
    });
    const all = { subtree: true, childList: true, characterData: true };
    new MutationObserver(() => window.prices.push(cells())).observe(document.body, all);
}"""


def day(close: str, number: int) -> pl.DataFrame:
    """The day's candle of the market, with this close."""
    start = pl.lit(BEGIN.replace(hour=0)).cast(pl.Datetime("us", "UTC"))
    rows = changed(number, close, closed=False)
    kind = rows.schema["window_start"]
    return rows.with_columns(
        timeframe=pl.lit(6, rows.schema["timeframe"]), window_start=start.cast(kind)
    )


def test_header_list_and_candle_show_one_price_after_every_event(
    browser: Browser, served: Served
) -> None:
    """Even if the day's price arrives before or after the candle's."""
    with opened(browser, served.client.port, BTC) as faulty:
        faulty.load()
        faulty.expect_drawn(served.client, BTC)
        page = faulty.page
        expect(page.locator("#price")).to_have_text("111.00")
        page.evaluate(_SAMPLE)
        for number in range(12):
            close = f"{200 + number}.25"
            rows = [changed(COUNT, close, closed=False), day(f"{500 + number}.5", COUNT + number)]
            for sample in rows if number % 2 else reversed(rows):
                served.hub.put([Batch("binance", {"ohlcv": sample})])
            expect(page.locator("#price")).to_have_text(close)
        # The other market's price in the list is that of its day, which needs an event.
        other = day("900.75", COUNT + 20)
        symbol = pl.lit("ETH/USDT").cast(other.schema["symbol"])
        other = other.with_columns(symbol=symbol)
        served.hub.put([Batch("binance", {"ohlcv": other})])
        expect(page.locator("#market-rows .row", has_text="ETH")).to_contain_text("900.75")
        samples: list[dict[str, float]] = page.evaluate("window.prices")
        seen = {sample["header"] for sample in samples}
        assert [sample for sample in samples if len(set(sample.values())) > 1] == []
        assert {Decimal(str(price)) for price in seen} >= {Decimal("211.25")}


def report(**fields: Any) -> dict[str, Any]:
    """An answer of `health` with these fields."""
    waits = dict.fromkeys(("p50", "p95", "p99"))
    rates = {"frames_per_second": 0.0, "trades_per_second": 0.0, "frames": 0, "trades": 0}
    return {
        "status": "waiting",
        "now": 0,
        "feeds": [],
        **rates,
        "received_to_stored_ms": waits,
        **fields,
    }


def checked(mismatches: int) -> dict[str, Any]:
    missing = {"missing_in_gold": 0, "missing_in_check": 0}
    time = {"checked_at": "2026-10-05T07:08:09Z", "candles": 1234}
    return {**time, "mismatches": mismatches, **missing}


@pytest.mark.parametrize(
    ("check", "state", "text", "width"),
    [
        ({}, None, "", 1280),
        ({"cross_check": None}, "none", "not checked yet", 1280),
        ({"cross_check": checked(0)}, "passed", "1,234 candles agree", 1280),
        ({"cross_check": checked(5)}, "alarm", "5 of 1,234 candles are wrong", 1280),
        ({"cross_check": checked(5)}, "alarm", "5 of 1,234 candles are wrong", 360),
    ],
)
def test_page_shows_the_last_cross_check(
    browser: Browser,
    served: Served,
    check: dict[str, Any],
    state: str | None,
    text: str,
    width: int,
) -> None:
    """A difference is an alarm, on a phone too; without a result the page shows none."""
    with opened(browser, served.client.port, BTC) as faulty:
        faulty.page.set_viewport_size({"width": width, "height": 740})
        answer(faulty, "health", 200, report(**check))
        faulty.load()
        faulty.expect_drawn(served.client, BTC)
        box = faulty.page.locator("#check")
        if state is None:
            expect(box).to_be_hidden()
        else:
            expect(box).to_have_attribute("data-state", state)
            expect(box).to_contain_text(text)
        if state == "alarm":
            expect(box).to_be_in_viewport(ratio=0.99)
        assert faulty.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_refused_parameter_is_named(browser: Browser, served: Served) -> None:
    """The API's message begins after the name."""
    with opened(browser, served.client.port, BTC) as faulty:
        faulty.page.goto(f"http://127.0.0.1:{served.client.port}/#nowhere/BTC/USDT/1m")
        expect(faulty.page.locator("#empty")).to_contain_text("exchange takes one of binance,")
        expect(faulty.page.locator("#empty")).to_contain_text("got 'nowhere'")


def test_delays_of_storing_have_units_of_their_own(browser: Browser, served: Served) -> None:
    """A median of seconds is not shown as a bare number of milliseconds."""
    with opened(browser, served.client.port, BTC) as faulty:
        waits = {"p50": 1_165.0, "p95": 2_300.0, "p99": 2_400.0}
        answer(faulty, "health", 200, report(received_to_stored_ms=waits))
        faulty.load()
        expect(faulty.page.locator("#stored")).to_have_text("1.2 s / 2.3 s")


def test_page_recovers_when_the_database_is_back(browser: Browser, served: Served) -> None:
    """The message that it is away disappears; candles read meanwhile are kept."""
    with opened(browser, served.client.port, BTC) as faulty:
        answer(faulty, "health", 503, {"error": AWAY})
        answer(faulty, "ohlcv", 503, {"error": AWAY})
        faulty.load()
        page = faulty.page
        expect(page.locator("#state")).to_have_attribute("data-state", "database")
        expect(page.locator("#state")).to_contain_text("database away")
        page.unroute(KINDS["ohlcv"])
        faulty.until("() => candlewax.drawn().length > 0")
        expect(page.locator("#empty")).to_contain_text("The database is away")
        page.unroute(KINDS["health"])
        faulty.expect_drawn(served.client, BTC)
