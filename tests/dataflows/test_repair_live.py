"""A live pipeline that requests missed trades by REST."""

import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from bytewax.testing import run_main

from candlewax.clickhouse.client import Database, connect
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.rest.gap_fill import GapFillSource
from candlewax.feeds.websocket.source import WebSocketSource
from candlewax.pipeline import builder
from candlewax.pipeline.process import ProcessContext
from candlewax.runtime.counters import Counters
from candlewax.simulator.market.market import Trade
from candlewax.simulator.plan import FaultRates, Plan
from candlewax.simulator.server import Simulator
from candlewax.verification.verify import check_totals, verify
from dataflows import ohlcv
from tests.support.exchange_server import QUICK as QUICKLY
from tests.support.exchange_server import quick, running
from tests.support.kafka import reading
from tests.support.mending import (
    QUICK,
    asked,
    gaps,
    markets,
    mend,
    numbers,
    stored,
)
from tests.support.playing import INSTRUMENTS

pytestmark = pytest.mark.slow("live feeds until all is there", seconds=6)


def test_live_pipeline_fills_its_gaps_while_connections_are_cut(
    tables: Database, engine_path: Path
) -> None:
    """Trades are skipped and connections are cut; at the end all trades are stored."""
    plan = Plan(rate=2000, trades=3000, starts_paused=True, fault_rates=FaultRates(skip=0.02))
    exchanges = ("binance", "kraken", "coinbase")
    natives = {name: INSTRUMENTS.subscriptions(name) for name in exchanges}
    over = threading.Event()
    with running(Simulator(plan)) as (simulator, run_there):
        counters = Counters()
        lives: dict[str, Any] = {}
        for name in exchanges:
            lives |= quick(name, messages_per_s=EXCHANGES[name].live.messages_per_s)
        urls = {name: simulator.url(name) for name in exchanges}
        feed = WebSocketSource(natives, urls, counters, over.is_set, rules=lives, timeouts=QUICKLY)
        name = str(tables.client.command("SELECT currentDatabase()"))
        own = connect(engine_path, name)
        repairs = GapFillSource(
            asked(simulator, *exchanges), own, counters, over.is_set, timing=QUICK
        )
        process = ProcessContext(INSTRUMENTS, exchanges, counters, over.is_set, is_live=True)
        flow = ohlcv.build(builder.build_embedded(process, feed, tables, repairs))
        failures: list[BaseException] = []

        async def play() -> None:
            simulator.begin()

        async def trouble() -> None:
            for exchange in exchanges:
                await simulator.drop(exchange)

        def watch() -> None:
            try:
                until(lambda: all(len(simulator.subscribed(name)) for name in exchanges))
                run_there(play())
                for share in (0.3, 0.6):
                    reached = partial(sent, simulator, share * 3000)
                    until(reached)
                    run_there(trouble())
                run_there(simulator.ended())
                # Before the first gap is stored, there is none that is not filled.
                until(lambda: any("rest" in stored(own, name).values() for name in exchanges))
                until(lambda: all(has_filled_gaps(own, simulator, name) for name in exchanges))
                until(lambda: not unfilled_gaps(own))
            except BaseException as failure:  # noqa: BLE001 - raised below
                failures.append(failure)
            finally:
                over.set()

        looking = threading.Thread(target=watch)
        looking.start()
        run_main(flow)
        looking.join()
        own.close()
        if failures:
            raise failures[0]
        assert {via for name in exchanges for via in stored(tables, name).values()} == {
            "websocket",
            "rest",
        }
        # What was heard after the last look may have shown more gaps: the next run's.
        mend(tables, asked(simulator, *exchanges))
        assert all(has_filled_gaps(tables, simulator, name) for name in exchanges)
    assert not unfilled_gaps(tables)
    assert verify(tables.client).equal
    assert not check_totals(tables.client)


until = partial(reading.until, seconds=120, pause=0.05)


def sent(simulator: Simulator, count: float) -> bool:
    return simulator.sent >= count


def unfilled_gaps(database: Database) -> list[dict[str, Any]]:
    return [gap for gap in gaps(database) if gap["state"] in ("open", "repairing")]


def has_filled_gaps(database: Database, simulator: Simulator, exchange: str) -> bool:
    """Return whether all trades between received ones are stored."""
    stored_ = stored(database, exchange)
    expected: set[tuple[str, int]] = set()
    for native, trades in markets(simulator, exchange).items():
        received_numbers = [
            number
            for (name, number), via in stored_.items()
            if name == native and via == "websocket"
        ]
        expected |= numbers(_between(trades, received_numbers))
    return bool(expected) and expected <= stored_.keys()


def _between(trades: list[Trade], received_numbers: list[int]) -> list[Trade]:
    return [
        t
        for t in trades
        if received_numbers and min(received_numbers) <= t.trade_id <= max(received_numbers)
    ]
