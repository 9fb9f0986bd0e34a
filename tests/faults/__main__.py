"""`python -m tests.faults [NAME ...] [--full] [--runs N] [--seed N]`: faults are made on
purpose, and the tables are compared with what came.

Each fault is played in a process of its own, with a time limit of its own, and its result is
kept in build/faults, also if it fails. With --full each is written into the table of
docs/faults.md, whose other rows stay. --resume leaves out what went well before.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.faults.all import FAULTS
from tests.faults.fault import FULL, SHORT, Fault, Size
from tests.faults.playing import play
from tests.faults.table import PAGE, Result, cores, kept, put, text
from tests.support.kafka.broker import fetch_jars

KEPT: Final = Path(__file__).parents[2] / "build" / "faults"

MINUTES_A_RUN: Final = 1.5
"""The most that one of many runs may take."""


def main() -> None:
    """Play what is asked for; ends with 1 if anything is wrong."""
    chosen = _arguments()
    size = replace(FULL if chosen.full else SHORT)
    if chosen.rate:
        size = replace(size, rate=chosen.rate)
    folder = KEPT / ("full" if chosen.full else "short")
    if chosen.alone:
        play(FAULTS[chosen.names[0]], size, chosen.runs, chosen.seed).write(folder)
        return
    os.environ["no_proxy"] = "*"
    # So that nothing which was started stays.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    fetch_jars()
    before = kept(folder)
    failed = False
    for name in chosen.names or FAULTS:
        if chosen.resume and name in before and not before[name].why:
            continue
        result = _apart(FAULTS[name], size, chosen, folder)
        failed |= bool(result and result.why)
        if chosen.full:
            write(folder)
    if not chosen.full:
        print(text(FAULTS.values(), kept(folder)))
    sys.exit(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, epilog="faults: " + ", ".join(FAULTS)
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which; all if none is named")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="as NAME")
    parser.add_argument("--full", action="store_true", help="as long as it takes")
    parser.add_argument("--runs", type=int, default=10, help="of what begins anew each time")
    parser.add_argument("--seed", type=int, default=0, help="of the first of these")
    parser.add_argument("--rate", type=int, help="trades a second of all exchanges together")
    parser.add_argument("--resume", action="store_true", help="leave out what went well before")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    chosen.names += chosen.only
    if unknown := [name for name in chosen.names if name not in FAULTS]:
        parser.error(f"no such fault: {', '.join(unknown)}; there are {', '.join(FAULTS)}")
    return chosen


def _apart(fault: Fault, size: Size, chosen: argparse.Namespace, folder: Path) -> Result | None:
    """Play a fault in a process of its own, and end all that it has started."""
    if not fault.needs():
        print(f"{fault.name}: cannot be made here: it takes root and mounts", flush=True)
        return None
    limit = max(fault.limit, chosen.runs * MINUTES_A_RUN * 60 if fault.anew else 0)
    (folder / f"{fault.name}.json").unlink(missing_ok=True)
    print(f"{fault.name}: ", end="", flush=True)
    begin = time.monotonic()
    numbers = {"--rate": size.rate, "--runs": chosen.runs, "--seed": chosen.seed}
    more = [text for name, number in numbers.items() for text in (name, str(number))]
    more += ["--full"] if chosen.full else []
    command = [sys.executable, "-m", "tests.faults", fault.name, "--alone", *more]
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / f"{fault.name}.log"
    # What a process that is ended leaves goes with it.
    with TemporaryDirectory(prefix="faults-") as own, log.open("wb") as out:
        env = {**os.environ, "TMPDIR": own}
        process = subprocess.Popen(command, stdout=out, stderr=out, env=env, start_new_session=True)
        why = _wait(process, limit)
    seconds = time.monotonic() - begin
    result = kept(folder).get(fault.name)
    if result is None:
        last = log.read_text(errors="replace").strip().rpartition("\n")[2]
        result = Result(fault.name, asdict(size), cores(), seconds, [why or last or "no result"])
        result.write(folder)
    print(f"{'; '.join(result.why)[:1000] or 'as it must be'}, {seconds:,.0f} s", flush=True)
    return result


def _wait(process: "subprocess.Popen[bytes]", limit: float) -> str:
    """Why it was ended, if it was; nothing that it has started stays."""
    try:
        process.wait(limit)
    except subprocess.TimeoutExpired:
        return f"not over after {limit:,.0f} s"
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return ""


def write(folder: Path) -> None:
    """Write the table of the page anew; what was not played keeps its row."""
    page = PAGE.read_text("utf-8")
    PAGE.write_text(put(page, text(FAULTS.values(), kept(folder), page)), "utf-8")


if __name__ == "__main__":
    main()
