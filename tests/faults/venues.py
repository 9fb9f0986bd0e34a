"""All exchanges that the simulator plays, at once, behind one process with an embedded database."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import IO, Any

from candlewax.clickhouse.client import connect
from candlewax.runtime.setting_parsers import Server
from candlewax.simulator.exchanges.registry import PATHS, markets_of
from candlewax.simulator.plan import FaultRates, Plan
from candlewax.simulator.player import TICK
from candlewax.simulator.server import Simulator
from tests.faults.absent import NUMBERED, Absent, compare, published
from tests.faults.embedded import listen
from tests.faults.fault import Fault, Outcome
from tests.faults.place import Place
from tests.faults.refusals import haste
from tests.faults.restarts import memory
from tests.support.clickhouse_process import serving
from tests.support.exchange_server import running
from tests.support.kafka import reading

MISCHIEF = FaultRates(skip=0.01, repeat=0.03, swap=0.03, truncate=0.01, garbage=0.03)

RATE = 1000
"""Trades a second at least: the smallest exchange has one in fifty of them."""

SOME, MANY = 10, 150
"""Trades of each exchange that are enough to go on, and that are in full."""

PATIENCE = 180.0
"""Seconds for what must come."""


def instruments() -> str:
    """An instruments file that subscribes to all markets of all exchanges."""
    sections = [
        "\n".join(
            [
                f"[{exchange}.subscribe]",
                *(
                    f"{json.dumps(market.native_symbol)} = {json.dumps(market.symbol)}"
                    for market in markets_of(exchange)
                ),
            ]
        )
        for exchange in PATHS
    ]
    return "\n\n".join(sections) + "\n"


@dataclass
class Listener:
    """A process that listens to all exchanges. `enough` trades of each are waited for."""

    folder: Path
    simulator: Simulator
    run: Callable[..., Any]
    said: IO[str]
    settings: dict[str, str]
    chance: random.Random
    enough: int
    process: "Popen[str] | None" = None

    def start(self) -> None:
        """Start it; returns when all markets are subscribed."""
        urls = {f"CANDLEWAX_{name.upper()}_URL": self.simulator.url(name) for name in PATHS}
        store = memory(self.folder / "recovery", self.chance)
        self.process = listen(
            self.folder / "tables", self.simulator.url, *store, said=self.said,
            **{**self.settings, **urls, "CANDLEWAX_EXCHANGES": ",".join(PATHS)},
        )  # fmt: skip
        self._until_subscribed(0)

    def cut(self) -> None:
        """Cut all connections; returns when all markets are subscribed again."""
        newest = max(client.number for client in self.simulator.connections())
        self.run(self.simulator.drop())
        self._until_subscribed(newest)

    def kill(self) -> None:
        """Kill it; returns when its connections are gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        reading.until(lambda: not self.simulator.connections())

    def end(self) -> list[str]:
        """Ask it to end once all trades are sent; what is wrong with that."""
        assert self.process is not None
        self.run(_pause(self.simulator))
        self.process.terminate()
        status = self.process.wait(timeout=60)
        return [f"it ended with {status}: {self._last_said()}"] if status else []

    def flow(self) -> None:
        """Wait until somebody was told of enough trades of each exchange."""
        journal = self.simulator.journal
        begin = len(journal)

        def told() -> bool:
            own = Counter(one.trade.market.exchange for one in journal[begin:] if not one.skipped)
            return all(own[exchange] >= self.enough for exchange in PATHS)

        self._until(told)

    def _until_subscribed(self, since: int) -> None:
        """Wait until connections after the one with this number have all markets."""
        self._until(lambda: self.run(_subscribed(self.simulator, since)))

    def _until(self, found: Callable[[], object]) -> None:
        def look() -> object:
            assert self.process is not None
            assert self.process.poll() is None, self._last_said()
            return found()

        reading.until(look, seconds=PATIENCE, pause=0.05)

    def _last_said(self) -> str:
        self.said.seek(0)
        return self.said.read()[-2000:]


async def _begin(simulator: Simulator) -> None:
    simulator.begin()


async def _pause(simulator: Simulator) -> None:
    """Make no more trades. The player looks once in a TICK, and sends what it has held back."""
    simulator.pause()
    await asyncio.sleep(2 * TICK)


async def _subscribed(simulator: Simulator, since: int) -> bool:
    for exchange, venue in simulator.venues.items():
        clients = (c for c in simulator.connections(exchange) if c.number > since)
        if set().union(*(client.native_symbols for client in clients)) != venue.markets.keys():
            return False
    return True


def all_venues(place: Place) -> Outcome:
    """Connections are cut and the process is killed, again and again, while frames are damaged."""
    folder, size = place.folder / "venues", place.size
    folder.mkdir()
    listed = folder / "instruments.toml"
    listed.write_text(instruments(), "utf-8")
    plan = Plan(
        rate=max(size.rate, RATE), seed=place.seed, fault_rates=MISCHIEF, starts_paused=True
    )
    settings = {
        "CANDLEWAX_TEST_FLOW": "ohlcv",
        "CANDLEWAX_INSTRUMENTS": str(listed),
        **haste(place),
        **size.settings,
    }
    outcome = Outcome()
    with running(Simulator(plan)) as (simulator, run), (folder / "said").open("w+") as said:
        enough = MANY if size.thorough else SOME
        chance = random.Random(place.seed)
        listener = Listener(folder, simulator, run, said, settings, chance, enough)
        try:
            listener.start()
            run(_begin(simulator))
            for _ in range(size.times):
                listener.flow()
                listener.cut()
                listener.flow()
                listener.kill()
                listener.start()
            listener.flow()
            outcome.wrong += listener.end()
        finally:
            if listener.process is not None and listener.process.poll() is None:
                listener.process.kill()
                listener.process.wait()
        found = _compare(folder / "tables", simulator)
    outcome.account = found.account
    outcome.seen = (
        f"{len(PATHS)} exchanges, {plan.rate:,.0f} trades a second, {size.times} kills; of the "
        f"{len(PATHS.keys() - NUMBERED)} exchanges without numbers {found.skipped:,} trades were "
        f"skipped and {found.in_outages:,} lie in outages; {found.early:,} trades of all were sent "
        "before the first stored subscription"
    )
    return outcome


def _compare(folder: Path, simulator: Simulator) -> Absent:
    # In a process of its own: one process has one embedded engine.
    with serving(folder) as server:
        tables = connect(Server(server.dsn), "market")
        found = compare(tables, published(simulator, simulator.journal))
        tables.close()
    return found


FAULTS = [
    Fault(
        "all-venues",
        "one process for all, with an embedded database, listens to every exchange of the "
        "simulator; connections cut and the process killed, again and again, while frames are "
        "repeated, swapped, skipped, cut and garbled",
        all_venues,
        live=False,
        limit=600,
    )
]
