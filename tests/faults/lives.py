"""One process with an embedded database on live feeds, killed at random moments."""

import random
import time
from pathlib import Path
from subprocess import Popen

from candlewax.clickhouse.client import Database, connect
from candlewax.runtime.setting_parsers import Server
from candlewax.simulator.exchanges.published import Published
from candlewax.simulator.plan import FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.faults.account import Account, account
from tests.faults.embedded import listen
from tests.faults.fault import Fault, Outcome
from tests.faults.place import Place
from tests.faults.restarts import memory
from tests.faults.runs import again_and_again
from tests.faults.stage import VENUES
from tests.support.clickhouse_process import serving
from tests.support.exchange_server import running
from tests.support.kafka import reading, truth
from tests.support.oracle import Fill

MISCHIEF = FaultRates(skip=0.003, repeat=0.01, swap=0.01, truncate=0.002, garbage=0.005)

LONGEST = 6.0
"""Seconds after it has begun to listen when a process is killed at the latest."""

_FRAMES = """
SELECT frame, toUnixTimestamp64Micro(received_at), source_offset
FROM bronze_frames FINAL
WHERE exchange = {exchange:String}
ORDER BY received_at, received_ns, connection, source_offset
"""


def at_random(place: Place) -> Outcome:
    """As often as asked: an empty database, and processes that are killed."""

    def once(folder: Path, seed: int, chance: random.Random) -> tuple[int, Account]:
        plan = Plan(rate=place.size.rate, seed=seed, fault_rates=MISCHIEF)
        with running(Simulator(plan)) as (simulator, _):
            kills = _live(folder, simulator, chance)
            return kills, _compare(folder, simulator.journal)

    outcome = again_and_again(place, once)
    outcome.seen += f"; {place.size.rate:,} trades a second"
    return outcome


def _live(folder: Path, simulator: Simulator, chance: random.Random) -> int:
    """Listen in some lives, of which the last one is asked to end; how many were killed."""
    kills = chance.randint(1, 3)
    for life in range(kills + 1):
        store = memory(folder / "recovery", chance)
        process = listen(folder / "tables", simulator.url, *store)
        reading.until(lambda: all(map(simulator.subscribed, VENUES)))
        time.sleep(chance.uniform(1, LONGEST))
        if life < kills:
            process.kill()
            process.communicate()
        else:
            _end(process)
        reading.until(lambda: not simulator.connections())
    return kills


def _end(process: "Popen[str]") -> None:
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said


def _compare(folder: Path, journal: list[Published]) -> Account:
    # In a process of its own: one process has one embedded engine.
    with serving(folder / "tables") as server:
        tables = connect(Server(server.dsn), "market")
        found = account(tables, _fills(tables), journal)
        tables.close()
    return found


def _fills(tables: Database) -> list[Fill]:
    """What the stored frames say."""
    return [
        fill
        for exchange in VENUES
        for fill in truth.of_frames(exchange, tables.query(_FRAMES, {"exchange": exchange}).rows())
    ]


FAULTS = [
    Fault(
        "kills-live",
        "one process for all, with an embedded database, on live feeds, killed one to three times "
        "at random moments, its recovery store lost now and then; each run anew",
        at_random,
        live=False,
        anew=True,
        shortened="tests.dataflows.test_leftover"
        ".test_killed_process_loses_no_frame_that_reached_its_writer",
    )
]
