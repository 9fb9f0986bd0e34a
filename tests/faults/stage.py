"""Stage of faults: simulated exchanges, a broker, a database, and dataflows, each a process."""

import asyncio
import json
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from candlewax.simulator.exchanges.published import Published
from candlewax.simulator.plan import Plan
from candlewax.simulator.server import Simulator
from tests.faults.account import Account, account
from tests.faults.clock import ALTERED, Clock
from tests.faults.fault import Size
from tests.faults.place import Place
from tests.support import oracle
from tests.support.exchange_server import running
from tests.support.kafka import reading, truth
from tests.support.kafka.system import RAW, Process, System
from tests.support.oracle import Fill

VENUES = ("binance", "kraken", "coinbase")
FLOWS = ("ingest", "silver", "ohlcv")

PATIENCE = 180.0
"""Seconds for what was received to be stored."""

PAUSE = 0.2
"""Seconds between two looks."""

_TRIES = 5

_FRAMES = "SELECT count() FROM bronze_frames FINAL"

_FOREIGN = "SELECT count() FROM bronze_frames FINAL WHERE NOT startsWith(source, 'market.')"

_LATEST = """
SELECT toUnixTimestamp64Micro(max(close_time)) / 1000000 AS latest
FROM ohlcv
WHERE timeframe = '1m'
GROUP BY exchange
"""


