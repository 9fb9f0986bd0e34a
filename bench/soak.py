"""Run `candlewax up` for hours and record its resources every minute.

python -m bench.soak [--hours H | --minutes M] [--rate R] [--into FILE]

The simulator plays the exchanges, a program reads the stream of a page, and the embedded engine
stores. Each minute adds a line to a table: memory, descriptors, threads, parts and disk. The end
compares the first line with the last, and gives the slope of the last half.
"""

import argparse
import http.client
import json
import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Final
from urllib.parse import urlencode

from bench.live.processes import COMMAND, Piece, Stage
from tests.support.ports import free_port

RATE: Final = 60.0
"""Trades per second of all exchanges."""

WARM: Final = 5
"""Minutes that the summary leaves out: caches fill, imports happen, the first candles close."""

_READ: Final = """
import sys, urllib.request
for _ in urllib.request.urlopen(sys.argv[1]):
    pass
"""

_SERIES: Final = {"exchange": "binance", "symbol": "BTC/USDT", "timeframe": "1m"}

_PART: Final = re.compile(r"[^/]+_\d+_\d+_\d+(_\d+)?")
"""Name of a part's directory."""


@dataclass(frozen=True)
class Minute:
    """Resources of the process at one time; megabytes are 2**20 bytes.

    `rss_mb` includes pages of the engine's library and of mapped files. `private_mb` is what the
    process allocated. `parts` includes those that merges have replaced.
    """

    minute: int
    rss_mb: float
    private_mb: float
    descriptors: int
    threads: int
    parts: int
    disk_mb: float
    trades: int
    processor_s: float


def observe(piece: Piece, port: int, folder: Path, minute: int) -> Minute:
    """Measure the process and its directory, and read how many trades it stored."""
    status = _status(piece.pid)
    parts, size = _directory(folder)
    return Minute(
        minute,
        rss_mb=round(status["VmRSS"] / 1024, 1),
        private_mb=round(status["RssAnon"] / 1024, 1),
        descriptors=sum(1 for _ in Path(f"/proc/{piece.pid}/fd").iterdir()),
        threads=status["Threads"],
        parts=parts,
        disk_mb=round(size / 2**20, 1),
        trades=_stored(port),
        processor_s=round(piece.cpu(), 1),
    )


def slope(minutes: Sequence[float], values: Sequence[float]) -> float:
    """Return the rise per hour of a line fitted by least squares."""
    count = len(minutes)
    middle, level = sum(minutes) / count, sum(values) / count
    spread = sum((minute - middle) ** 2 for minute in minutes)
    if not spread:
        return 0.0
    pairs = zip(minutes, values, strict=True)
    return 60 * sum((minute - middle) * (value - level) for minute, value in pairs) / spread


def summarize(minutes: Sequence[Minute]) -> list[str]:
    """Return one line per column: the first minute after the warm-up and the last, compared."""
    rows = [row for row in minutes if row.minute >= WARM] or list(minutes)
    half = rows[len(rows) // 2 :]
    lines = []
    for name in (field.name for field in fields(Minute)[1:]):
        first, last = getattr(rows[0], name), getattr(rows[-1], name)
        rise = slope([row.minute for row in half], [getattr(row, name) for row in half])
        lines.append(f"{name}: {first:,} at minute {rows[0].minute}, {last:,} at minute "
                     f"{rows[-1].minute}; {rise:+.1f} an hour in the last half")  # fmt: skip
    return lines


def _status(pid: int) -> dict[str, int]:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines)
    return {name: int(text.split()[0]) for name, text in pairs if name in _STATUS}


_STATUS: Final = {"VmRSS", "RssAnon", "Threads"}


def _directory(folder: Path) -> tuple[int, int]:
    """Return the parts and bytes below a directory; files may vanish meanwhile."""
    parts = size = 0
    # os.walk skips directories that vanish.
    for place, folders, files in os.walk(folder):
        parts += sum(1 for name in folders if _PART.fullmatch(name))
        for name in files:
            with suppress(FileNotFoundError):
                size += (Path(place) / name).lstat().st_blocks * 512
    return parts, size


def _stored(port: int) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", "/api/v1/exchanges")
        rows = json.loads(connection.getresponse().read())["data"]
    finally:
        connection.close()
    return sum(row["trades"] for row in rows)


def soak(minutes: int, rate: float, into: Path) -> list[Minute]:
    """Run the pipeline for some minutes; print and write each as it ends."""
    names = [field.name for field in fields(Minute)]
    rows: list[Minute] = []
    with Stage() as stage, into.open("w", encoding="utf-8") as table:
        _, urls = stage.simulator(f"--rate={rate}")
        folder, port = stage.folder / "clickhouse", free_port()
        urls["CANDLEWAX_CLICKHOUSE"] = str(folder)
        up = stage.python("up", "-c", COMMAND, "up", f"--port={port}", **urls)
        up.wait_for_output("Ctrl-C")
        address = f"http://127.0.0.1:{port}/api/v1/stream?{urlencode(_SERIES)}"
        reader = stage.python("reader", "-c", _READ, address)
        began = time.monotonic()
        print("\t".join(names), file=table, flush=True)
        print("  ".join(names), flush=True)
        for minute in range(minutes + 1):
            time.sleep(max(0.0, began + 60 * minute - time.monotonic()))
            up.check()
            reader.check()
            rows.append(observed := observe(up, port, folder, minute))
            row = [str(value) for value in asdict(observed).values()]
            print("\t".join(row), file=table, flush=True)
            print("  ".join(text.rjust(len(name)) for name, text in zip(names, row, strict=True)),
                  flush=True)  # fmt: skip
        for line in summarize(rows):
            print(f"# {line}", file=table, flush=True)
            print(line, flush=True)
    return rows


def main() -> None:
    """Parse the options and soak."""
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--hours", type=float, default=24.0)
    parser.add_argument("--minutes", type=int, help="instead of hours")
    parser.add_argument("--rate", type=float, default=RATE, help="trades a second")
    parser.add_argument("--into", type=Path, default=Path("soak.tsv"), help="the table")
    options = parser.parse_args()
    minutes = round(options.hours * 60) if options.minutes is None else options.minutes
    soak(minutes, options.rate, options.into)


if __name__ == "__main__":
    main()
