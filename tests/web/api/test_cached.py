"""What the cache answers is what the tables say."""

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
    serving,
    store_candles,
)
from tests.web.page.test_page import changed

LONG = 1_500


@pytest.fixture(scope="module")
def long(engine: Database, engine_path: Path) -> Iterator[Served]:
    """More candles than an answer has, all of them read."""
    opened = open_tables(engine_path, "of_warmth")
    store_candles(opened, LONG)
    with serving(opened, engine_path) as served:
        end = time.monotonic() + 60
        while served.client.ask("/api/v1").json["candles_in_memory"] <= LONG:
            assert time.monotonic() < end
            time.sleep(0.02)
        yield served
    opened.close()
    engine.client.command("DROP DATABASE of_warmth SYNC")


@pytest.mark.parametrize("form", ["json", "csv", "parquet", "arrow"])
@pytest.mark.parametrize("span", [{}, {"to": at(1_200)}, {"from": at(7), "to": at(900)}])
def test_what_is_kept_says_what_the_tables_say(
    long: Served, form: str, span: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte by byte, in every form; and the tables are not asked."""
    given = {**MARKET, **span, "format": form}
    with monkeypatch.context() as only:
        only.setattr(CandleCache, "page", lambda *_, **__: None)
        expected = long.client.ask(CANDLES, given)

    def refuse(*_: object, **__: object) -> pl.DataFrame:
        raise AssertionError("the tables were asked")

    monkeypatch.setattr(long.store, "candles", refuse)
    answer = long.client.ask(CANDLES, given)
    assert (answer.status, answer.headers.get("link")) == (200, expected.headers.get("link"))
    assert answer.body == expected.body


def test_what_was_just_stored_is_in_the_next_answer(long: Served) -> None:
    """Without anybody watching a page."""
    long.hub.put([Batch("binance", {"ohlcv": changed(LONG, "150.5", closed=False)})])
    (answer,) = long.client.ask(CANDLES, {**MARKET, "limit": 1}).rows
    assert (answer["window_start"], answer["close"]) == (at(LONG), "150.5")


def test_of_a_market_that_nobody_read_yet_the_last_candles_are_there(
    engine: Database, engine_path: Path
) -> None:
    """And older ones are asked of the tables."""
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


def test_a_busy_database_is_not_called_away(long: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are for now, and may be asked again."""
    for error, code in (
        (BusyError("later"), "database_busy"),
        (UnavailableError("none"), "database_away"),
    ):
        monkeypatch.setattr(long.store, "ask", Mock(side_effect=error))
        answer = long.client.ask("/api/v1/symbols")
        assert answer.refusal[:2] == (503, code)
        assert answer.headers["retry-after"] == "2"
