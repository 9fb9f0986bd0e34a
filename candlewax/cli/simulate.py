"""Command `candlewax simulate`: plays exchanges with a synthetic market."""

import argparse
import asyncio
import errno
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import fields
from pathlib import Path
from typing import Final

from websockets.frames import CloseCode

from candlewax.cli.simulate_commands import describe_commands
from candlewax.simulator.exchanges import published
from candlewax.simulator.exchanges.registry import NATIVE_SYMBOLS, PATHS
from candlewax.simulator.plan import FaultRates, Plan
from candlewax.simulator.replay import LogError
from candlewax.simulator.server import Simulator

_IDS_BEGIN: Final = 1_767_225_600
"""2026-01-01 UTC, in seconds since 1970."""

_IDS_A_SECOND: Final = 100_000
"""Ids per second, so that a later start has higher ids unless a market trades more often."""

_PLAYED: Final = "binance,binance_usdm,kraken,coinbase"

_KEEP: Final = 200_000
"""Number of trades kept in memory, of each market and of all together."""

_STATISTICS_SECONDS: Final = 10.0

PROBABILITIES: Final = {
    "skip": "that a trade never comes on a socket (REST has it)",
    "repeat": "that a frame comes twice",
    "swap": "that a frame comes behind the next one of its market",
    "truncate": "that a frame ends early",
    "garbage": "that an unreadable frame follows a good one",
    "limit": "that a request to REST is one too many",
    "fail": "that a request to REST is answered with status 503",
}
INTERVALS: Final = {
    "drop_every": "cut a connection without a close frame",
    "close_every": "close a connection with --close-code",
    "stall_every": "send no trades for --stall-seconds, while heartbeats go on",
    "freeze_every": "send nothing at all for --stall-seconds, and hear nothing",
}


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "simulate",
        help="play the exchanges: a websocket and REST server with a synthetic market",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    command.add_argument("--host", default="127.0.0.1", help="where to listen")
    command.add_argument("--port", type=_parse_port, default=8765, help="0 for any that is free")
    command.add_argument(
        "--rate", type=_parse_positive, default=50.0, help="trades a second, all exchanges together"
    )
    command.add_argument(
        "--exchanges",
        type=_parse_exchanges,
        default=_PLAYED,
        metavar="ID,...",
        help="those that trade; the others are open and have no trades",
    )
    command.add_argument(
        "--seed", type=int, default=1, help="the same seed gives the same trades at other times"
    )
    command.add_argument(
        "--flood", action="store_true", help="as many trades as the clients take, whatever the rate"
    )
    command.add_argument("--recording", type=_parse_file, help="play this frame log instead")
    command.add_argument(
        "--pace",
        type=_parse_not_negative,
        default=1.0,
        help="of the recording; 0 is as fast as possible",
    )
    command.add_argument(
        "--markets",
        type=_parse_count,
        default=0,
        help="of each spot exchange, at least; made-up ones beyond those of instruments.toml",
    )
    command.add_argument("--seconds", type=_parse_positive, help="stop after so many")
    command.add_argument("--journal", type=Path, help="write each trade played into this file")
    _add_faults(command.add_argument_group("what goes wrong"))
    command.set_defaults(run=_run)


def _add_faults(group: "argparse._ArgumentGroup") -> None:
    for name, description in PROBABILITIES.items():
        group.add_argument(
            f"--{name}", type=_parse_probability, default=0.0, help=f"the chance {description}"
        )
    for name, description in INTERVALS.items():
        option = f"--{name.replace('_', '-')}"
        text = f"{description}; a mean time in seconds, 0 is never"
        group.add_argument(option, type=_parse_not_negative, default=0.0, help=text)
    group.add_argument(
        "--oldest",
        type=_parse_count,
        default=0,
        help="trades of a market that REST shows; 0 is all",
    )
    group.add_argument(
        "--close-code", type=_parse_close_code, default=1012, help="see --close-every"
    )
    group.add_argument(
        "--stall-seconds",
        type=_parse_positive,
        default=20.0,
        help="see --stall-every, --freeze-every",
    )
    group.add_argument(
        "--refuse",
        type=_parse_native_symbol,
        action="append",
        default=[],
        metavar="SYMBOL",
        help="a native symbol the exchanges do not know; may be given several times",
    )


def _parse_number(text: str, fits: Callable[[float], bool], expected: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or not fits(number):
        raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}")
    return number


def _parse_positive(text: str) -> float:
    return _parse_number(text, lambda number: number > 0, "a number above 0")


