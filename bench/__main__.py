"""Benchmarks of one core from a frame log to candles, against alternatives in the same minute."""

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
WINDOWS_COUNT = 60_000
BATCHES = {1: 300, 10: 3_000, 100: 30_000, 1_000: 100_000, 5_000: 200_000, 50_000: 400_000}
"""Frames measured, by frames per batch."""

Result = dict[str, Any]


def measure(task_name: str, count: int, cores: list[int], **options: Any) -> Result:  # noqa: ANN401 - JSON
    """Run one task in a process of its own and print its result."""
    task = {"what": task_name, "frames": count, "cores": cores, **options}
    done = subprocess.run(
        [sys.executable, "-m", "bench.task", json.dumps(task)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    result: Result = json.loads(done.stdout.splitlines()[-1])
    result.pop("log", None)
    print(json.dumps(result), flush=True)
    return result


def main() -> None:
    """Run all measurements and print the table."""
    cores = sorted(os.sched_getaffinity(0))
    one_core, two_cores = cores[-1:], cores[-2:]
    with tempfile.TemporaryDirectory() as name:
        logs = {
            symbols: str(frames.write(Path(name) / f"{symbols}.tsv", COUNT, symbols))
            for symbols in (20, 2_000)
        }
        long_log = str(frames.write(Path(name) / "long.tsv", 3 * COUNT, 20))
        rounds = [measure_round(number, logs, one_core) for number in range(ROUNDS)]
        # Long enough that the last block, which no other work overlaps, hardly counts.
        longer = [
            measure("candlewax", 3 * COUNT, cores, log=long_log) for cores in (one_core, two_cores)
        ]
    sizes = [measure("batches", count, one_core, size=size) for size, count in BATCHES.items()]
    report(rounds, longer, sizes)


def measure_round(number: int, logs: dict[int, str], core: list[int]) -> dict[str, Result]:
    """Measure Candlewax and its alternatives, one after another."""
    return {
        "direct": measure("direct", COUNT, core, log=logs[20]),
        "candlewax": measure("candlewax", COUNT, core, log=logs[20], sizes=number == 0),
        "cascaded": measure("cascaded", COUNT, core, log=logs[20]),
        "many": measure("candlewax", COUNT, core, log=logs[2_000]),
        "windows": measure("windows", WINDOWS_COUNT, core, log=logs[20]),
    }


def report(rounds: list[dict[str, Result]], longer: list[Result], sizes: list[Result]) -> None:
    """Print medians, and ratios within each round."""
    table = Table(
        "", "frames/s", "Candlewax is", "by processor time", title="From frames to candles"
    )
    names = {
        "candlewax": "Candlewax, one core, 20 symbols",
        "direct": "(a) ClickHouse alone, six views",
        "cascaded": "(b) ClickHouse alone, cascaded views",
        "windows": "(c) Bytewax, six fold_window, nothing stored",
        "many": "Candlewax, one core, 2,000 symbols",
    }
    for name, title in names.items():
        speeds = [results[name]["per_second"] for results in rounds]
        ratios = [
            format_ratios(
                [per_frame(r[name], time) / per_frame(r["candlewax"], time) for r in rounds]
            )
            for time in ("seconds", "processor_s")
        ]
        median = f"{statistics.median(speeds):,.0f}"
        table.add_row(title, median, *([] if name == "candlewax" else ratios))
    one_core, two_cores = (result["per_second"] for result in longer)
    speedup = f"{two_cores / one_core:.2f} times as fast as on one"
    table.add_row("Candlewax, two cores", f"{two_cores:,}", speedup)
    for result in sizes:
        table.add_row(f"batches of {result['size']:,}", f"{result['per_second']:,}")
    console = Console(width=120)
    console.print(table)
    peak_mb = statistics.median(results["candlewax"]["peak_mb"] for results in rounds)
    long_peak = f"{longer[0]['peak_mb']:,} MB for {3 * COUNT:,}"
    console.print(f"Peak memory: {peak_mb:,.0f} MB for {COUNT:,} frames, {long_peak}")
    console.print(f"Bytes per trade on disk: {rounds[0]['candlewax']['bytes_per_trade']}")


def per_frame(result: Result, time: str) -> float:
    """Return the seconds of one frame, elapsed or of processor time."""
    return float(result[time] / result["frames"])


def format_ratios(ratios: list[float]) -> str:
    """Return the median of ratios, the least and the greatest."""
    return f"{statistics.median(ratios):.2f} times as fast ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
