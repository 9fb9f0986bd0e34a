"""Gaps that one answer lacks are requested again, given-up ones only if selected."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from candlewax.clickhouse.client import Database
from candlewax.core.gaps import fill_plan
from candlewax.core.gaps.fill_plan import RETRY_PREFIX
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.rest.client import RetryPolicy
from candlewax.feeds.rest.fill_schedule import GapSelection
from candlewax.feeds.rest.gap_filler import RestEndpoint
from candlewax.simulator.market.market import Trade
from candlewax.simulator.server import Simulator
from candlewax.verification.verify import check_totals, verify
from tests.support.mending import QUICK, asked, gaps, hear, markets, mend, numbers, played, stored
from tests.support.rest_client import Response, serving

pytestmark = pytest.mark.slow("each test runs the whole pipeline", seconds=17)

AGAIN = GapSelection(include_given_up=True)
PATIENT = replace(QUICK, confirm_s=3600.0)


def without(*places: int) -> Any:
    """All trades are received but some, by their places in their markets."""
    return lambda place, _: place not in places


@contextmanager
def lacking_simulator(**fault_rates: Any) -> Iterator[tuple[Simulator, Callable[[str, int], None]]]:
    """A simulator, and a function that makes it `show` or `lack` so many trades from now on."""
    with played(**fault_rates) as (simulator, run):

        def tell(name: str, number: int) -> None:
            async def act() -> None:
                getattr(simulator, name)(number)

            run(act())

        yield simulator, tell


@pytest.mark.parametrize("exchange", ["binance", "coinbase"])
def test_gap_is_kept_after_one_answer_that_lacks_three_numbers(
    tables: Database, exchange: str
) -> None:
    """The next answer holds them, and no gap is given up."""
    with lacking_simulator() as (simulator, tell):
        between = hear(tables, simulator, exchange, without(7, 8, 9))
        tell("lack", 1)
        mend(tables, asked(simulator, exchange), PATIENT)
        (waiting,) = [gap for gap in gaps(tables) if gap["state"] != "repaired"]
        assert waiting["state"] == "repairing"
        assert waiting["reason"].startswith(
            f"{RETRY_PREFIX}the exchange does not have 3 of 3 numbers"
        )
        mend(tables, asked(simulator, exchange))
    assert {gap["state"] for gap in gaps(tables)} == {"repaired"}
    assert stored(tables, exchange).keys() == numbers(between)
    assert verify(tables.client).equal
    assert not check_totals(tables.client)


def test_gap_is_kept_if_two_answers_lack_it_for_different_reasons(tables: Database) -> None:
    """Too old first, then answered without these numbers: it is requested once more."""
    with lacking_simulator(oldest=5) as (simulator, tell):
        hear(tables, simulator, "binance", without(3))
        mend(tables, asked(simulator, "binance"), PATIENT)
        old = [gap for gap in gaps(tables) if gap["state"] == "repairing"]
        assert old
        assert all(gap["reason"].startswith(f"{RETRY_PREFIX}too old") for gap in old)
        tell("show", 0)
        tell("lack", 1_000)
        mend(tables, asked(simulator, "binance"))
    markets = {gap["symbol"] for gap in old}
    for gap in gaps(tables):
        if gap["symbol"] in markets:
            assert gap["state"] == "unrepairable"
            assert gap["reason"].startswith("the exchange does not have 1 of 1 numbers")
            assert gap["attempts"] == 3


def too_old(tables: Database, simulator: Simulator) -> list[Trade]:
    """Gaps that are given up, as the exchange returns only a few trades."""
    between = hear(tables, simulator, "kraken", without(3))
    mend(tables, asked(simulator, "kraken"))
    assert {gap["state"] for gap in gaps(tables)} == {"unrepairable"}
    return between


def test_given_up_gap_is_requested_again_only_if_selected(tables: Database) -> None:
    """It is then filled."""
    with lacking_simulator(oldest=5) as (simulator, tell):
        between = too_old(tables, simulator)
        tell("show", 0)
        before = simulator.rest_requests
        mend(tables, asked(simulator, "kraken"))
        assert simulator.rest_requests == before
        mend(tables, asked(simulator, "kraken"), choice=AGAIN)
    assert {gap["state"] for gap in gaps(tables)} == {"repaired"}
    assert stored(tables, "kraken").keys() == numbers(between)
    assert verify(tables.client).equal
    assert not check_totals(tables.client)


def test_given_up_gap_that_is_still_lacking_stays_given_up(tables: Database) -> None:
    """After one request, with its first time."""
    with lacking_simulator(oldest=5) as (simulator, tell):
        too_old(tables, simulator)
        before, since, requests = gaps(tables), since_when(tables), simulator.rest_requests
        tell("show", 4)
        mend(tables, asked(simulator, "kraken"), choice=AGAIN)
        assert simulator.rest_requests == requests + len(before)
    after = gaps(tables)
    assert [{**gap, "attempts": gap["attempts"] + 1, "reason": ""} for gap in before] == [
        {**gap, "reason": ""} for gap in after
    ]
    assert all(gap["reason"].startswith("too old: the exchange shows trades from") for gap in after)
    assert {gap["reason"] for gap in after}.isdisjoint({gap["reason"] for gap in before})
    assert since_when(tables) == since


def since_when(tables: Database) -> list[Any]:
    sql = "SELECT updated_at FROM gaps FINAL ORDER BY exchange, symbol, first_sequence"
    return tables.query(sql)["updated_at"].to_list()


def test_failed_request_changes_nothing_of_a_given_up_gap(tables: Database) -> None:
    """It keeps the reason of the exchange's last answer."""
    with lacking_simulator(oldest=5) as (simulator, _):
        too_old(tables, simulator)
        before, requests = gaps(tables), simulator.rest_requests
        simulator.fail_rate = 1
        haste = RetryPolicy(first_backoff_s=0.01, max_backoff_s=0.05)
        mend(tables, asked(simulator, "kraken"), patience=haste, choice=AGAIN)
        assert simulator.rest_requests == requests + QUICK.tries
    assert gaps(tables) == before


