"""Measure running pipelines, in all parts or the named ones, and print a table of each.

python -m bench.live [--frames N] [--seconds S] [PART ...]

Each result is also a line of JSON, with the resources of each process and of all others.
"""

import argparse
import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.live import (
    api,
    chain,
    footprint,
    last,
    latency,
    offloading,
    page,
    sockets,
    venues,
    watched,
    workers,
)
from bench.live.processes import Result
from tests.support.jars import MissingProgramError

_FRAMES: Final = 1_000_000
_SECONDS: Final = 20.0
_REQUESTS: Final = 2_000

PARTS: Final[Mapping[str, Callable[[argparse.Namespace], Iterator[Result]]]] = {
    # No more frames than the receive buffers hold, so that none is dropped.
    "sockets": lambda options: sockets.run(min(options.frames, 300_000)),
    "chain": lambda options: chain.run(options.frames, tuple(options.ways)),
    "latency": lambda options: latency.run(
        options.seconds or _SECONDS, tuple(options.rates or latency.RATES), tuple(options.where)
    ),
    "footprint": lambda options: footprint.run(
        tuple(options.rates or footprint.RATES),
        options.seconds or footprint.SECONDS,
        options.warm,
    ),
    "page": lambda options: page.run(options.seconds or _SECONDS),
    "workers": lambda options: workers.run(options.frames),
    "venues": lambda options: venues.run(
        options.seconds or _SECONDS, tuple(options.rates or venues.RATES)
    ),
    "watched": lambda options: watched.run(options.seconds or _SECONDS),
    "api": lambda options: api.run(options.asked, tuple(options.served)),
    "last": lambda _: last.run(),
    "offloading": lambda options: offloading.run(
        options.seconds or _SECONDS, tuple(options.rates or offloading.RATES)
    ),
}


def main() -> None:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.live", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--frames", type=int, default=_FRAMES, help="of sockets, chain and workers")
    parser.add_argument(
        "--seconds",
        type=float,
        help=f"of each measurement of footprint ({footprint.SECONDS:g}), and of latency, page, "
        f"watched, offloading and venues ({_SECONDS:g})",
    )
    parser.add_argument(
        "--warm", type=float, default=footprint.WARM, help="seconds before each, of footprint"
    )
    parser.add_argument(
        "--ways", nargs="+", choices=chain.WAYS, default=chain.WAYS, help="of chain"
    )
    parser.add_argument(
        "--rates",
        type=int,
        nargs="+",
        help="trades a second, of latency, footprint, offloading and venues",
    )
    parser.add_argument(
        "--where", nargs="+", choices=latency.WHERE, default=latency.WHERE, help="of latency"
    )
    parser.add_argument("--asked", type=int, default=_REQUESTS, help="requests of api, each way")
    parser.add_argument("--served", nargs="+", choices=api.WAYS, default=api.WAYS, help="of api")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}")
    results_by_part = {part: _run_part(part, options) for part in options.parts or PARTS}
    console = Console(width=150)
    for part, results in results_by_part.items():
        if results:
            console.print(_TABLES[part](results))
    cores = len(os.sched_getaffinity(0))
    console.print(f"{cores} cores; load at the end {os.getloadavg()[0]:.1f}")


def _run_part(part: str, options: argparse.Namespace) -> list[Result]:
    results = []
    try:
        for result in PARTS[part](options):
            print(json.dumps(result), flush=True)
            results.append(result)
    except MissingProgramError as error:
        print(json.dumps({"part": part, "what": str(error)}), flush=True)
    return results


def _format_cpu(result: Result) -> str:
    used: dict[str, float] = result.get("cpu", {})
    return ", ".join(f"{name} {cpu:.1f}" for name, cpu in used.items() if cpu >= 0.1)


def _speeds(title: str, results: list[Result]) -> Table:
    table = Table("", "frames/s", "frames", "s", "seconds of a core", "others' cores", title=title)
    for result in results:
        if "per_second" in result:
            speed, frames = f"{result['per_second']:,}", f"{result['frames']:,}"
            more = (
                f"{result['seconds']:.1f}",
                _format_cpu(result),
                f"{result['others_cores']:.2f}",
            )
            table.add_row(result["what"], speed, frames, *more)
        else:
            table.add_row(result["what"])
    return table


