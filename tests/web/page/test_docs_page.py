"""The documentation of the API in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from candlewax.clickhouse.client import Database
from tests.support.browser import lent
from tests.support.web_server import Client, filled_tables, serving

pytestmark = pytest.mark.slow("a browser", seconds=5)


@pytest.fixture(scope="module")
def client(engine: Database, engine_path: Path) -> Iterator[Client]:
    with (
        filled_tables(engine, engine_path, "of_docs_page", 3, 3) as tables,
        serving(tables, engine_path) as served,
    ):
        yield served.client


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with lent(browser) as opened:
        yield opened


def test_documentation_shows_every_address_without_another_site(page: Page, client: Client) -> None:
    """From the OpenAPI document; the content policy stops nothing. Examples lead to answers."""
    own = f"http://127.0.0.1:{client.port}"
    urls: list[str] = []
    errors: list[str] = []
    page.on("request", lambda request: urls.append(request.url))
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.goto(f"{own}/docs")
    paths = client.ask("/openapi.json").json["paths"]
    expect(page.locator("section")).to_have_count(len(paths))
    assert {one.inner_text() for one in page.locator("h3 code").all()} == set(paths)
    assert all(url.startswith(own) for url in urls)
    assert errors == []
    candles = str(page.locator("#getCandles pre a").evaluate("link => link.href"))
    assert len(client.ask(candles.removeprefix(own)).rows) == 3
    expect(page.locator("#getCandles")).to_contain_text("one of binance, binance_usdm")
