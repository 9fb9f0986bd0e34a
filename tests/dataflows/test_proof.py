"""An hour of a market of which nobody heard everything, and what its candles say of it."""

import itertools
import time
from collections.abc import Iterable
from decimal import Decimal

import pytest

from candlewax.clickhouse.client import Database
from candlewax.feeds.rest.client import RetryPolicy
from candlewax.simulator.market.market import Trade
from candlewax.simulator.player import TradeTape
from candlewax.simulator.server import Simulator
from candlewax.verification.verify import check_totals, verify
from tests.support import oracle
from tests.support.mending import asked, gaps, hear, markets, mend, played
from tests.support.oracle import Fill
from tests.support.stored import certificates, check_revisions, gold

pytestmark = pytest.mark.slow("an hour of trades", seconds=12)

HOUR = 3_600_000_000
ORDERS = 2_500
"""Of an hour; all end before now, as nothing later is believed."""

AWAY = [(700, 760), (1_900, 1_903)]
"""Seconds of the hour in which nobody listened."""


@pytest.fixture
def begin(monkeypatch: pytest.MonkeyPatch) -> int:
    """Orders are spread over the last hour and more, not over the moment in which they
    are made; gives when that begins.
    """
    begin = int(time.time()) * 1_000_000 - 2 * HOUR
    times = itertools.count(begin, HOUR // ORDERS)
    order = TradeTape.order
    monkeypatch.setattr(TradeTape, "order", lambda tape, _: order(tape, next(times)))
    return begin


def fill(trade: Trade, *, asked_for: bool = False) -> Fill:
    """A trade as the oracle knows it."""
    market = trade.market
    return Fill(
        market.exchange, market.symbol, str(trade.trade_id), trade.trade_id, trade.time_us,
        trade.bought, Decimal(trade.price).scaleb(-market.price_decimals),
        Decimal(trade.quantity).scaleb(-market.lot_decimals), asked_for=asked_for,
    )  # fmt: skip


def told(tables: Database, fills: Iterable[Fill]) -> set[str]:
    """The candles and their certificates are those of these trades, in all timeframes;
    gives the statuses of the closed ones.
    """
    came = list(fills)
    marks = oracle.watermarks(came)
    assert gold(tables) == oracle.candles(came, marks)
    found = certificates(tables)
    assert found == oracle.certificates(came)
    check_revisions(tables)
    assert verify(tables.client).equal
    assert not check_totals(tables.client)
    return {str(one["status"]) for one in found.values()} - {"forming"}


def listen(tables: Database, simulator: Simulator, exchange: str, begin: int) -> list[Fill]:
    """Store what was heard; gives all that lies between the first and the last of it."""
    skipped = {
        (one.trade.market.native_symbol, one.trade.trade_id)
        for one in simulator.journal
        if one.skipped
    }

    def heard(_: int, trade: Trade) -> bool:
        second = (trade.time_us - begin) / 1_000_000
        away = any(since <= second < until for since, until in AWAY)
        return not away and (trade.market.native_symbol, trade.trade_id) not in skipped

    between = hear(tables, simulator, exchange, heard)
    fills = [fill(trade, asked_for=not heard(0, trade)) for trade in between]
    # What was heard came first, in the order of time.
    return sorted(fills, key=lambda one: (one.asked_for, one.time, one.sequence))


@pytest.mark.parametrize("exchange", ["binance", "kraken", "coinbase"])
def test_candles_of_an_hour_with_gaps_are_exact_before_and_after_filling(
    tables: Database, begin: int, exchange: str
) -> None:
    """Two trades of a hundred are skipped, and the connection is lost now and then. While
    REST refuses, exactly the candles that may miss a trade say how many; once it answers,
    all are complete, and are those of all trades.
    """
    with played(6_000, skip=0.02, fail=1) as (simulator, _):
        fills = listen(tables, simulator, exchange, begin)
        span = max(one.time for one in fills) - min(one.time for one in fills)
        heard = [one for one in fills if not one.asked_for]
        assert span > HOUR
        assert len(fills) - len(heard) > len(fills) * 0.02
        assert "gaps" in told(tables, heard)
        haste = RetryPolicy(first_backoff_s=0.01, max_backoff_s=0.05)
        mend(tables, asked(simulator, exchange), patience=haste)
        assert "gaps" in told(tables, heard)
        simulator.fail_rate = 0
        mend(tables, asked(simulator, exchange))
    assert {gap["state"] for gap in gaps(tables)} == {"repaired"}
    # The feed began within the first candle of each market.
    assert told(tables, fills) == {"complete", "partial"}
    partial = [name for name, one in certificates(tables).items() if one["status"] == "partial"]
    assert len(partial) <= 6 * len(markets(simulator, exchange))
