"""Disks that are full. They are real ones, small and of memory; who may not make one does
without these faults.
"""

from candlewax._readers import Server
from candlewax.connectors.clickhouse import FREE_BYTES, connect
from tests.clickhouse.serving import Serving
from tests.dataflows import playing
from tests.faults.account import account
from tests.faults.days import around_midnight
from tests.faults.disk import Disk
from tests.faults.embedded import play
from tests.faults.fault import Fault, Outcome
from tests.faults.stage import Place, Stage
from tests.kafka.system import record


def of_the_server(stage: Stage) -> Outcome:
    """Nothing can be stored until there is room again."""
    disk = stage.place.disk
    assert disk
    before = stage.reached()

    def full() -> bool:
        # Not to the last byte: what is being inserted, and was let in, finds its room.
        disk.fill(FREE_BYTES // 2)
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


ROOM = FREE_BYTES + (1 << 18)
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
        if not full.returncode or "NOT_ENOUGH_SPACE" not in full.stderr:
            outcome.wrong.append(f"it ended with {full.returncode}: {full.stderr[-500:]}")
        disk.grow()
        free = play(disk.folder, log, within=disk.within)
        if free.returncode:
            outcome.wrong.append(f"the next one ended with {free.returncode}: {free.stderr[-500:]}")
        server = Serving(disk.folder, within=disk.within)
        tables = connect(Server(server.dsn), "market")
        outcome.account = account(tables, playing.all_fills(frames), live=False)
        tables.close()
        server.end()
    finally:
        disk.close()
    return outcome


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
]
