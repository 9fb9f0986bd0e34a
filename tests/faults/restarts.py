"""One process with an embedded database, ended at random moments of a recording."""

import json
import random
import shutil
import signal
from itertools import pairwise
from pathlib import Path
from subprocess import Popen, TimeoutExpired

from bytewax.recovery import init_db_dir

from candlewax.clickhouse.client import Database, connect
from candlewax.runtime.setting_parsers import Server
from tests.faults.account import Account, account
from tests.faults.days import around_midnight
from tests.faults.embedded import PIECEWISE, begin, play
from tests.faults.fault import Fault, Outcome
from tests.faults.place import Place
from tests.faults.runs import again_and_again
from tests.support import playing
from tests.support.clickhouse_process import serving
from tests.support.kafka.system import record
from tests.support.playing import Frame

FRAMES = 1500

ENDS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
"""How lives end, one after another."""

LONGEST = 2.0
"""Seconds after it has begun to read when a process is ended at the latest."""

Outages = list[tuple[int, int]]
"""Microseconds since 1970."""


def recording(seed: int) -> tuple[list[Frame], Outages]:
    """What came around a midnight from two exchanges, with late trades, repeats and holes,
    and when nothing came of Binance: three times, now and then without a word.
    """
    chance = random.Random(seed)
    frames = around_midnight(FRAMES, seed)
    cuts = [0, *_outages(chance), FRAMES]
    kept, outages = [_event("connected", 0, frames[0].recv_us, 0)], Outages()
    for part, (since, until) in enumerate(pairwise(cuts)):
        if part % 2 == 0:
            kept += frames[since:until]
            continue
        down = max(frame.recv_us for frame in kept if frame.exchange == "binance")
        process = part
        if chance.random() < 0.5:
            process, down = 0, frames[since].recv_us
            kept.append(_event("disconnected", part, down, process))
        kept += [frame for frame in frames[since:until] if frame.exchange != "binance"]
        up = frames[until].recv_us
        kept.append(_event("connected", 10 * part, up, process))
        outages += [(down, up)] if up > down else []
    return kept, outages


def _outages(chance: random.Random) -> list[int]:
    """Where frames begin to be missed, and where they come again."""
    starts = chance.sample(range(1, FRAMES // 100), 3)
    return [100 * n + part for n in sorted(starts) for part in (0, chance.randint(1, 60))]


def _event(kind: str, number: int, at: int, process: int) -> Frame:
    content = {"candlewax": kind, "process": str(process)}
    text = json.dumps(content, separators=(",", ":"))
    return Frame("binance", "b0", 10**6 + number, at, text, ())


def at_random(place: Place) -> Outcome:
    """As often as asked: a recording into an empty database, by a process that is killed."""
    return again_and_again(place, _once)


def _once(folder: Path, seed: int, chance: random.Random) -> tuple[int, Account]:
    frames, outages = recording(seed)
    kills = _play(folder, frames, chance)
    return kills, _compare(folder, frames, outages)


def _play(folder: Path, frames: list[Frame], chance: random.Random) -> int:
    """Play it until a life comes to its end; how many were ended before."""
    log, kills = record(folder / "market.tsv", frames), 0
    for number in ENDS[: chance.randint(1, 3)]:
        process = begin(
            folder / "tables", log, *memory(folder / "recovery", chance), within=list, **PIECEWISE
        )
        if _ends_within(process, chance.uniform(0, LONGEST), number):
            return kills
        kills += 1
    done = play(
        folder / "tables", log, *memory(folder / "recovery", chance), within=list, **PIECEWISE
    )
    assert done.returncode == 0, done.stderr
    return kills


def memory(store: Path, chance: random.Random) -> list[str]:
    """The options of a recovery store: most often that of the life before."""
    if chance.random() < 0.25:
        shutil.rmtree(store, ignore_errors=True)
    if not store.exists():
        store.mkdir()
        init_db_dir(store, 1)
    return ["-r", str(store), "-s", chance.choice(["0", "1"]), "-b", "0"]


def _ends_within(process: "Popen[str]", seconds: float, number: signal.Signals) -> bool:
    """Tell whether a process ends by itself before it is sent a signal; it ends well if asked."""
    try:
        _, said = process.communicate(timeout=seconds)
    except TimeoutExpired:
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
        assert process.returncode == (-number if number == signal.SIGKILL else 0), said
        return False
    assert process.returncode == 0, said
    return True


def _compare(folder: Path, frames: list[Frame], outages: Outages) -> Account:
    # In a process of its own: one process has one embedded engine.
    with serving(folder / "tables") as server:
        tables = connect(Server(server.dsn), "market")
        found, rows = _read(tables, frames)
        tables.close()
    if rows != outages:
        found.wrong.append(f"outages {rows}, expected {outages}")
    return found


def _read(tables: Database, frames: list[Frame]) -> tuple[Account, Outages]:
    found = account(tables, playing.all_fills(frames), live=False)
    rows = tables.query(
        """
        SELECT toUnixTimestamp64Micro(out.began) AS since, toUnixTimestamp64Micro(out.ended) AS up
        FROM outages AS out FINAL ORDER BY ALL
        """
    ).rows()
    return found, rows


FAULTS = [
    Fault(
        "kills-embedded",
        "one process for all, with an embedded database, ended one to three times at random "
        "moments of a recording, by SIGKILL, SIGTERM and SIGINT, its recovery store lost now and "
        "then; each run anew",
        at_random,
        live=False,
        anew=True,
    )
]
