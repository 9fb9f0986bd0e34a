"""Processes that bring data of another kind than the database holds."""

from collections.abc import Sequence

from candlewax.core.kind_marks import KIND_TEXTS, REAL, SIMULATED
from candlewax.pipeline.data_kind import stored_kind
from tests.faults.days import around_midnight
from tests.faults.fault import Fault, Outcome
from tests.faults.stage import Stage
from tests.support.kafka.system import Process, System, record

TABLES = ("bronze_frames", "silver_trades", "dead_letters", "gaps", "outages", "ohlcv")

CONSUMERS = ("silver", "ohlcv", "tables")

FRAMES = 500

_ALONE = {"CANDLEWAX_BROKERS": ""}


def database(stage: Stage) -> Outcome:
    """The stage's exchanges are simulated. What they say meets a database of real markets, straight
    and through the topics; a recording of real markets meets the stage's database and topics.
    """
    real = stage.place.system("foreign")
    try:
        return _meet(stage, real)
    finally:
        real.forget()


def _meet(stage: Stage, real: System) -> Outcome:
    log = str(record(stage.place.folder / "foreign.tsv", around_midnight(FRAMES, seed=31)))
    outcome = Outcome()
    filled = real.start("ohlcv", name="fills", CANDLEWAX_FEED=log, **_ALONE)
    if filled.wait():
        outcome.wrong.append(f"the recording was not stored: {filled.said()}")
    before, sent = _rows(real), stage.foreign()
    started = [(real.start(flow, name=f"real-{flow}", **stage.live), flow) for flow in CONSUMERS]
    alone = real.start("ohlcv", name="real-alone", **stage.live, **_ALONE)
    played = stage.system.start("ohlcv", name="plays", CANDLEWAX_FEED=log, **_ALONE)
    sends = stage.system.start("ingest", name="sends", CANDLEWAX_FEED=log)
    for process, name in [*started, (alone, "live"), (played, "recording"), (sends, "ingest")]:
        outcome.wrong += _refused(process, name)
    outcome.recovery = stage.recover()
    after = _rows(real)
    outcome.wrong += [f"{name}: {before[name]} rows, then {after[name]}" for name in TABLES
                      if before[name] != after[name]]  # fmt: skip
    if stage.foreign() != sent:
        outcome.wrong.append("the stage's tables hold frames of the recording")
    kinds = stored_kind(stage.system.tables), stored_kind(real.tables)
    if kinds != (SIMULATED, REAL):
        outcome.wrong.append(f"the databases are of kinds {kinds}")
    outcome.seen = f"{len(started) + 3} processes refused, {sum(after.values()):,} rows unchanged"
    return outcome


def _refused(process: Process, name: str) -> Sequence[str]:
    """What is wrong with the end of a process that must refuse."""
    status, said = process.wait(), process.said_now()
    last = said.strip().rpartition("\n")[2]
    named = all(KIND_TEXTS[kind] in last for kind in (REAL, SIMULATED)) and "Set CANDLEWAX_" in last
    if status and named and "Traceback" not in said:
        return []
    return [f"{name} ended with {status}: {said[-1000:]}"]


def _rows(system: System) -> dict[str, int]:
    """How many rows each table has."""
    return {
        name: int(system.tables.query(f"SELECT count() FROM {name} FINAL").item())
        for name in TABLES
    }


FAULTS = [
    Fault(
        "foreign-database",
        "simulated processes on a database of real markets, and a recording of real markets on "
        "the database and the topics of the simulator",
        database,
    )
]
