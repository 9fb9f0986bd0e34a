"""Trades of an outage are requested by REST once it is over, where no gap shows them."""

import time
from datetime import UTC, datetime, timedelta

import pytest

from candlewax.clickhouse.client import Database
from candlewax.feeds.rest.client import Answer, Client
from candlewax.feeds.rest.span_fills import SpanFills
from candlewax.feeds.rest.span_pages import BackfillError, SpanCounts, pages
from candlewax.feeds.rest.start_fill import StartSpan
from candlewax.simulator.server import Simulator
from tests.support.mending import asked, hear, markets, played

pytestmark = pytest.mark.slow("each test stores trades of a played market", seconds=3)


def store_outage(tables: Database, exchange: str, began_us: int) -> None:
    """Store an outage, as the pipeline does once trades come again."""
    began = datetime.fromtimestamp(began_us / 1_000_000, UTC)
    names = ["exchange", "began", "ended", "shards", "shard"]
    row = [exchange, began, began + timedelta(seconds=1), 0, 0]
    tables.client.insert("outages", [row], column_names=names)


def span_fills(
    tables: Database, simulator: Simulator, exchange: str, answers: dict[str, list[Answer]]
) -> SpanFills:
    """Fills whose responses are kept by market. Waiting only moves the clock of the client."""
    (endpoint,) = asked(simulator, exchange).values()
    seconds = [1_000.0]

    def wait(pause_s: float) -> bool:
        seconds[0] += pause_s
        return True

    client = Client(endpoint.rest, endpoint.url, endpoint.key, wait=wait, now=lambda: seconds[0])

    def put(native_symbol: str, answer: Answer) -> None:
        answers.setdefault(native_symbol, []).append(answer)

    return SpanFills(tables, exchange, client, endpoint.rest, StartSpan(0), put, time.sleep)


@pytest.mark.parametrize("exchange", ["bitstamp", "gemini"])
def test_trades_of_an_outage_are_requested_once(tables: Database, exchange: str) -> None:
    """Of all markets, from a little before its begin on."""
    with played() as (simulator, _):
        hear(tables, simulator, exchange, lambda place, _: place == 0)
        answers: dict[str, list[Answer]] = {}
        fills = span_fills(tables, simulator, exchange, answers)
        fills.run()
        assert answers == {}
        times = sorted(t.time_us for each in markets(simulator, exchange).values() for t in each)
        began = times[len(times) // 2]
        store_outage(tables, exchange, began)
        fills.run()
        for native_symbol, trades in markets(simulator, exchange).items():
            received = {n for answer in answers[native_symbol] for n in answer.page.numbers}
            assert {t.trade_id for t in trades if t.time_us >= began} <= received
        answers.clear()
        fills.run()
        assert answers == {}


def test_outage_is_left_to_a_request_that_waits_and_reaches_back_further(tables: Database) -> None:
    """Otherwise each outage would add its requests to those that the exchange refuses."""
    with played() as (simulator, _):
        hear(tables, simulator, "bitstamp", lambda place, _: place == 0)
        fills = span_fills(tables, simulator, "bitstamp", {})
        began = simulator.journal[-1].trade.time_us
        simulator.fail_rate = 1
        store_outage(tables, "bitstamp", began)
        fills.run()
        refused = len(simulator.rest_log)
        assert refused > 0
        store_outage(tables, "bitstamp", began + 1_000_000)
        fills.run()
        assert len(simulator.rest_log) == refused
        store_outage(tables, "bitstamp", began - 1_000_000)
        fills.run()
        assert len(simulator.rest_log) == 2 * refused


def test_outage_is_left_to_gaps_where_numbers_show_them(tables: Database) -> None:
    with played() as (simulator, _):
        hear(tables, simulator, "binance", lambda place, _: place == 0)
        answers: dict[str, list[Answer]] = {}
        fills = span_fills(tables, simulator, "binance", answers)
        store_outage(tables, "binance", simulator.journal[0].trade.time_us)
        fills.run()
        assert answers == {}


def test_time_that_the_exchange_no_longer_shows_is_refused() -> None:
    """Bitstamp shows the last day."""
    with played(10) as (simulator, _):
        (endpoint,) = asked(simulator, "bitstamp").values()
        client = Client(endpoint.rest, endpoint.url)
        now_us = time.time_ns() // 1000
        span = now_us - 90_000 * 1_000_000, now_us
        found = pages(client, endpoint.rest, "btcusd", span, lambda _: None, SpanCounts())
        with pytest.raises(BackfillError, match="shows trades of the last 24 hours only"):
            next(found)