def _workers(results: list[Result]) -> Table:
    names = ("processes", "s of a core a million", "ratio to one", "s of a core to start")
    title = "Processes of one exchange, from the raw topic to the tables"
    table = Table(*names, "seconds of a core", "others' cores", title=title)
    for result in results:
        if "ratio" not in result:
            table.add_row(result["what"])
            continue
        fields = (f"{result[name]:.2f}" for name in ("per_million_s", "ratio", "start_s"))
        table.add_row(result["what"], *fields, _format_cpu(result), f"{result['others_cores']:.2f}")
    return table


def _latencies(results: list[Result]) -> Table:
    names = ("trades/s", "where", "epochs", "trades", "p50", "p90", "p99", "longest", "confirmed")
    table = Table(*names, "others' cores", title="From sent to readable, in milliseconds")
    for result in results:
        times = [f"{result.get(f'{name}_ms', 0):,.0f}" for name in ("p50", "p90", "p99", "max")]
        trades = f"{result['trades']:,}" + (
            f", {result['never']:,} never" if result["never"] else ""
        )
        about = (f"{result['rate']:,}", result["where"], result["epochs"], trades)
        table.add_row(*about, *times, f"{result['confirmed']:,}", f"{result['others_cores']:.2f}")
    return table


def _footprints(results: list[Result]) -> Table:
    names = ("trades/s", "process", "cores", "RSS, MB", "wake-ups/s")
    delays = ("age of SQL's answer", "query", "frame to stream")
    title = "Cost of a process; delays in milliseconds, median and 99 % within"
    table = Table(*names, *delays, "others' cores", title=title)
    for result in results:
        if "cores" not in result:
            table.add_row("", result["what"])
            continue
        cost = (f"{result['cores']:.3f}", f"{result['rss_mb']:,}", f"{result['wakeups']:,}")
        times = (_format_delays(result, name) for name in ("sql", "query", "stream"))
        about = (f"{result['rate']:,}", result["what"])
        table.add_row(*about, *cost, *times, f"{result['others_cores']:.2f}")
    return table


def _format_delays(result: Result, name: str) -> str:
    times = (result.get(f"{name}_{share}_ms") for share in ("p50", "p99"))
    never = result.get("never", 0) if name == "stream" else 0
    return ", ".join(f"{ms:,.1f}" for ms in times if ms is not None) + (
        f"; {never:,} never" if never else ""
    )


def _pages(results: list[Result]) -> Table:
    names = ("where", "what", "asked", "p50_ms", "p95_ms", "p99_ms", "under_10_ms")
    table = Table(*names, "seconds of a core", "others' cores", title="The page and the API")
    for result in results:
        fields = (str(result.get(name, "")) for name in names)
        table.add_row(*fields, _format_cpu(result), f"{result['others_cores']:.2f}")
    return table


def _delays(results: list[Result]) -> Table:
    names = ("rate", "what", "trades", "never", "p50_ms", "p99_ms", "seconds")
    title = "From sent to the stream, or to stored candles"
    table = Table(*names, "seconds of a core", "others' cores", title=title)
    for result in results:
        fields = (str(result.get(name, "")) for name in names)
        table.add_row(*fields, _format_cpu(result), f"{result['others_cores']:.2f}")
    return table


def _lasts(results: list[Result]) -> Table:
    names = ("what", "asked", "per_core_second", "per_second", "others_cores")
    table = Table(*names, title="Requests for the last candles, from memory")
    for result in results:
        table.add_row(*(f"{result.get(name, '')}" for name in names))
    return table


_TABLES: Final[Mapping[str, Callable[[list[Result]], Table]]] = {
    "sockets": lambda results: _speeds("From socket to acknowledged in the raw topic", results),
    "chain": lambda results: _speeds("From a recording to the raw topics, and to gold", results),
    "latency": _latencies,
    "footprint": _footprints,
    "page": _pages,
    "workers": _workers,
    "venues": _delays,
    "watched": lambda results: _speeds("From a recording to the tables, watched", results),
    "api": _pages,
    "last": _lasts,
    "offloading": _delays,
}


if __name__ == "__main__":
    main()