def test_selection_limits_the_gaps_that_are_requested(tables: Database) -> None:
    """By market, and by first number."""
    with lacking_simulator(oldest=5) as (simulator, tell):
        too_old(tables, simulator)
        first, second, *_ = gaps(tables)
        tell("show", 0)
        choice = GapSelection(include_given_up=True, symbols=frozenset({first["symbol"]}))
        mend(tables, asked(simulator, "kraken"), choice=choice)
        filled = [gap["symbol"] for gap in gaps(tables) if gap["state"] == "repaired"]
        assert filled == [first["symbol"]]
        choice = GapSelection(include_given_up=True, firsts=frozenset({second["first_sequence"]}))
        mend(tables, asked(simulator, "kraken"), choice=choice)
        filled = [gap["symbol"] for gap in gaps(tables) if gap["state"] == "repaired"]
        assert filled == [first["symbol"], second["symbol"]]


@pytest.mark.parametrize("named", [False, True])
def test_gap_of_millions_is_requested_only_if_it_is_named(
    tables: Database, monkeypatch: pytest.MonkeyPatch, *, named: bool
) -> None:
    """Also by a run that includes given-up gaps. A limit of five replaces that of a million."""
    monkeypatch.setattr(fill_plan, "MAX_GAP_NUMBERS", 5)
    with lacking_simulator() as (simulator, _):
        native = next(iter(markets(simulator, "kraken")))
        hear(
            tables, simulator, "kraken",
            lambda n, trade: trade.market.native_symbol == native and not 5 <= n < 11,
        )  # fmt: skip
        mend(tables, asked(simulator, "kraken"))
        (gap,) = gaps(tables)
        assert (gap["state"], gap["missing"]) == ("unrepairable", 6)
        assert gap["reason"] == "too long: 6 numbers, more than the 5 that are asked for"
        firsts = frozenset({gap["first_sequence"]} if named else ())
        choice = GapSelection(include_given_up=True, firsts=firsts)
        mend(tables, asked(simulator, "kraken"), choice=choice)
        assert bool(simulator.rest_requests) is named
    (after,) = gaps(tables)
    assert after["state"] == "repaired" if named else after == gap


def row(number: int) -> str:
    return (
        f'{{"id":{number},"price":"4.0","qty":"12.0","quoteQty":"48.0","time":1499865549590,'
        '"isBuyerMaker":true,"isBestMatch":true}'
    )


def page(*ids: int) -> Response:
    return 200, {}, f"[{','.join(map(row, ids))}]".encode()


def test_refusal_after_an_answer_ends_the_round(tables: Database) -> None:
    """No request is sent before the pause of the exchange, though the answer has reset the count of
    refusals. After three refusals in a row, a run that is to end gives the exchange up.
    """
    with played() as (simulator, _):
        native, trades = next(iter(markets(simulator, "binance").items()))
        start = trades[0].trade_id
        # A gap of four numbers, and one of six.
        lost = {*range(5, 9), *range(20, 26)}
        hear(
            tables, simulator, "binance",
            lambda n, trade: trade.market.native_symbol == native and n not in lost,
        )  # fmt: skip
    failed: Response = (503, {}, b"")
    first, second = start + 5, start + 20
    with serving(failed, page(first - 1, first, first + 1), failed) as server:
        rest = replace(EXCHANGES["binance"].rest, page_rows=3, requests_per_s=1000.0, burst=1000)
        mend(
            tables, {"binance": RestEndpoint(rest, server.url)}, replace(QUICK, tries=3),
            patience=RetryPolicy(first_backoff_s=0.001, max_backoff_s=0.002),
        )  # fmt: skip
        targets = [
            int(path.partition("fromId=")[2].partition("&")[0]) for path, _ in server.requests
        ]
    assert targets == [
        # A failure; an answer and a failure; a failure: three tries of the shorter one.
        first - 1,
        first - 1, first + 2,
        first - 1,
        # The third refusal in a row.
        second - 1,
    ]  # fmt: skip
    assert {gap["reason"] for gap in gaps(tables)} == {"status 503"}
