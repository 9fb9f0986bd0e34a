"""REST answers must name received trades by the ids that the websocket gave them."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from candlewax.clickhouse.client import Database
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.rest.client import Answer, Client
from candlewax.feeds.rest.id_check import IdCheck
from candlewax.feeds.rest.span_pages import BackfillError, SpanCounts, pages
from candlewax.simulator.server import Simulator
from tests.support.mending import OTHER_IDS, asked, hear, markets, played, with_other_ids

pytestmark = pytest.mark.slow("each test stores trades of a played market", seconds=4)


@pytest.fixture(params=["bitstamp", "gemini"])
def exchange(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with played(1500) as (simulator, _):
        yield simulator


def client_of(simulator: Simulator, exchange: str) -> Client:
    (endpoint,) = asked(simulator, exchange).values()
    return Client(endpoint.rest, endpoint.url, endpoint.key)


def answers_since(client: Client, exchange: str, native_symbol: str, begin_us: int) -> list[Answer]:
    span, rest = (begin_us, time.time_ns() // 1000), EXCHANGES[exchange].rest
    return list(pages(client, rest, native_symbol, span, lambda _: None, SpanCounts()))


def test_received_trades_under_other_ids_are_refused(
    tables: Database, simulator: Simulator, exchange: str
) -> None:
    """Under their own they are accepted, others among them too."""
    hear(tables, simulator, exchange, lambda place, _: place % 3 > 0)
    check, client = IdCheck(tables, exchange, time.sleep), client_of(simulator, exchange)
    for native_symbol, trades in markets(simulator, exchange).items():
        answers = answers_since(client, exchange, native_symbol, trades[0].time_us)
        assert sum(len(answer.page.numbers) for answer in answers) >= len(trades)
        for answer in answers:
            check(native_symbol, answer)
        ids = "|".join(str(trade.trade_id) for trade in trades)
        shown = "|".join(str(trade.trade_id + OTHER_IDS) for trade in trades)
        text = f"names trades of {native_symbol} by other ids .* as ({shown}) for ({ids}) of"
        for answer in answers:
            with pytest.raises(BackfillError, match=text):
                check(native_symbol, with_other_ids(answer))


def test_trades_of_a_market_without_received_ones_are_accepted(
    tables: Database, simulator: Simulator, exchange: str
) -> None:
    """None of them can be stored already, whatever their ids."""
    heard, other = markets(simulator, exchange)
    hear(tables, simulator, exchange, lambda _, trade: trade.market.native_symbol == heard)
    check, client = IdCheck(tables, exchange, time.sleep), client_of(simulator, exchange)
    begin_us = markets(simulator, exchange)[other][0].time_us
    answers = answers_since(client, exchange, other, begin_us)
    assert answers
    for answer in answers:
        check(other, with_other_ids(answer))


def test_received_trade_with_other_content_is_named(
    tables: Database, simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    hear(tables, simulator, "bitstamp", lambda *_: True)
    check, client = IdCheck(tables, "bitstamp", time.sleep), client_of(simulator, "bitstamp")
    trades = markets(simulator, "bitstamp")["btcusd"]
    (answer,) = answers_since(client, "bitstamp", "btcusd", trades[0].time_us)
    check("btcusd", answer)
    assert not caplog.messages
    check("btcusd", replace(answer, text=answer.text.replace('"price":"7', '"price":"8')))
    (message,) = caplog.messages
    assert f"shows {len(trades)} received trades of btcusd with other content" in message


def test_received_trade_at_another_time_is_refused(tables: Database, simulator: Simulator) -> None:
    """Trades of one id that are far apart count as different ones."""
    hear(tables, simulator, "gemini", lambda *_: True)
    check, client = IdCheck(tables, "gemini", time.sleep), client_of(simulator, "gemini")
    begin_us = markets(simulator, "gemini")["btcusd"][0].time_us
    (answer,) = answers_since(client, "gemini", "btcusd", begin_us)

    def moved(by_ms: int) -> str:
        change = lambda found: found[1] + str(int(found[2]) + by_ms)  # noqa: E731
        return re.sub(r'("timestampms":)(\d+)', change, answer.text)

    check("btcusd", replace(answer, text=moved(900)))
    with pytest.raises(BackfillError, match=r"other times than the websocket.* would count twice"):
        check("btcusd", replace(answer, text=moved(1100)))
