"""Trades of an outage are requested by REST once it is over, where no gap shows them."""

import time
from datetime import UTC, datetime

import pytest

from candlewax.clickhouse.client import Database
from candlewax.feeds.rest.client import Answer, Client
from candlewax.feeds.rest.span_fills import SpanFills
from candlewax.feeds.rest.span_pages import BackfillError, SpanCounts, pages
from candlewax.feeds.rest.start_fill import StartSpan
from candlewax.simulator.server import Simulator
from tests.support.mending import asked, hear, markets, played, with_other_ids
from tests.support.playing import INSTRUMENTS

pytestmark = pytest.mark.slow("each test stores trades of a played market", seconds=3)


def store_market_outage(
    tables: Database, exchange: str, symbol: str, began_us: int, ended_us: int
) -> None:
    """Store an outage of a market, 0 for an end that is yet to come."""
    moments = [datetime.fromtimestamp(time_us / 1_000_000, UTC) for time_us in (began_us, ended_us)]
    names = ["exchange", "symbol", "began", "since", "ended"]
    row = [exchange, symbol, moments[0], moments[0], moments[1]]
    tables.client.insert("market_outages", [row], column_names=names)


def span_fills(
    tables: Database,
    simulator: Simulator,
    exchange: str,
    answers: dict[str, list[Answer]],
    settle_s: float = 0.0,
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

    parts = tables, exchange, client, endpoint.rest, StartSpan(0), put, time.sleep
    return SpanFills(*parts, settle_s=settle_s)


def store_outage(
    tables: Database, simulator: Simulator, exchange: str, began_us: int, ended_us: int = 0
) -> None:
    """Store an outage of all markets, as if the last connection was lost; it ended now."""
    for native_symbol in markets(simulator, exchange):
        instrument = INSTRUMENTS.resolve(exchange, native_symbol)
        assert instrument
        ended = ended_us or time.time_ns() // 1000
        store_market_outage(tables, exchange, instrument.symbol, began_us, ended)


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
        store_outage(tables, simulator, exchange, began)
        fills.run()
        for native_symbol, trades in markets(simulator, exchange).items():
            received = {n for answer in answers[native_symbol] for n in answer.page.numbers}
            assert {t.trade_id for t in trades if t.time_us >= began} <= received
        answers.clear()
        fills.run()
        assert answers == {}


def requested(answers: dict[str, list[Answer]]) -> dict[str, set[int]]:
    """Return the ids of the trades that came, by market, and forget them."""
    found = {
        native_symbol: {number for answer in each for number in answer.page.numbers}
        for native_symbol, each in answers.items()
    }
    answers.clear()
    return found


def test_trades_of_a_market_outage_are_requested_once_it_is_over(tables: Database) -> None:
    """Of that market only; another one that ends later, and began earlier, is requested too."""
    with played() as (simulator, _):
        hear(tables, simulator, "bitstamp", lambda place, _: place == 0)
        answers: dict[str, list[Answer]] = {}
        fills = span_fills(tables, simulator, "bitstamp", answers)
        of_market = markets(simulator, "bitstamp")
        native_symbol, trades = next(iter(of_market.items()))
        found = INSTRUMENTS.resolve("bitstamp", native_symbol)
        assert found
        assert len(of_market) > 1
        began, now = trades[len(trades) // 2].time_us, time.time_ns() // 1000
        store_market_outage(tables, "bitstamp", found.symbol, began, 0)
        fills.run()
        assert requested(answers) == {}
        store_market_outage(tables, "bitstamp", found.symbol, began, now)
        fills.run()
        received = requested(answers)
        assert received.keys() == {native_symbol}
        assert {t.trade_id for t in trades if t.time_us >= began} <= received[native_symbol]
        fills.run()
        assert requested(answers) == {}
        store_market_outage(tables, "bitstamp", found.symbol, trades[0].time_us, now - 1)
        fills.run()
        assert {t.trade_id for t in trades} <= requested(answers)[native_symbol]


def test_outages_before_the_start_are_requested_if_they_are_recent(tables: Database) -> None:
    """The process before may have been killed before it had requested them."""
    with played() as (simulator, _):
        hear(tables, simulator, "bitstamp", lambda place, _: place == 0)
        native_symbols = list(markets(simulator, "bitstamp"))
        names = [INSTRUMENTS.resolve("bitstamp", native) for native in native_symbols]
        first, second = (instrument.symbol for instrument in names[:2] if instrument)
        answers: dict[str, list[Answer]] = {}
        now = time.time_ns() // 1000
        store_market_outage(tables, "bitstamp", first, now - 60_000_000, now - 50_000_000)
        old = now - 2 * 3_600_000_000
        store_market_outage(tables, "bitstamp", second, old, old + 1)
        span_fills(tables, simulator, "bitstamp", answers).run()
        assert requested(answers).keys() == {native_symbols[0]}


def test_outage_is_requested_once_its_trades_had_time_to_be_shown(tables: Database) -> None:
    with played() as (simulator, _):
        hear(tables, simulator, "bitstamp", lambda place, _: place == 0)
        answers: dict[str, list[Answer]] = {}
        fills = span_fills(tables, simulator, "bitstamp", answers, settle_s=1e6)
        began = time.time_ns() // 1000 - 60_000_000
        store_outage(tables, simulator, "bitstamp", began)
        fills.run()
        assert requested(answers) == {}
        fills = span_fills(tables, simulator, "bitstamp", answers, settle_s=10)
        store_outage(tables, simulator, "bitstamp", began - 1, began + 1_000_000)
        fills.run()
        assert requested(answers)


def test_outage_is_left_to_a_request_that_waits_and_reaches_back_further(tables: Database) -> None:
    """Otherwise each outage would add its requests to those that the exchange refuses."""
    with played() as (simulator, _):
        hear(tables, simulator, "bitstamp", lambda place, _: place == 0)
        fills = span_fills(tables, simulator, "bitstamp", {})
        began = simulator.journal[-1].trade.time_us
        simulator.fail_rate = 1
        store_outage(tables, simulator, "bitstamp", began)
        fills.run()
        refused = len(simulator.rest_log)
        assert refused > 0
        store_outage(tables, simulator, "bitstamp", began + 1_000_000)
        fills.run()
        assert len(simulator.rest_log) == refused
        store_outage(tables, simulator, "bitstamp", began - 1_000_000)
        fills.run()
        assert len(simulator.rest_log) == 2 * refused


def test_outage_is_left_to_gaps_where_numbers_show_them(tables: Database) -> None:
    with played() as (simulator, _):
        hear(tables, simulator, "binance", lambda place, _: place == 0)
        answers: dict[str, list[Answer]] = {}
        fills = span_fills(tables, simulator, "binance", answers)
        store_outage(tables, simulator, "binance", simulator.journal[0].trade.time_us)
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


def test_outage_is_not_filled_with_trades_that_would_count_twice(
    tables: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so, and the market is not requested again."""
    ask = Client.ask
    monkeypatch.setattr(Client, "ask", lambda self, path: with_other_ids(ask(self, path)))
    with played(1500) as (simulator, _):
        hear(tables, simulator, "gemini", lambda *_: True)
        answers: dict[str, list[Answer]] = {}
        fills = span_fills(tables, simulator, "gemini", answers)
        store_outage(tables, simulator, "gemini", simulator.journal[0].trade.time_us)
        fills.run()
        assert answers == {}
        names = markets(simulator, "gemini").keys()
        assert len(caplog.messages) == len(names)
        for name, message in zip(names, caplog.messages, strict=True):
            assert f"trades of {name} since" in message
            assert "by other ids than the websocket" in message
            assert "not asked for again before the next start" in message
        requests = len(simulator.rest_log)
        fills.run()
        assert len(simulator.rest_log) == requests
