"""The page while requests fail, are slow or out of order, and while the server is away."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, expect

from candlewax.clickhouse.client import Database
from candlewax.core.batch import Batch
from candlewax.web.stream.batch_queue import BatchQueue
from tests.support.databases import Databases
from tests.support.faulty_web import COUNT, KINDS, Chosen, opened, store_series
from tests.support.web_server import Served, serving, store_trades
from tests.web.page.test_page import changed

pytestmark = pytest.mark.slow("a browser", seconds=30)

BTC = Chosen("BTC/USDT", "1m")
BTC_5M = Chosen("BTC/USDT", "5m")
ETH = Chosen("ETH/USDT", "1m")
ETH_5M = Chosen("ETH/USDT", "5m")


@pytest.fixture(scope="module")
def served(databases: Databases, engine_path: Path) -> Iterator[Served]:
    """A server over tables that no test changes."""
    with databases.one() as tables:
        store_series(tables, COUNT)
        store_trades(tables, 10)
        with serving(tables, engine_path) as server:
            yield server


@pytest.mark.parametrize(
    ("kind", "how"), [*((kind, "abort") for kind in KINDS), ("ohlcv", "html"), ("stream", "html")]
)
def test_page_retries_a_request_that_fails_at_the_start(
    browser: Browser, served: Served, kind: str, how: str
) -> None:
    """For each kind of request: the third attempt succeeds and the page is complete."""
    with opened(browser, served.client.port, BTC) as faulty:
        faulty.fail(kind, 2, how)
        faulty.load()
        faulty.until_failed(2)
        faulty.expect_drawn(served.client, BTC)
        expect(faulty.page.locator("#tape-rows .row")).to_have_count(10)
        expect(faulty.page.locator("#gaps-sum")).to_have_text("none")
        expect(faulty.page.locator("#market-rows .row")).to_have_count(2)
        expect(faulty.page.locator("#what")).to_have_text("a test")


@pytest.mark.parametrize(
    ("kind", "chosen"),
    [
        ("ohlcv", BTC_5M),
        ("ohlcv", ETH),
        ("stream", ETH_5M),
        ("trades", ETH),
        ("gaps", ETH_5M),
    ],
)
def test_failed_request_after_a_change_leaves_nothing_of_the_previous_series(
    browser: Browser, served: Served, kind: str, chosen: Chosen
) -> None:
    """The chart is cleared, and shows the chosen series once its requests succeed."""
    with opened(browser, served.client.port, BTC) as faulty:
        faulty.load()
        faulty.expect_drawn(served.client, BTC)
        faulty.fail(kind, 2, "abort")
        faulty.choose(chosen)
        faulty.until_failed(2)
        faulty.expect_drawn(served.client, chosen)


@pytest.mark.parametrize(
    ("kind", "backwards"),
    [("ohlcv", False), ("ohlcv", True), ("stream", True), ("trades", False), ("gaps", True)],
)
def test_delayed_requests_end_in_the_series_chosen_last(
    browser: Browser, served: Served, kind: str, *, backwards: bool
) -> None:
    """In any order of their answers."""
    with opened(browser, served.client.port, BTC) as faulty:
        faulty.load()
        faulty.expect_drawn(served.client, BTC)
        faulty.hold(kind)
        for chosen in (ETH, ETH_5M, BTC_5M, ETH):
            faulty.choose(chosen)
        faulty.until_held(ETH.symbol)
        faulty.release(kind, backwards=backwards)
        faulty.expect_drawn(served.client, ETH)


def test_chart_is_empty_and_says_so_while_candles_load(browser: Browser, served: Served) -> None:
    """It shows no price, candle or trade of the previous series."""
    with opened(browser, served.client.port, BTC) as faulty:
        faulty.load()
        faulty.expect_drawn(served.client, BTC)
        for kind in ("ohlcv", "trades", "gaps"):
            faulty.hold(kind)
        faulty.choose(ETH)
        page = faulty.page
        expect(page.locator("#empty")).to_have_text("Loading ETH/USDT 1m…")
        expect(page.locator("#state")).to_have_attribute("data-state", "loading")
        assert page.evaluate("candlewax.drawn()") == []
        expect(page.locator("#legend")).to_be_empty()
        # The market's day candle from the stream, not the previous market.
        expect(page.locator("#price")).to_have_attribute("data-close", "100000")
        expect(page.locator("#tape-rows .row")).to_have_count(0)
        expect(page.locator("#gaps-sum")).to_be_empty()
        for kind in ("ohlcv", "trades", "gaps"):
            faulty.release(kind)
        faulty.page.reload()
        faulty.expect_drawn(served.client, ETH)


@pytest.mark.parametrize("kind", ["stream", "ohlcv"])
def test_page_drops_updates_of_another_series(browser: Browser, served: Served, kind: str) -> None:
    """Updates are dropped by the series they name, on any stream."""
    foreign = {
        "window_start": "2026-09-14T12:00:00Z", "open": "77777", "high": "77777", "low": "77777",
        "close": "77777", "volume": "1", "trade_count": 1, "closed": True, "status": "complete",
    }  # fmt: skip
    names = {"exchange": "binance", "symbol": "ETH/USDT", "timeframe": "1m"}
    event = json.dumps({**names, "received_us": None, "data": [foreign]})
    body = f"retry: 1000\n\nevent: candles\ndata: {event}\n\n"
    routes: list[Route] = []

    def answer(route: Route) -> None:
        routes.append(route)
        if len(routes) > 2:
            route.fallback()
        else:
            route.fulfill(body=body, content_type="text/event-stream")

    with opened(browser, served.client.port, BTC) as faulty:
        if kind != "stream":
            faulty.fail(kind, 1, "abort")
        faulty.page.route(KINDS["stream"], answer)
        faulty.load()
        faulty.expect_drawn(served.client, BTC)
        assert len(routes) == 3


@pytest.mark.parametrize("chosen", [BTC, ETH_5M])
def test_page_follows_a_restarted_server(
    browser: Browser, tables: Database, engine_path: Path, chosen: Chosen
) -> None:
    """Candles stored while it was away are shown, for the series chosen meanwhile."""
    store_series(tables, COUNT)
    with serving(tables, engine_path) as served:
        port = served.client.port
        context = opened(browser, port, BTC)
        faulty = context.__enter__()
        faulty.load()
        faulty.expect_drawn(served.client, BTC)
    page = faulty.page
    expect(page.locator("#empty")).to_contain_text("server does not answer")
    expect(page.locator("#state")).to_have_attribute("data-state", "lost")
    if chosen != BTC:
        faulty.choose(chosen)
        expect(page.locator("#state")).to_have_attribute("data-state", "retrying")
        assert page.evaluate("candlewax.drawn()") == []
    store_series(tables, COUNT + 3, shift=5)
    with serving(tables, engine_path, port=port) as served:
        faulty.expect_drawn(served.client, chosen, COUNT + 3)
        context.__exit__(None, None, None)


def test_page_reopens_a_broken_stream_and_reads_what_it_missed(
    browser: Browser, tables: Database, engine_path: Path
) -> None:
    """Candles that were stored while no stream was open are drawn."""
    store_series(tables, COUNT)
    with (
        serving(tables, engine_path) as served,
        opened(browser, served.client.port, BTC) as faulty,
    ):
        faulty.load()
        faulty.expect_drawn(served.client, BTC)
        faulty.hold("stream")
        served.live.end()
        expect(faulty.page.locator("#state")).to_have_attribute("data-state", "lost")
        news = [changed(COUNT + 1, "150.5", closed=True), changed(COUNT + 2, "151", closed=False)]
        served.hub.put([Batch("binance", {"ohlcv": rows}) for rows in news])
        served.live._has_ended = False  # noqa: SLF001 - the server admits clients again
        faulty.release("stream")
        faulty.expect_drawn(served.client, BTC, COUNT + 2)


def test_page_retries_an_unknown_market_until_it_is_known(
    browser: Browser, tables: Database, engine_path: Path
) -> None:
    """Its candles are shown once the first are stored."""
    with (
        serving(tables, engine_path, BatchQueue()) as served,
        opened(browser, served.client.port, ETH) as faulty,
    ):
        faulty.load()
        empty = faulty.page.locator("#empty")
        expect(empty).to_have_text("nothing is stored of ETH/USDT at binance. Retrying…")
        store_series(tables, COUNT)
        faulty.expect_drawn(served.client, ETH)