def _parse_not_negative(text: str) -> float:
    return _parse_number(text, lambda number: number >= 0, "a number from 0 up")


def _parse_probability(text: str) -> float:
    return _parse_number(text, lambda number: 0 <= number <= 1, "a chance from 0 to 1")


def _parse_port(text: str) -> int:
    expected = "a port from 0 to 65535"
    return int(_parse_number(text, lambda n: n == int(n) and 0 <= n < 65536, expected))


def _parse_count(text: str) -> int:
    return int(_parse_number(text, lambda n: n >= 0 and n == int(n), "a whole number from 0 up"))


def _parse_close_code(text: str) -> int:
    reserved = {code for code in CloseCode if code not in (1005, 1006, 1015)}
    expected = "a close code: 1000 to 1014 but 1004 to 1006, or 3000 to 4999"
    return int(
        _parse_number(text, lambda n: n in reserved or (n == int(n) and 3000 <= n < 5000), expected)
    )


def _parse_exchanges(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    if unknown := [name for name in names if name not in PATHS]:
        raise argparse.ArgumentTypeError(
            f"expected some of {', '.join(PATHS)}, comma-separated, got {unknown[0]!r}"
        )
    return names


def _parse_native_symbol(text: str) -> str:
    if text not in NATIVE_SYMBOLS:
        examples = f"{NATIVE_SYMBOLS[0]}, {NATIVE_SYMBOLS[-1]}"
        raise argparse.ArgumentTypeError(f"expected a native symbol as {examples}, got {text!r}")
    return text


def _parse_file(text: str) -> Path:
    if not Path(text).is_file():
        raise argparse.ArgumentTypeError(f"there is no file {text!r}")
    return Path(text)


def plan(arguments: argparse.Namespace) -> Plan:
    """Return the plan of the options."""
    rates = {item.name: getattr(arguments, item.name) for item in fields(FaultRates)}
    return Plan(
        rate=arguments.rate,
        exchanges=arguments.exchanges,
        seed=arguments.seed,
        fault_rates=FaultRates(**{**rates, "refuse": tuple(arguments.refuse)}),
        recording=arguments.recording,
        pace=arguments.pace,
        flood=arguments.flood,
        markets=arguments.markets,
        ids_from=max(int(time.time()) - _IDS_BEGIN, 0) * _IDS_A_SECOND,
        keep=_KEEP,
    )


def _run(arguments: argparse.Namespace) -> int:
    try:
        asyncio.run(_serve(arguments))
    except (OSError, LogError) as error:
        print(f"candlewax: {_reason(error, arguments)}", file=sys.stderr)
        return 1
    return 0


def _reason(error: OSError | LogError, arguments: argparse.Namespace) -> str:
    if isinstance(error, LogError) or error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
        return str(error)
    reason = os.strerror(error.errno)
    address = f"{arguments.host} port {arguments.port}"
    return f"cannot listen on {address}: {reason}; choose another with --port"


async def _serve(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with ExitStack() as files:
        write_journal = None
        if arguments.journal:
            journal = files.enter_context(arguments.journal.open("w", encoding="utf-8"))

            def write_journal(item: published.Published) -> object:
                return journal.write(published.journal_line(item))

        simulator = Simulator(plan(arguments), arguments.host, arguments.port, write_journal)
        async with simulator:
            print(describe_commands(simulator), end="\n\n", flush=True)
            await _watch(simulator, stop, arguments.seconds)
    print(f"Stopped. {_statistics(simulator)}.", flush=True)


async def _watch(simulator: Simulator, stop: asyncio.Event, seconds: float | None) -> None:
    """Print statistics every few seconds until `stop` is set or the time is over."""
    loop = asyncio.get_running_loop()
    end = math.inf if seconds is None else loop.time() + seconds
    while not stop.is_set() and (left_s := end - loop.time()) > 0:
        before, begin = simulator.sent, loop.time()
        try:
            async with asyncio.timeout(min(left_s, _STATISTICS_SECONDS)):
                await simulator.failed(stop)
        except TimeoutError:
            rate = (simulator.sent - before) / (loop.time() - begin)
            print(f"{_statistics(simulator)}, {rate:,.0f} a second", flush=True)


def _statistics(simulator: Simulator) -> str:
    unit = "frames" if simulator.plan.recording else "trades"
    return (
        f"{len(simulator.connections())} connections, {simulator.sent:,} {unit} played, "
        f"{simulator.published.skipped:,} on no socket, {simulator.rest_requests:,} REST requests"
    )
