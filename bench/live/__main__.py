"""Runs the parts that are asked for, or all, and prints a table of each.

    python -m bench.live [--frames N] [--seconds S] [PART ...]

Each figure is also a line of JSON, with what each process and all others used.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.live import api, chain, footprint, latency, page, sockets, watched
from bench.live.processes import Result
from tests.support.kafka.broker import BrokerUnavailableError

_FRAMES: Final = 1_000_000
_SECONDS: Final = 20.0
_ASKED: Final = 2_000

PARTS: Final[Mapping[str, Callable[[argparse.Namespace], Iterator[Result]]]] = {
    # What waits for room in memory must not be lost.
    "sockets": lambda chosen: sockets.run(min(chosen.frames, 300_000)),
    "chain": lambda chosen: chain.run(chosen.frames, tuple(chosen.ways)),
    "latency": lambda chosen: latency.run(chosen.seconds, tuple(chosen.rates), tuple(chosen.where)),
    "footprint": lambda chosen: footprint.run(chosen.seconds),
    "page": lambda chosen: page.run(chosen.seconds),
    "watched": lambda chosen: watched.run(chosen.seconds),
    "api": lambda chosen: api.run(chosen.asked, tuple(chosen.served)),
}


def main() -> None:
    """Measure, then print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.live", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--frames", type=int, default=_FRAMES, help="of sockets and chain")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="of latency, footprint")
    parser.add_argument(
        "--ways", nargs="+", choices=chain.WAYS, default=chain.WAYS, help="of chain"
    )
    parser.add_argument("--rates", type=int, nargs="+", default=latency.RATES, help="of latency")
    parser.add_argument(
        "--where", nargs="+", choices=latency.WHERE, default=latency.WHERE, help="of latency"
    )
    parser.add_argument("--asked", type=int, default=_ASKED, help="requests of api, each way")
    parser.add_argument("--served", nargs="+", choices=api.WAYS, default=api.WAYS, help="of api")
    chosen = parser.parse_args()
    if unknown := set(chosen.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}")
    found = {part: _part(part, chosen) for part in chosen.parts or PARTS}
    console = Console(width=150)
    for part, results in found.items():
        if results:
            console.print(_TABLES[part](results))
    cores = len(os.sched_getaffinity(0))
    console.print(f"{cores} cores; load at the end {os.getloadavg()[0]:.1f}")


def _part(part: str, chosen: argparse.Namespace) -> list[Result]:
    results = []
    try:
        for result in PARTS[part](chosen):
            print(json.dumps(result), flush=True)
            results.append(result)
    except BrokerUnavailableError as error:
        print(json.dumps({"part": part, "what": str(error)}), flush=True)
    return results


def _cpu(result: Result) -> str:
    used: dict[str, float] = result.get("cpu", {})
    return ", ".join(f"{name} {cpu:.1f}" for name, cpu in used.items() if cpu >= 0.1)


def _speeds(title: str, results: list[Result]) -> Table:
    table = Table("", "frames/s", "frames", "s", "seconds of a core", "others' cores", title=title)
    for one in results:
        if "per_second" in one:
            speed, frames = f"{one['per_second']:,}", f"{one['frames']:,}"
            more = (f"{one['seconds']:.1f}", _cpu(one), f"{one['others_cores']:.2f}")
            table.add_row(one["what"], speed, frames, *more)
        else:
            table.add_row(one["what"])
    return table


def _latencies(results: list[Result]) -> Table:
    names = ("trades/s", "where", "epochs", "trades", "p50", "p90", "p99", "longest", "confirmed")
    table = Table(*names, "others' cores", title="From sent to readable, in milliseconds")
    for one in results:
        times = [f"{one.get(f'{name}_ms', 0):,.0f}" for name in ("p50", "p90", "p99", "max")]
        trades = f"{one['trades']:,}" + (f", {one['never']:,} never" if one["never"] else "")
        about = (f"{one['rate']:,}", one["where"], one["epochs"], trades)
        table.add_row(*about, *times, f"{one['confirmed']:,}", f"{one['others_cores']:.2f}")
    return table


def _footprints(results: list[Result]) -> Table:
    title = f"At {footprint.RATE} trades a second, after a minute"
    table = Table("", "process", "of a core", "memory", "others' cores", title=title)
    for one in results:
        for name, memory in one["rss_mb"].items():
            cores = f"{100 * one['cores'][name]:.1f} %"
            table.add_row(one["where"], name, cores, f"{memory:,} MB", f"{one['others_cores']:.2f}")
    return table


def _pages(results: list[Result]) -> Table:
    names = ("where", "what", "asked", "p50_ms", "p95_ms", "p99_ms", "under_10_ms")
    table = Table(*names, "seconds of a core", "others' cores", title="The page and the API")
    for one in results:
        told = (str(one.get(name, "")) for name in names)
        table.add_row(*told, _cpu(one), f"{one['others_cores']:.2f}")
    return table


_TABLES: Final[Mapping[str, Callable[[list[Result]], Table]]] = {
    "sockets": lambda results: _speeds("From socket to acknowledged in the raw topic", results),
    "chain": lambda results: _speeds("From a recording to the raw topics, and to gold", results),
    "latency": _latencies,
    "footprint": _footprints,
    "page": _pages,
    "watched": lambda results: _speeds("From a recording to the tables, watched", results),
    "api": _pages,
}


if __name__ == "__main__":
    main()
