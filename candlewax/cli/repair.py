"""The command `candlewax repair`: asks the exchanges now for the trades that are missing."""

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from candlewax.cli.common import CommandError, exit_on_error, say_which
from candlewax.clickhouse.client import Database, connect, open_tables
from candlewax.core import instruments
from candlewax.core.gaps.fill_plan import MAX_GAP_NUMBERS
from candlewax.core.kind_marks import REAL, SIMULATED
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.rest.fill_schedule import GapSelection
from candlewax.feeds.rest.gap_fill import GapFillSource, RestEndpoint
from candlewax.kafka import topic_kind
from candlewax.kafka.client import KafkaClient, create_topics
from candlewax.pipeline import builder
from candlewax.pipeline.builder import Components, ProcessContext
from candlewax.pipeline.data_kind import claim, live_kind, open_claimed
from candlewax.pipeline.reports.gap_fill import GapFillReport
from candlewax.pipeline.reports.summary import console
from candlewax.pipeline.sources import rest_endpoints
from candlewax.runtime import settings
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import configure_logging
from candlewax.runtime.settings import Settings, SettingsError
from candlewax.runtime.shutdown import ShutdownSignal

FILLED, LEFT, NOT_ASKED = 0, 1, 2
"""Exit statuses: nothing is left of the gaps chosen; something is; could not ask."""

Build = Callable[[Components], Dataflow]

_NAMED: Final = """
SELECT exchange, symbol, first_sequence AS first, count
FROM gaps FINAL
WHERE first_sequence IN {firsts:Array(UInt64)}
    AND (empty({exchanges:Array(String)}) OR exchange IN {exchanges:Array(String)})
    AND (empty({symbols:Array(String)}) OR symbol IN {symbols:Array(String)})
ORDER BY exchange, symbol, first
"""

_SYMBOLS: Final = "SELECT DISTINCT symbol FROM gaps WHERE symbol IN {symbols:Array(String)}"


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]", build: Build) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "repair",
        help="ask the exchanges by REST, once, for the trades that `candlewax gaps` lists; exit 0: "
        "none is left, 1: some are, 2: could not ask",
    )
    command.add_argument(
        "--again", action="store_true", help="also for those that were given up (unrepairable)"
    )
    for name, choices, what in (
        ("--exchange", EXCHANGES, "only of this exchange"),
        ("--symbol", None, "only of this market, unified, as BTC/USDT"),
    ):
        text = f"{what}; may come several times"
        command.add_argument(name, choices=choices, action="append", default=[], help=text)
    command.add_argument(
        "--first",
        type=_number,
        action="append",
        default=[],
        metavar="NUMBER",
        help="only for gaps that begin with this number, also if they were given up or have more "
        f"than {MAX_GAP_NUMBERS:,} numbers; may come several times",
    )
    command.set_defaults(run=partial(_run, build=build))


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) >= 2**64:
        raise argparse.ArgumentTypeError(f"got {text!r}, takes the first number of a gap")
    return int(text)


def _run(arguments: argparse.Namespace, build: Build) -> int:
    return exit_on_error(NOT_ASKED, lambda: run(arguments, build))


