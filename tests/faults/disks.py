"""Disks that are full. They are real ones, small and of memory; who may not make one does
without these faults.
"""

import random
import time

from candlewax.clickhouse.client import connect
from candlewax.clickhouse.disk_guard import LOW_SPACE_BYTES
from candlewax.runtime.setting_parsers import Server
from tests.faults.account import Account, account
from tests.faults.days import around_midnight
from tests.faults.disk import Disk
from tests.faults.embedded import PIECEWISE, begin, play
from tests.faults.fault import Fault, Outcome
from tests.faults.place import Place
from tests.faults.restarts import memory
from tests.faults.stage import PATIENCE, Stage
from tests.support import playing
from tests.support.clickhouse_process import Serving
from tests.support.kafka.system import record
from tests.support.playing import Frame


def of_the_server(stage: Stage) -> Outcome:
    """Nothing can be stored until there is room again."""
    disk = stage.place.disk
    assert disk
    before = stage.reached()

    def full() -> bool:
        # Not to the last byte: what is being inserted, and was let in, finds its room.
        disk.fill(LOW_SPACE_BYTES // 2)
        return "NOT_ENOUGH_SPACE" in stage.running["silver"].said_now()

    stage.until(full)
    stage.spend(stage.size.absence)
    stage.until(lambda: all(now > before[name] for name, now in stage.reached().items()))
    behind = stage.behind()
    disk.grow()
    outcome = Outcome(recovery=stage.recover(), seen=f"{behind:,} frames waited at most")
    if behind <= 0:
        outcome.wrong.append("nothing waited")
    return outcome


FULL = "the disk is full"
"""What a run says that finds no room."""

ROOM = LOW_SPACE_BYTES + (1 << 18)
"""Bytes beside the empty tables: not enough for all that comes."""


def of_a_directory(place: Place) -> Outcome:
    """A run into an embedded database ends with an error that says why; started again when
    there is room, it goes on, and the tables hold each trade once.
    """
    frames = around_midnight(2000, seed=11)
    log = record(place.folder / "embedded.tsv", frames)
    outcome = Outcome(ended=1)
    disk = Disk(place.folder / "embedded")
    try:
        play(disk.folder, record(place.folder / "empty.tsv", []), within=disk.within)
        disk.resize(disk.used() + ROOM)
        full = play(disk.folder, log, within=disk.within)
        if not full.returncode or FULL not in full.stderr:
            outcome.wrong.append(f"it ended with {full.returncode}: {full.stderr[-500:]}")
        disk.grow()
        free = play(disk.folder, log, within=disk.within)
        if free.returncode:
            outcome.wrong.append(f"the next one ended with {free.returncode}: {free.stderr[-500:]}")
        outcome.account = _account(disk, frames)
    finally:
        disk.close()
    return outcome


MOST = 1 << 20
"""Bytes that a run has written when its disk is full, at the most: about half of all that the
first one writes.
"""


def at_once(place: Place) -> Outcome:
    """The same, if the disk is full to its last byte at once, at any moment of a run: again and
    again, and most often with a recovery store.
    """
    frames, chance = around_midnight(2000, seed=12), random.Random(place.seed)
    log, store = record(place.folder / "filled.tsv", frames), place.folder / "recovery"
    outcome, times = Outcome(), 3 * place.size.times
    disk = Disk(place.folder / "filled")
    try:
        play(disk.folder, record(place.folder / "empty.tsv", []), within=disk.within)
        for number in range(times):
            options = memory(store, chance)
            process = begin(disk.folder, log, *options, within=disk.within, **PIECEWISE)
            enough = disk.used() + chance.randrange(MOST)
            while process.poll() is None and disk.used() < enough:
                time.sleep(0.001)
            disk.fill_up()
            _, said = process.communicate(timeout=PATIENCE)
            disk.grow()
            outcome.ended += process.returncode != 0
            if process.returncode and FULL not in said:
                outcome.wrong.append(f"{number}: it ended with {process.returncode}: {said[-500:]}")
        outcome.seen = f"{times} times, of which {outcome.ended} ended a run"
        if not outcome.ended:
            outcome.wrong.append("no run met the full disk")
        free = play(disk.folder, log, *memory(store, chance), within=disk.within, **PIECEWISE)
        if free.returncode:
            outcome.wrong.append(f"the last one ended with {free.returncode}: {free.stderr[-500:]}")
        outcome.account = _account(disk, frames)
    finally:
        disk.close()
    return outcome


def _account(disk: Disk, frames: list[Frame]) -> Account:
    server = Serving(disk.folder, within=disk.within)
    tables = connect(Server(server.dsn), "market")
    found = account(tables, playing.all_fills(frames), live=False)
    tables.close()
    server.end()
    return found


FAULTS = [
    Fault(
        "disk-full",
        "the disk of ClickHouse full for {absence:g} s",
        of_the_server,
        limit=420,
        needs=Disk.possible,
    ),
    Fault(
        "disk-full-embedded",
        "the disk of an embedded database full before a recording is over; room, and a new start",
        of_a_directory,
        live=False,
        ends=True,
        needs=Disk.possible,
    ),
    Fault(
        "disk-full-at-once",
        "the disk of an embedded database full to its last byte at random moments of a "
        "recording; room, and a new start",
        at_once,
        live=False,
        ends=True,
        needs=Disk.possible,
    ),
]
