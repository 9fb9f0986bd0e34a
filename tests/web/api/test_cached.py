"""Answers from the cache equal those from the tables."""

import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import polars as pl
import pytest

from candlewax.clickhouse.client import BusyError, Database, UnavailableError, open_tables
from candlewax.core.batch import Batch
from candlewax.web.cache.cache import CandleCache
from tests.support.api_candles import at, candle_json, follow, shown
from tests.support.web_server import (
    CANDLES,
    MARKET,
    Served,
    filled_tables,
    serving,
    store_candles,
)
from tests.web.page.test_page import changed

LONG = 1_500


@pytest.fixture(scope="module")
def served(engine: Database, engine_path: Path) -> Iterator[Served]:
    """A server with more candles than one page holds, all of them cached."""
    with (
        filled_tables(engine, engine_path, "of_warmth", LONG) as opened,
        serving(opened, engine_path) as served,
    ):
        end = time.monotonic() + 60
        while served.client.ask("/api/v1").json["candles_in_memory"] <= LONG:
            assert time.monotonic() < end
            time.sleep(0.02)
        yield served


@pytest.mark.parametrize("form", ["json", "csv", "parquet", "arrow"])
@pytest.mark.parametrize("span", [{}, {"to": at(1_200)}, {"from": at(7), "to": at(900)}])
def test_cached_page_equals_the_page_of_the_tables(
    served: Served, form: str, span: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte by byte in every format, without a query."""
    request = {**MARKET, **span, "format": form}
    with monkeypatch.context() as uncached:
        uncached.setattr(CandleCache, "page", lambda *_, **__: None)
        expected = served.client.ask(CANDLES, request)

    def refuse(*_: object, **__: object) -> pl.DataFrame:
        raise AssertionError("the tables were queried")

    monkeypatch.setattr(served.store, "candles", refuse)
    answer = served.client.ask(CANDLES, request)
    assert (answer.status, answer.headers.get("link")) == (200, expected.headers.get("link"))
    assert answer.body == expected.body


def test_stored_candle_is_in_the_next_answer(served: Served) -> None:
    """Without any client of the stream."""
    served.hub.put([Batch("binance", {"ohlcv": changed(LONG, "150.5", closed=False)})])
    (answer,) = served.client.ask(CANDLES, {**MARKET, "limit": 1}).rows
    assert (answer["window_start"], answer["close"]) == (at(LONG), "150.5")


def test_market_that_was_not_cached_is_read_from_the_tables(
    engine: Database, engine_path: Path
) -> None:
    """Its latest page and the page before it."""
    opened = open_tables(engine_path, "of_cold")
    try:
        with serving(opened, engine_path) as served:
            store_candles(opened, 1_500)
            pages = [served.client.ask(CANDLES, MARKET)]
            pages.append(follow(served.client, pages[0].json["next"]))
            rows = [*pages[1].rows, *pages[0].rows]
            assert shown(rows) == [candle_json(number) for number in range(1_500)]
    finally:
        opened.close()
        engine.client.command("DROP DATABASE of_cold SYNC")


def test_busy_database_has_another_error_code_than_one_away(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both answers are 503 and say when to retry."""
    for error, code in (
        (BusyError("later"), "database_busy"),
        (UnavailableError("none"), "database_away"),
    ):
        monkeypatch.setattr(served.store, "ask", Mock(side_effect=error))
        answer = served.client.ask("/api/v1/symbols")
        assert answer.refusal[:2] == (503, code)
        assert answer.headers["retry-after"] == "2"