def run(arguments: argparse.Namespace, build: Build) -> int:
    """Fill gaps; gives the exit status. `build` makes the pipeline to the tables or, where there
    is a broker, to the raw topics.

    Raises CommandError and what a start of a dataflow raises.
    """
    chosen = settings.load()
    known = instruments.load(chosen.instruments)
    wanted = arguments.exchange or chosen.exchanges or known.exchanges
    kind = live_kind({name: url for name, url in chosen.rest_urls.items() if name in wanted})
    if not kind:
        names = ", ".join(f"CANDLEWAX_{name.upper()}_REST_URL" for name in chosen.rest_urls)
        raise SettingsError(f"{names}: nothing answers there")
    chosen = replace(chosen, is_simulated=kind == SIMULATED)
    asked = _asked(chosen, wanted, arguments.exchange, kind)
    firsts = frozenset(arguments.first)
    choice = GapSelection(arguments.again or bool(firsts), frozenset(arguments.symbol), firsts)
    tally, stop = Counters(), ShutdownSignal()
    say_which(chosen)
    # Nothing is made where nothing is: there is no gap to ask for.
    connect(chosen.clickhouse, chosen.database).close()
    with ExitStack() as stack:
        tables = open_tables(chosen.clickhouse, chosen.database)
        stack.callback(tables.close)
        claim(tables, chosen.clickhouse, chosen.database, kind)
        named = _check(tables, choice, list(asked))
        # By a connection of its own: it looks on while rows are stored.
        onlooker = connect(chosen.clickhouse, chosen.database)
        stack.callback(onlooker.close)
        told = GapFillReport(
            f"Asking {', '.join(asked)} for {chosen.clickhouse}, database {chosen.database}",
            console(), tally, onlooker, stop, choice, asked, is_sent=chosen.brokers is not None,
        )  # fmt: skip
        source = GapFillSource(asked, onlooker, tally, stop, is_finite=True, selection=choice)
        process = ProcessContext(
            known, tuple(asked), tally, stop, on_end=told.end, is_replayable=False, kind=kind
        )
        made = _made(chosen, process, source, tables)
        configure_logging()
        flow = build(made)
        stop.listen()
        told.begin()
        for line in _bounds(named, asked):
            print(line, flush=True)
        cli_main(flow)
        # Where nothing came, no sink has said that it is over.
        told.end()
    return FILLED if told.is_whole else LEFT


def _asked(
    chosen: Settings, wanted: Sequence[str], named: Sequence[str], kind: str
) -> dict[str, RestEndpoint]:
    """Return how the wanted exchanges are asked. Raises SettingsError if one that is named may not
    be, or none.
    """
    asked = rest_endpoints(chosen, wanted, real=kind == REAL)
    for exchange in named or () if asked else wanted:
        if exchange not in asked:
            raise SettingsError(
                f"CANDLEWAX_{exchange.upper()}_REST_URL: needed to ask {exchange}, as other "
                "addresses are not the exchanges' own"
            )
    return asked


def _check(
    tables: Database, choice: GapSelection, exchanges: list[str]
) -> list[tuple[str, str, int, int]]:
    """Return the gaps that are named: exchange, symbol, first number and how many. Raises
    CommandError if there is no gap of a market, or none that begins with a number.
    """
    symbols, firsts = sorted(choice.symbols), sorted(choice.firsts)
    found = set(tables.query(_SYMBOLS, {"symbols": symbols})["symbol"])
    for symbol in symbols:
        if symbol not in found:
            raise CommandError(
                f"--symbol: got {symbol!r}, of which there is no gap; takes a unified symbol that "
                "candlewax gaps lists, as BTC/USDT"
            )
    parameters = {"firsts": firsts, "symbols": symbols, "exchanges": exchanges}
    named = tables.query(_NAMED, parameters)
    for first in firsts:
        if first not in set(named["first"]):
            raise CommandError(
                f"--first: got {first}, with which no gap begins; candlewax gaps lists them"
            )
    return named.rows()


def _bounds(
    named: Sequence[tuple[str, str, int, int]], asked: dict[str, RestEndpoint]
) -> Sequence[str]:
    """Say how long it takes at least to ask for gaps that are named and long."""
    lines = []
    for exchange, symbol, first, count in named:
        rest = asked[exchange].rest
        if count > MAX_GAP_NUMBERS:
            requests = -(-count // rest.page_rows)
            least = timedelta(seconds=int(requests / rest.requests_per_s))
            lines.append(
                f"{exchange} {symbol} from {first}: {count:,} numbers, up to {requests:,} requests "
                f"or {least} at {rest.requests_per_s:g} a second; Ctrl-C ends it, what came is stored"
            )
    return lines


def _made(
    chosen: Settings, process: ProcessContext, source: GapFillSource, tables: Database
) -> Components:
    if not chosen.brokers:
        return builder.build_embedded(process, source, tables)
    broker = KafkaClient(chosen.brokers)
    create_topics(broker, chosen.brokers, process.exchanges)
    topic_kind.require_kind(broker, process.exchanges, process.kind)
    open_database = partial(open_claimed, chosen, process.kind)
    return builder.build_ingest(process, source, broker, open_database)
