"""One of several connections of an exchange without trade numbers is cut: nothing stays lost."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import pytest
from bytewax.dataflow import Dataflow
from bytewax.testing import run_main

from candlewax.clickhouse.client import Database, connect
from candlewax.feeds.rest.gap_fill import GapFillSource
from candlewax.feeds.websocket.source import WebSocketSource
from candlewax.pipeline import builder
from candlewax.pipeline.process import ProcessContext
from candlewax.runtime.counters import Counters
from candlewax.simulator.exchanges.registry import markets_of
from candlewax.simulator.exchanges.venue import Venue
from candlewax.simulator.plan import Plan
from candlewax.simulator.player import TradeTape
from candlewax.simulator.server import Simulator
from candlewax.verification.verify import verify
from dataflows import ohlcv
from tests.support.exchange_server import QUICK as QUICKLY
from tests.support.exchange_server import quick, running
from tests.support.kafka import reading
from tests.support.mending import QUICK, asked
from tests.support.playing import INSTRUMENTS

pytestmark = pytest.mark.slow("a live feed until all trades are stored", seconds=6)

EXCHANGES = ("bitfinex", "bitstamp", "gemini", "bybit")
WITH_REST = frozenset(EXCHANGES) - {"bybit"}
"""Exchanges whose REST shows trades of a span of time."""

until = partial(reading.until, seconds=60, pause=0.02)

Trade = tuple[str, str, str]
"""Exchange, native symbol and id."""


class Market:
    """The markets of the exchanges, whose trades are published when a test says so."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator
        self._tapes = {
            exchange: TradeTape(list(self.venue(exchange).markets.values()), 1, 100, 0)
            for exchange in EXCHANGES
        }

    def venue(self, exchange: str) -> Venue:
        return self._simulator.venues[exchange]

    def publish(self, orders: int) -> None:
        """Publish orders of each exchange, without a moment in between."""
        for exchange, tape in self._tapes.items():
            for _ in range(orders):
                self.venue(exchange).publish(tape.order(time.time_ns() // 1000))
            self.venue(exchange).tick(time.time_ns() // 1000, last=True)

    async def trade(self, orders: int) -> None:
        self.publish(orders)

    async def cut(self, orders: int) -> dict[str, str]:
        """Cut one connection of each exchange; publish orders before any can be opened again.

        Return the native symbol that it carried, by exchange.
        """
        lost = {}
        for exchange in EXCHANGES:
            client = self._simulator.connections(exchange)[0]
            (lost[exchange],) = client.native_symbols
            client.cut()
        self.publish(orders)
        await asyncio.sleep(0)
        return lost

    @property
    def published(self) -> set[Trade]:
        """Return all trades, with the ids that their exchanges give them."""
        return {
            (
                exchange := one.trade.market.exchange,
                one.trade.market.native_symbol,
                self.venue(exchange).trade_id(one.trade),
            )
            for one in self._simulator.journal
        }


def stored(tables: Database) -> dict[Trade, list[str]]:
    """Return how each stored trade came."""
    rows = tables.query(
        "SELECT exchange, native_symbol, trade_id, groupArray(toString(via)) "
        "FROM silver_trades FINAL GROUP BY ALL"
    ).rows()
    return {(exchange, native, trade_id): via for exchange, native, trade_id, via in rows}


def natives_of(exchange: str) -> list[str]:
    return [market.native_symbol for market in markets_of(exchange)]


def subscribed(counters: Counters, times: int) -> bool:
    """Return whether so many connections were subscribed, beside one for each market."""
    return all(
        counters.total("connections", name, "subscribed") == times + len(natives_of(name))
        for name in EXCHANGES
    )


@dataclass
class Loss:
    """Course of the test: the market that is lost, by exchange, and the trades it missed."""

    natives: dict[str, str] = field(default_factory=dict)
    missed: set[Trade] = field(default_factory=set)

    def play(
        self, market: Market, run: Callable[..., Any], tables: Database, counters: Counters
    ) -> None:
        """Trade, cut connections, and wait for what must be stored."""
        until(lambda: subscribed(counters, 0))
        run(market.trade(50))
        until(lambda: market.published <= stored(tables).keys())
        before = market.published
        self.natives = run(market.cut(400))
        self.missed = {
            trade for trade in market.published - before if self.natives[trade[0]] == trade[1]
        }
        until(lambda: subscribed(counters, 1))
        run(market.trade(20))
        unavailable = {trade for trade in self.missed if trade[0] not in WITH_REST}
        until(lambda: market.published - unavailable <= stored(tables).keys())


def live_flow(
    simulator: Simulator, tables: Database, own: Database, counters: Counters, over: threading.Event
) -> Dataflow:
    """Return the whole pipeline with one market a connection."""
    feed = WebSocketSource(
        {name: natives_of(name) for name in EXCHANGES},
        {name: simulator.url(name) for name in EXCHANGES},
        counters,
        over.is_set,
        rules={key: rules for name in EXCHANGES for key, rules in quick(name).items()},
        timeouts=QUICKLY,
        per_connection=dict.fromkeys(EXCHANGES, 1),
    )
    endpoints = asked(simulator, *EXCHANGES)
    repairs = GapFillSource(endpoints, own, counters, over.is_set, timing=QUICK)
    process = ProcessContext(INSTRUMENTS, EXCHANGES, counters, over.is_set, is_live=True)
    return ohlcv.build(builder.build_embedded(process, feed, tables, repairs))


def test_trades_of_one_lost_connection_are_requested(tables: Database, engine_path: Path) -> None:
    """The market of the cut connection has an outage; other markets go on."""
    over, counters, loss = threading.Event(), Counters(), Loss()
    failures: list[BaseException] = []
    with running(Simulator(Plan(starts_paused=True))) as (simulator, run_there):
        market = Market(simulator)
        own = connect(engine_path, str(tables.client.command("SELECT currentDatabase()")))

        def watch() -> None:
            try:
                loss.play(market, run_there, own, counters)
            except BaseException as failure:  # noqa: BLE001 - raised below
                failures.append(failure)
            finally:
                over.set()

        watching = threading.Thread(target=watch)
        watching.start()
        run_main(live_flow(simulator, tables, own, counters, over))
        watching.join()
        own.close()
        if failures:
            raise failures[0]
        published = market.published
    rows = stored(tables)
    assert rows.keys() <= published
    assert all(len(via) == 1 for via in rows.values())
    for name in WITH_REST:
        assert ["rest"] in [rows[trade] for trade in loss.missed if trade[0] == name]
    assert {via[0] for trade, via in rows.items() if trade not in loss.missed} == {"websocket"}
    check_outages(tables, loss)
    assert verify(tables.client).equal


def check_outages(tables: Database, loss: Loss) -> None:
    """The lost markets have outages, exchanges with other connections none, and no candle is called
    complete.
    """
    found = tables.query("SELECT exchange, symbol, ended > began FROM market_outages").rows()
    symbols = {name: INSTRUMENTS.resolve(name, native) for name, native in loss.natives.items()}
    expected = [(name, market.symbol, True) for name, market in symbols.items() if market]
    assert sorted(found) == sorted(expected)
    assert len(expected) == len(EXCHANGES)
    alone = {(name,) for name in EXCHANGES if len(natives_of(name)) == 1}
    assert set(tables.query("SELECT exchange FROM outages").rows()) == alone
    statuses = {status for (status,) in tables.query(_STATUSES).rows()}
    assert statuses
    assert statuses <= {"forming", "unverified"}


_STATUSES: Final = "SELECT DISTINCT toString(status) FROM ohlcv FINAL"
