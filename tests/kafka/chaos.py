"""Live feeds through everything that can go wrong, and then the account.

`python -m tests.kafka.chaos --minutes 10 --rate 2000` plays simulated exchanges that cut
connections, repeat, swap and garble; kills each dataflow again and again; restarts the
broker and the database in the middle; and compares the tables with what reached the raw
topics. It prints what it did, and ends with 0 if nothing is lost and nothing is twice.
"""

import argparse
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from candlewax.verification.verify import check_totals, verify
from tests.support import oracle, stored
from tests.support.clickhouse_process import Serving, serving
from tests.support.kafka import reading, truth
from tests.support.kafka.broker import Broker, fetch_jars
from tests.support.kafka.system import Process, System
from tests.support.oracle import Fill
from tests.support.ports import free_port

FLOWS = ("ingest", "silver", "ohlcv")
VENUES = {"binance": "binance/stream", "kraken": "kraken/v2", "coinbase": "coinbase"}
MISCHIEF = (
    "--drop-every", "20", "--close-every", "30", "--repeat", "0.01", "--swap", "0.01",
    "--truncate", "0.001", "--garbage", "0.001",
)  # fmt: skip
SIMULATE = "import sys; from candlewax.cli.main import main; main(sys.argv[1:])"

Say = Callable[[str], None]


@dataclass
class Chaos:
    """One run: what is alive, and what was done to it."""

    system: System
    broker: Broker
    server: Serving
    chance: random.Random
    rate: int
    say: Say
    port: int = field(default_factory=free_port)
    running: dict[str, Process] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)

    def begin(self) -> Process:
        """Open the exchanges and start all dataflows; gives the exchanges."""
        command = [sys.executable, "-c", SIMULATE, "simulate", "--port", str(self.port)]
        rate = ["--rate", str(self.rate), "--seed", str(self.chance.randint(1, 10**6))]
        exchanges = self.system.run([*command, *rate, *MISCHIEF], "simulate")
        reading.until(lambda: b"open" in self.system.output("simulate"))
        for flow in FLOWS:
            self.start(flow)
        return exchanges

    def start(self, flow: str) -> None:
        """Start a dataflow, as a supervisor would."""
        urls = {
            f"CANDLEWAX_{name.upper()}_URL": f"ws://127.0.0.1:{self.port}/{path}"
            for name, path in VENUES.items()
        }
        live = {"CANDLEWAX_FEED": "live", **urls, "CANDLEWAX_EXCHANGES": ",".join(VENUES)}
        start = self.system.start if flow == "ingest" else self.system.durable
        self.running[flow] = start(flow, **live)

    def listening(self) -> bool:
        """Whether the latest life of ingest hears every exchange."""
        self.live()
        heard = self.running["ingest"].said_now()
        return all(f"{name}-0: subscribed" in heard for name in VENUES)

    def strike(self, victim: str) -> None:
        """Kill something, and start it again."""
        self.done[victim] = self.done.get(victim, 0) + 1
        self.say(f"kill -9 {victim}")
        if victim == "broker":
            self.broker.stop(signal.SIGKILL)
            self.broker.start()
        elif victim == "database":
            self.server.end(signal.SIGKILL)
            self.server.start()
        else:
            self.running[victim].end(signal.SIGKILL)
            self.start(victim)

    def live(self) -> None:
        """Start again what ended by itself, which is an error unless it was cut off."""
        for flow, process in self.running.items():
            if (status := process.ended()) is not None:
                why = process.said().strip().rpartition("\n")[2]
                self.say(f"{flow} ended with {status} and is started again: {why}")
                self.done[f"{flow} ended"] = self.done.get(f"{flow} ended", 0) + 1
                self.start(flow)


def run(chaos: Chaos, strikes: int, pause: float) -> list[Fill]:
    """Strike so many times; gives what reached the raw topics."""
    exchanges = chaos.begin()
    victims = [FLOWS[n % 3] for n in range(strikes)]
    victims[len(victims) // 2 : len(victims) // 2] = ["broker", "database"]
    for victim in victims:
        time.sleep(chaos.chance.uniform(0.5, 1.5) * pause)
        chaos.live()
        chaos.strike(victim)
    time.sleep(pause)
    chaos.live()
    reading.until(chaos.listening)
    exchanges.end()
    # What was received is on its way: ingest flushes when it is stopped.
    assert chaos.running.pop("ingest").end() == 0
    reached = truth.fills(chaos.system.servers)
    chaos.say(f"{len(reached):,} trades reached the raw topics")
    distinct = len(oracle.distinct(reached))

    def stored() -> bool:
        chaos.live()
        return chaos.system.stored() == (distinct, distinct)

    reading.until(stored, seconds=600, pause=0.5)
    for process in chaos.running.values():
        assert process.end() == 0, process.said()
    return reached


def account(system: System, fills: list[Fill]) -> None:
    """Silver is exactly what reached the raw topics, and gold what it makes.

    Live, the wall clock may have closed more candles than the stream's own time.
    """
    expected = stored.expected_gold(fills)
    tables = system.tables
    assert stored.silver(tables) == stored.expected_silver(fills)
    found = stored.gold(tables)
    assert found.keys() == expected.keys()
    for window, candle in found.items():
        told = expected[window]
        assert candle["closed"] >= told["closed"]
        assert candle["version"] == 2 * candle["trade_count"] + candle["closed"]
        fixed = {"closed": candle["closed"], "version": candle["version"]}
        assert candle == {**told, **fixed}, window
    assert check_totals(tables.client) == []
    assert verify(tables.client).equal


def main() -> None:
    """Run as long as is asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--rate", type=int, default=2000, help="trades a second")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=8, help="mean seconds between strikes")
    chosen = parser.parse_args()
    fetch_jars()
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = Broker(folder / "kafka")
        broker.start()
        with serving(folder / "server") as server:
            system = System(folder, broker.servers, server.dsn, "market")
            chance = random.Random(chosen.seed)
            chaos = Chaos(system, broker, server, chance, chosen.rate, say)
            try:
                fills = run(chaos, max(3, round(chosen.minutes * 60 / chosen.pause)), chosen.pause)
                account(system, fills)
            finally:
                system.end()
                broker.stop(signal.SIGKILL)
        distinct = len(oracle.distinct(fills))
        say(f"done to it: {chaos.done}")
        say(
            f"{len(fills):,} trades in the raw topics, {distinct:,} different ones; lost 0, twice 0"
        )


if __name__ == "__main__":
    main()
