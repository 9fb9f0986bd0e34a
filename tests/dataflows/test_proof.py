"""An hour of a market with missed trades, and the certificates of its candles."""

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
    """Spread the orders over more than the last hour, and return when it begins."""
    begin = int(time.time()) * 1_000_000 - 2 * HOUR
    times = itertools.count(begin, HOUR // ORDERS)
    order = TradeTape.order
    monkeypatch.setattr(TradeTape, "order", lambda tape, _: order(tape, next(times)))
    return begin


def fill(trade: Trade, *, asked_for: bool = False) -> Fill:
    """Return a trade in the form of the oracle."""
    market = trade.market
    return Fill(
        market.exchange, market.symbol, str(trade.trade_id), trade.trade_id, trade.time_us,
        trade.bought, Decimal(trade.price).scaleb(-market.price_decimals),
        Decimal(trade.quantity).scaleb(-market.lot_decimals), asked_for=asked_for,
    )  # fmt: skip


def check_candles(tables: Database, fills: Iterable[Fill]) -> set[str]:
    """Assert that candles and certificates of all timeframes are those of these trades.

    Return the statuses of the closed candles.
    """
    trades = list(fills)
    marks = oracle.watermarks(trades)
    assert gold(tables) == oracle.candles(trades, marks)
    stored_certificates = certificates(tables)
    assert stored_certificates == oracle.certificates(trades)
    check_revisions(tables)
    assert verify(tables.client).equal
    assert not check_totals(tables.client)
    return {str(row["status"]) for row in stored_certificates.values()} - {"forming"}


def listen(tables: Database, simulator: Simulator, exchange: str, begin: int) -> list[Fill]:
    """Store the received trades, and return all between the first and the last of them."""
    skipped = {
        (entry.trade.market.native_symbol, entry.trade.trade_id)
        for entry in simulator.journal
        if entry.skipped
    }

    def was_received(_: int, trade: Trade) -> bool:
        second = (trade.time_us - begin) / 1_000_000
        away = any(since <= second < until for since, until in AWAY)
        return not away and (trade.market.native_symbol, trade.trade_id) not in skipped

    between = hear(tables, simulator, exchange, was_received)
    fills = [fill(trade, asked_for=not was_received(0, trade)) for trade in between]
    # What was heard came first, in the order of time.
    return sorted(fills, key=lambda trade: (trade.asked_for, trade.time, trade.sequence))


@pytest.mark.parametrize("exchange", ["binance", "kraken", "coinbase"])
def test_candles_of_an_hour_with_gaps_are_exact_before_and_after_filling(
    tables: Database, begin: int, exchange: str
) -> None:
    """Two trades of a hundred are skipped, and the connection is lost from time to time. While REST
    refuses, exactly the candles that may lack a trade say how many. Once it answers, all are
    complete and equal those of all trades.
    """
    with played(6_000, skip=0.02, fail=1) as (simulator, _):
        fills = listen(tables, simulator, exchange, begin)
        span = max(trade.time for trade in fills) - min(trade.time for trade in fills)
        received_fills = [trade for trade in fills if not trade.asked_for]
        assert span > HOUR
        assert len(fills) - len(received_fills) > len(fills) * 0.02
        assert "gaps" in check_candles(tables, received_fills)
        haste = RetryPolicy(first_backoff_s=0.01, max_backoff_s=0.05)
        mend(tables, asked(simulator, exchange), patience=haste)
        assert "gaps" in check_candles(tables, received_fills)
        simulator.fail_rate = 0
        mend(tables, asked(simulator, exchange))
    assert {gap["state"] for gap in gaps(tables)} == {"repaired"}
    # The feed began within the first candle of each market.
    assert check_candles(tables, fills) == {"complete", "partial"}
    partial = [name for name, row in certificates(tables).items() if row["status"] == "partial"]
    assert len(partial) <= 6 * len(markets(simulator, exchange))
