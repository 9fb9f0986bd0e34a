"""Lists of markets that are none, or of which parts are odd, of every exchange."""

import copy
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.request import urlopen

import pytest

from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.fields import FrameError, parse
from candlewax.exchanges.protocol.markets import (
    ListedMarket,
    ListedMarkets,
    MarketError,
    MarketListRules,
)
from candlewax.feeds.rest.client import RefusalError
from candlewax.feeds.rest.gap_filler import RestEndpoint
from candlewax.feeds.rest.market_list import request_markets
from candlewax.simulator.plan import Plan
from candlewax.simulator.server import Simulator
from tests.support.exchange_server import running
from tests.support.rest_client import Response, serving

RULES: dict[str, MarketListRules] = {
    name: exchange.markets for name, exchange in EXCHANGES.items() if exchange.markets
}

ODD: list[Any] = [
    None, 7, -1, 10**60, True, "", "x", "NaN", "0", [], [[]], [None], [7], {}, {"a": 1},
]  # fmt: skip
"""Values in places where an exchange has others."""

ABSENT = object()

HTML = b"<html><body>Bad Gateway</body></html>"


@pytest.fixture(scope="module")
def lists() -> Iterator[dict[str, list[Any]]]:
    """Answers of each simulated exchange to the requests for its markets, decoded."""
    with running(Simulator(Plan(rate=1))) as (simulator, _):
        answers = {}
        for name, rules in RULES.items():
            urls = [simulator.rest_url(name) + path for path in rules.paths]
            answers[name] = [parse(urlopen(url).read().decode()) for url in urls]  # noqa: S310
        yield answers


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of a value and of all that it holds, of lists of the first two elements."""
    yield path
    keys: list[Any] = []
    if isinstance(value, dict):
        keys = list(value)[:12]
    elif isinstance(value, list):
        keys = list(range(len(value)))[:2]
    for key in keys:
        yield from places(value[key], (*path, key))


def changed(value: Any, path: tuple[Any, ...], odd: Any) -> Any:
    """Return a copy that has another value, or none, at a path."""
    if not path:
        return odd
    value = copy.copy(value)
    if len(path) > 1:
        value[path[0]] = changed(value[path[0]], path[1:], odd)
    elif odd is ABSENT:
        del value[path[0]]
    else:
        value[path[0]] = odd
    return value


def parse_or_refuse(rules: MarketListRules, answers: list[Any]) -> ListedMarkets | None:
    """Return the markets of answers; None if these are no list."""
    try:
        return rules.parse(answers)
    except FrameError:
        return None


@pytest.mark.parametrize("exchange", RULES)
def test_odd_value_anywhere_is_an_error_or_hides_no_more_than_its_market(
    lists: dict[str, list[Any]], exchange: str
) -> None:
    """Markets are read as before, but for the one with the odd value; nothing else is raised."""
    answers, rules = lists[exchange], RULES[exchange]
    whole = rules.parse(answers)
    assert all(isinstance(market, ListedMarket) for market in whole)
    refused = 0
    for index, answer in enumerate(answers):
        for path in places(answer):
            for odd in [*ODD, ABSENT] if path else ODD:
                odd_answers = [*answers]
                odd_answers[index] = changed(answer, path, odd)
                markets = parse_or_refuse(rules, odd_answers)
                if markets is None:
                    refused += 1
                    # The list itself, or what it is in, is none.
                    assert len(path) < 3, (path, odd)
                elif len(path) >= 2:
                    same = sum(market in whole for market in markets)
                    assert same >= len(whole) - 2, (path, odd)
    assert refused > len(answers) * 3


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((502, {}, HTML), ": status 502"),
        ((403, {}, HTML), ": status 403"),
        ((404, {}, b""), ": status 404"),
        ((429, {"Retry-After": "30"}, b""), ": status 429"),
        ((302, {"Location": "http://127.0.0.1:1/"}, b""), ": status 302"),
        ((200, {}, HTML), ": the answer is no JSON"),
        ((200, {}, b""), ": the answer is no JSON"),
        ((200, {}, b"\xff\xfe"), ": the answer is no JSON"),
        ((200, {}, b"7"), "got the number 7"),
        ((200, {}, b"[]"), "expected an object|without a market|expected a list"),
        ((200, {}, b"{}"), "expected an? "),
        ((200, {}, b'[{"symbol":null}]'), "expected an? |without a market"),
        ((200, {"Content-Length": "100"}, b"[]"), "no answer"),
    ],
)
def test_answer_that_is_no_list_is_a_refusal_with_its_address(answer: Response, said: str) -> None:
    """Each exchange's reader says at which address it found what."""
    with serving(answer) as server:
        for name, rules in RULES.items():
            rest = replace(EXCHANGES[name].rest, requests_per_s=1e6, burst=9)
            with pytest.raises(RefusalError) as refusal:
                request_markets(rules, RestEndpoint(rest, server.url))
            assert refusal.value.reason.count(server.url) == 1, name
            assert re.search(said, refusal.value.reason), (name, refusal.value.reason)
            assert len(refusal.value.reason) < 300, name


def test_second_page_of_bybit_is_told() -> None:
    """Its markets are not taken for delisted: any market may be one that could not be read."""
    row = '{"symbol":"BTCUSDT","status":"Trading","baseCoin":"BTC","quoteCoin":"USDT"}'
    answer = f'{{"retCode":0,"result":{{"list":[{row}],"nextPageCursor":"p%3D2"}}}}'
    market, error = RULES["bybit"].parse([parse(answer), parse(answer)])
    assert isinstance(market, ListedMarket)
    assert isinstance(error, MarketError)
    assert error.detail == 'expected a list of one page, got the text "p%3D2"'
    assert not error.texts