@dataclass
class Stage:
    """Live feeds through ingest, silver and ohlcv, and what is done to them."""

    place: Place
    system: System
    simulator: Simulator
    run: Callable[..., Any]
    running: dict[str, Process] = field(default_factory=dict)
    clock: Clock | None = None
    """That of all processes, if it is not the machine's."""
    settings: dict[str, dict[str, str]] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)
    """What ended by itself."""

    @property
    def size(self) -> Size:
        """How large it all is."""
        return self.place.size

    @property
    def live(self) -> dict[str, str]:
        """The settings by which the simulated exchanges are listened to."""
        urls = {f"CANDLEWAX_{venue.upper()}_URL": self.simulator.url(venue) for venue in VENUES}
        return {"CANDLEWAX_FEED": "live", "CANDLEWAX_EXCHANGES": ",".join(VENUES), **urls}

    # Processes.

    def start(self, name: str, flow: str = "", **settings: str) -> Process:
        """Start a process, again with the settings that it had."""
        flow = flow or name.partition("-")[0]
        self.settings[name] = {**self.settings.get(name, {}), **settings}
        module, more = flow, dict[str, str]()
        if self.clock:
            module = ALTERED
            more = {"CANDLEWAX_TEST_FLOW": flow, "CANDLEWAX_TEST_CLOCK": str(self.clock.file)}
        started = self.system.start if flow == "ingest" else self.system.durable
        process = started(
            module, name=name, **{**self.live, **more, **self.size.settings, **self.settings[name]}
        )
        self.running[name] = process
        return process

    def stop(self, *names: str) -> None:
        """Ask processes to end, all at once, and wait."""
        processes = {name: self.running.pop(name) for name in names}
        for process in processes.values():
            process.tell(signal.SIGTERM)
        for name, process in processes.items():
            if status := process.wait():
                self.ended.append(f"{name} ended with {status}: {last_line(process)}")

    def kill(self, name: str) -> None:
        """Kill a process and start it again, as a supervisor would."""
        self.running.pop(name).end(signal.SIGKILL)
        self.start(name)

    def lose(self, name: str) -> None:
        """Kill a process, and forget what it remembers."""
        self.running.pop(name).end(signal.SIGKILL)
        self.forget(name)

    def forget(self, name: str) -> None:
        """Delete a recovery store, if there is one."""
        shutil.rmtree(self.system.store(name), ignore_errors=True)

    def supervise(self) -> None:
        """Start again what ended by itself."""
        for name, process in list(self.running.items()):
            if (status := process.ended()) is not None:
                self.ended.append(f"{name} ended with {status}: {last_line(process)}")
                self.start(name)

    # Time.

    def until(
        self, found: Callable[[], Any], seconds: float = PATIENCE, pause: float = PAUSE
    ) -> Any:
        """What is found once it is true; meanwhile nothing stays down."""

        def look() -> Any:
            self.supervise()
            return found()

        return reading.until(look, seconds=seconds, pause=pause)

    def calm(self) -> None:
        """Let time pass in which nothing is done."""
        self.spend(self.size.calm)

    def spend(self, seconds: float) -> None:
        """Let time pass; nothing stays down."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.supervise()
            time.sleep(min(0.2, max(0.0, end - time.monotonic())))

    # What has come how far.

    def reached(self) -> dict[str, int]:
        """How many messages each raw topic holds."""
        servers = self.place.broker.servers
        there = reading.topics(servers)
        topics = {name: RAW.format(name) for name in VENUES if RAW.format(name) in there}
        return {
            name: sum(end - begin for begin, end in reading.ends(servers, topic))
            for name, topic in topics.items()
        }

    def recover(self) -> float:
        """Seconds until, of every exchange, a trade that happens from now on is in its
        candle: all that came before it is then stored, too.
        """
        begin, now = time.monotonic(), time.time()

        def fresh() -> bool:
            latest = self.system.tables.query(_LATEST).rows()
            return len(latest) == len(VENUES) and all(at > now for (at,) in latest)

        self.until(fresh)
        return time.monotonic() - begin

    def come(self, count: int) -> None:
        """Wait for so many more messages in each raw topic."""
        before = self.reached()
        self.until(lambda: all(now >= before[n] + count for n, now in self.reached().items()))

    def stored(self) -> int:
        """How many of them are stored."""
        return int(self.system.tables.query(_FRAMES).item())

    def foreign(self) -> int:
        """How many frames are stored that did not come through the topics."""
        return int(self.system.tables.query(_FOREIGN).item())

    def behind(self) -> int:
        """How many are not."""
        return sum(self.reached().values()) - self.stored()

    def settle(self, *, steady: bool = True) -> Account:
        """Let no more trades happen until all that came is stored; what is in the tables
        then.
        """
        self.simulator.pause()
        if not steady:
            # An outage after which no trade comes, by a clock that had been ahead.
            self.cut()
        servers = self.place.broker.servers
        while True:
            fills = truth.fills(servers)
            distinct = oracle.distinct(fills)
            wanted = len(distinct), sum(not fill.conditions for fill in distinct)
            # What never comes is told by the account.
            with suppress(AssertionError):
                self.until(partial(self._holds, wanted))
            found = self._account(fills, steady=steady)
            # What was on its way to the raw topics may have come meanwhile.
            if len(truth.fills(servers)) == len(fills):
                return found

    def _holds(self, wanted: tuple[int, int]) -> bool:
        return self.system.stored() >= wanted

    def _account(self, fills: Sequence[Fill], *, steady: bool) -> Account:
        """What is in the tables, once they say what they must, or after some tries."""
        for _ in range(_TRIES):
            found = account(self.system.tables, fills, self.journal(), steady_clock=steady)
            if not found.wrong:
                break
            # Candles are stored after their trades.
            self.spend(1)
        return found

    def unheard(self, since_ns: int, until_ns: int | None = None) -> dict[str, int]:
        """By exchange, how many trades published since then are not in the raw topics, maybe
        not yet.
        """
        fills = truth.fills(self.place.broker.servers)
        heard = {(fill.exchange, fill.symbol, fill.sequence) for fill in fills}
        counts = dict.fromkeys(VENUES, 0)
        for one in self.journal():
            exchange, native = one.trade.market.exchange, one.trade.market.native_symbol
            symbol = truth.SYMBOLS.get(exchange, {}).get(native)
            if symbol and since_ns <= one.sent_ns < (until_ns or one.sent_ns + 1):
                counts[exchange] += (exchange, symbol, one.trade.trade_id) not in heard
        return counts

    def overflows(self) -> dict[str, int]:
        """By exchange, how many frames the feed says that it lost."""
        counts = dict.fromkeys(VENUES, 0)
        for exchange in VENUES:
            for message in reading.read_all(self.place.broker.servers, RAW.format(exchange)):
                value = message.value() or b""
                if value.startswith(b'{"candlewax":"overflow"'):
                    counts[exchange] += json.loads(value)["lost"]
        return counts

    def journal(self) -> Sequence[Published]:
        """What the exchanges published."""
        return self.simulator.journal

    # The exchanges.

    def cut(self) -> None:
        """Cut all connections; to be back, each exchange has told of both."""
        before = self.reached()
        self.at_exchanges(lambda simulator: simulator.drop())
        self.until(lambda: all(now >= before[n] + 2 for n, now in self.reached().items()))

    def resume(self) -> None:
        """Let trades happen again."""
        self.at_exchanges(lambda simulator: simulator.begin())

    def at_exchanges(self, action: Callable[[Simulator], Any]) -> Any:
        """Do something where the exchanges are played."""

        async def act() -> Any:
            done = action(self.simulator)
            return await done if asyncio.iscoroutine(done) or asyncio.isfuture(done) else done

        return self.run(act())


def last_line(process: Process) -> str:
    """What a process said last."""
    return process.said().strip().rpartition("\n")[2]


@contextmanager
def staged(place: Place, name: str = "market", *, altered: bool = False) -> Iterator[Stage]:
    """Everything runs, and trades flow. Where it is `altered`, so that clocks can be stepped
    and memory be made small.
    """
    plan = Plan(rate=place.size.rate, starts_paused=True, ids_from=1_000_000)
    reading.delete_topics(place.broker.servers)
    system = place.system(name)
    try:
        with running(Simulator(plan)) as (simulator, run):
            clock = Clock(system.store("clock")) if altered else None
            stage = Stage(place, system, simulator, run, clock=clock)
            try:
                for flow in FLOWS:
                    stage.start(flow)
                stage.resume()
                stage.recover()
                yield stage
            finally:
                system.end()
    finally:
        reading.delete_topics(place.broker.servers)
