"""One process that listens to exchanges and asks them by REST, and a database that can be read
meanwhile.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import Popen
from typing import IO, Any

from candlewax.clickhouse.client import Database, open_tables
from candlewax.runtime.setting_parsers import Server
from candlewax.simulator.plan import Plan
from candlewax.simulator.server import Simulator
from tests.faults.embedded import listen
from tests.faults.incomplete import HASTE
from tests.faults.place import Place
from tests.faults.published import SYMBOLS, Stored, by_series, last_told
from tests.faults.stage import VENUES
from tests.support.clickhouse_process import serving
from tests.support.exchange_server import running
from tests.support.kafka import reading

PATIENCE = 180.0
"""Seconds for what must come."""

RATE = 300
"""Trades a second at least: small markets trade, too."""

SOME = 20
"""Trades of each exchange that are enough to go on."""

_OPEN = "SELECT count() FROM gaps FINAL WHERE state = 'open'"


@dataclass
class Alone:
    """A process, its exchanges and its tables."""

    place: Place
    folder: Path
    simulator: Simulator
    run: Callable[..., Any]
    tables: Database
    said: IO[str]
    settings: dict[str, str] = field(default_factory=dict)
    process: "Popen[str] | None" = None
    since: int = 0
    """How many trades were published before the process listened."""

    # The process.

    def start(self) -> None:
        """Start it; returns when all markets that are not refused are subscribed."""
        simulator = self.simulator
        rest = {f"CANDLEWAX_{name.upper()}_REST_URL": simulator.rest_url(name) for name in VENUES}
        settings = {**self.settings, **self.place.size.settings, **rest}
        self.process = listen(self.folder, simulator.url, said=self.said, **settings)
        self.until_subscribed()
        self.since = len(self.simulator.journal)

    def kill(self) -> None:
        """Kill it; returns when its connections are gone."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        reading.until(lambda: not self.simulator.connections())

    def end(self) -> list[str]:
        """Ask it to end; what is wrong with that."""
        assert self.process is not None
        self.process.terminate()
        status = self.process.wait(timeout=60)
        return [f"it ended with {status}"] if status else []

    # The exchanges.

    def at(self, action: Callable[[Simulator], Any]) -> None:
        """Do something where the exchanges are played."""

        async def act() -> None:
            done = action(self.simulator)
            if asyncio.iscoroutine(done):
                await done

        self.run(act())

    def step_clock(self, exchange: str, seconds: float) -> None:
        """Let an exchange's clock be so far ahead, or behind."""
        self.at(lambda simulator: simulator.player.step_clock(exchange, seconds))

    def until_subscribed(self) -> None:
        """Wait until all markets that are not refused are subscribed."""
        venues = self.simulator.venues

        def subscribed() -> bool:
            return all(
                self.simulator.subscribed(name) == SYMBOLS[name].keys() - venues[name].refused
                for name in VENUES
            )

        self.until(subscribed)

    # Time.

    def until(self, found: Callable[[], Any], pause: float = 0.05) -> Any:
        """What is found once it is true; the process must not end meanwhile."""

        def look() -> Any:
            if self.process is not None and (status := self.process.poll()) is not None:
                self.said.seek(0)
                raise AssertionError(f"it ended with {status}: {self.said.read()[-2000:]}")
            return found()

        return reading.until(look, seconds=PATIENCE, pause=pause)

    def spend(self, seconds: float) -> None:
        """Let time pass in which nothing is done."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end)

    def come(self) -> None:
        """Wait for some more trades that somebody was told of, from each exchange."""
        self._until_told(lambda told: all(
            sum(name == exchange for name, _ in told) >= SOME for exchange in VENUES
        ))  # fmt: skip

    def flow(self) -> None:
        """Wait until somebody was told of a trade of each market."""
        wanted = {(name, native) for name in VENUES for native in SYMBOLS[name]}
        refused = {(name, native) for name in VENUES
                   for native in self.simulator.venues[name].refused}  # fmt: skip
        self._until_told(lambda told: wanted - refused <= set(told))

    def _until_told(self, enough: Callable[[list[tuple[str, str]]], bool]) -> None:
        """Wait until the markets of the trades that came from now on are enough."""
        begin = len(self.simulator.journal)
        self.until(
            lambda: enough(
                [
                    (one.trade.market.exchange, one.trade.market.native_symbol)
                    for one in self.simulator.journal[begin:]
                    if not one.skipped
                ]
            )
        )

    def settle(self) -> None:
        """Let no more trades happen until what was missed is stored; it goes on then."""
        self.finish()
        self.at(lambda simulator: simulator.begin())

    def finish(self) -> None:
        """Let no more trades happen, and wait until what was missed is stored."""
        self.come()
        self.at(lambda simulator: simulator.pause())
        journal = list(self.simulator.journal)
        published = by_series(journal)
        last = last_told(journal, published, self.since)

        def stored() -> bool:
            found = Stored(self.tables)
            return found.has(last) and not found.missing(published)

        self.until(stored, pause=0.3)
        self.until(lambda: not int(self.tables.query(_OPEN).item()), pause=0.3)


@contextmanager
def alone(place: Place, name: str, ahead: float = 0, **more: str) -> Iterator[Alone]:
    """A process that listens, with some more settings, to exchanges whose clocks are so many
    seconds ahead; trades flow.
    """
    folder = place.folder / name
    folder.mkdir()
    plan = Plan(rate=max(place.size.rate, RATE), seed=place.seed, starts_paused=True)
    with (
        serving(folder / "tables") as server,
        running(Simulator(plan)) as (simulator, run),
        (folder / "said").open("w+") as said,
    ):
        settings = {
            "CANDLEWAX_TEST_FLOW": "ohlcv",
            "CANDLEWAX_TEST_FILLS": json.dumps(HASTE),
            "CANDLEWAX_CLICKHOUSE": server.dsn,
            "CANDLEWAX_DATABASE": "market",
            **more,
        }
        tables = open_tables(Server(server.dsn), "market")
        stage = Alone(place, folder, simulator, run, tables, said, settings)
        for exchange in VENUES:
            stage.step_clock(exchange, ahead)
        try:
            stage.start()
            stage.at(lambda simulator: simulator.begin())
            stage.flow()
            yield stage
        finally:
            if stage.process is not None and stage.process.poll() is None:
                stage.process.kill()
                stage.process.wait()
            tables.close()
