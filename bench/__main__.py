"""Runs all benchmarks, each against its rivals in the same minute."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import frames

ROUNDS = 3
COUNT = 1_000_000
WINDOWED = 60_000
BATCHES = {1: 300, 10: 3_000, 100: 30_000, 1_000: 100_000, 5_000: 200_000, 50_000: 400_000}
"""Frames a batch, and how many frames are played so."""

Result = dict[str, Any]


def measure(what: str, count: int, cores: list[int], **more: Any) -> Result:  # noqa: ANN401 - JSON
    """Run one task and print its line."""
    task = {"what": what, "frames": count, "cores": cores, **more}
    done = subprocess.run(
        [sys.executable, "-m", "bench.task", json.dumps(task)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    found: Result = json.loads(done.stdout.splitlines()[-1])
    found.pop("log", None)
    print(json.dumps(found), flush=True)
    return found


def main() -> None:
    """Measure, then print the table."""
    cores = sorted(os.sched_getaffinity(0))
    one, two = cores[-1:], cores[-2:]
    with tempfile.TemporaryDirectory() as name:
        logs = {
            symbols: str(frames.write(Path(name) / f"{symbols}.tsv", COUNT, symbols))
            for symbols in (20, 2_000)
        }
        long = str(frames.write(Path(name) / "long.tsv", 3 * COUNT, 20))
        rounds = [one_round(number, logs, one) for number in range(ROUNDS)]
        # Long enough that the last block, which nothing overlaps, hardly counts.
        longer = [measure("candlewax", 3 * COUNT, cores, log=long) for cores in (one, two)]
    sizes = [measure("batches", count, one, size=size) for size, count in BATCHES.items()]
    report(rounds, longer, sizes)


def one_round(number: int, logs: dict[int, str], one: list[int]) -> dict[str, Result]:
    """Candlewax and its rivals, one after another."""
    return {
        "direct": measure("direct", COUNT, one, log=logs[20]),
        "candlewax": measure("candlewax", COUNT, one, log=logs[20], sizes=number == 0),
        "cascaded": measure("cascaded", COUNT, one, log=logs[20]),
        "many": measure("candlewax", COUNT, one, log=logs[2_000]),
        "windows": measure("windows", WINDOWED, one, log=logs[20]),
    }


def report(rounds: list[dict[str, Result]], longer: list[Result], sizes: list[Result]) -> None:
    """The table: medians, and ratios within each round."""
    table = Table("", "frames/s", "Candlewax is", title="From frames to candles")
    names = {
        "candlewax": "Candlewax, one core, 20 symbols",
        "direct": "(a) ClickHouse alone, six views",
        "cascaded": "(b) ClickHouse alone, cascaded views",
        "windows": "(c) Bytewax, six fold_window, nothing stored",
        "many": "Candlewax, one core, 2,000 symbols",
    }
    for name, title in names.items():
        speeds = [found[name]["per_second"] for found in rounds]
        ratios = [f["candlewax"]["per_second"] / f[name]["per_second"] for f in rounds]
        middle = statistics.median(ratios)
        ratio = f"{middle:.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})"
        table.add_row(
            title, f"{statistics.median(speeds):,.0f}", "" if name == "candlewax" else ratio
        )
    alone, both = (found["per_second"] for found in longer)
    table.add_row("Candlewax, two cores", f"{both:,}", f"on two {both / alone:.2f} times as fast")
    for found in sizes:
        table.add_row(f"batches of {found['size']:,}", f"{found['per_second']:,}")
    console = Console(width=100)
    console.print(table)
    short = statistics.median(found["candlewax"]["peak_mb"] for found in rounds)
    long = f"{longer[0]['peak_mb']:,} MB for {3 * COUNT:,}"
    console.print(f"Peak memory: {short:,.0f} MB for {COUNT:,} frames, {long}")
    console.print(f"Bytes per trade on disk: {rounds[0]['candlewax']['bytes_per_trade']}")


if __name__ == "__main__":
    main()
