"""Command `candlewax repair`: requests missing trades from the exchanges once."""

import argparse
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final

from bytewax.dataflow import Dataflow
from bytewax.run import cli_main

from candlewax.cli.common import CommandError, exit_on_error, print_database
from candlewax.clickhouse.client import Database, connect, open_tables
from candlewax.core.gaps.fill_plan import MAX_GAP_NUMBERS
from candlewax.core.instruments import load as load_instruments
from candlewax.core.kind_marks import REAL, SIMULATED
from candlewax.core.shards import ShardPlan
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.rest.fill_schedule import GapSelection
from candlewax.feeds.rest.gap_fill import GapFillSource
from candlewax.feeds.rest.gap_filler import RestEndpoint
from candlewax.kafka import topic_kind
from candlewax.kafka.client import KafkaClient
from candlewax.kafka.topic_setup import create_topics
from candlewax.pipeline import builder
from candlewax.pipeline.builder import Components
from candlewax.pipeline.data_kind import claim, live_kind, open_claimed
from candlewax.pipeline.process import ProcessContext
from candlewax.pipeline.reports.gap_fill import GapFillReport
from candlewax.pipeline.reports.summary import console
from candlewax.pipeline.sources import trade_endpoints
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import configure_logging
from candlewax.runtime.settings import Settings, SettingsError
from candlewax.runtime.settings import load as load_settings
from candlewax.runtime.shutdown import ShutdownSignal

FILLED, LEFT, NOT_ASKED = 0, 1, 2
"""Exit statuses: no gap of the selection is left; some are; could not request."""

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
    """Add the command to the parser."""
    command = commands.add_parser(
        "repair",
        help="request the missing trades that `candlewax gaps` lists by REST, once; exit 0: no gap "
        "is left, 1: some are, 2: could not request",
    )
    command.add_argument(
        "--again", action="store_true", help="also gaps that were given up (unrepairable)"
    )
    for name, choices, description in (
        ("--exchange", EXCHANGES, "only of this exchange"),
        ("--symbol", None, "only of this market, unified, as BTC/USDT"),
    ):
        text = f"{description}; may come several times"
        command.add_argument(name, choices=choices, action="append", default=[], help=text)
    command.add_argument(
        "--first",
        type=_parse_number,
        action="append",
        default=[],
        metavar="NUMBER",
        help="only for gaps that begin with this number, also if they were given up or have more "
        f"than {MAX_GAP_NUMBERS:,} numbers; may come several times",
    )
    command.set_defaults(run=partial(_run, build=build))


def _parse_number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) >= 2**64:
        raise argparse.ArgumentTypeError(f"got {text!r}, takes the first number of a gap")
    return int(text)


def _run(arguments: argparse.Namespace, build: Build) -> int:
    return exit_on_error(NOT_ASKED, lambda: run(arguments, build))


def run(arguments: argparse.Namespace, build: Build) -> int:
    """Fill gaps and return the exit status.

    `build` builds the dataflow to the tables or, with a broker, to the raw topics. Raises
    CommandError and what the start of a dataflow raises.
    """
    settings = load_settings()
    configure_logging(settings.log)
    instruments = load_instruments(settings.instruments)
    exchanges = arguments.exchange or settings.exchanges or instruments.exchanges
    kind = live_kind({name: url for name, url in settings.rest_urls.items() if name in exchanges})
    if not kind:
        names = ", ".join(f"CANDLEWAX_{name.upper()}_REST_URL" for name in settings.rest_urls)
        raise SettingsError(f"{names}: nothing answers there")
    settings = replace(settings, is_simulated=kind == SIMULATED)
    endpoints = _find_endpoints(settings, exchanges, arguments.exchange, kind)
    firsts = frozenset(arguments.first)
    selection = GapSelection(arguments.again or bool(firsts), frozenset(arguments.symbol), firsts)
    counters, shutdown = Counters(), ShutdownSignal()
    print_database(settings)
    # connect raises if the database is absent; open_tables would create it.
    connect(settings.clickhouse, settings.database).close()
    with ExitStack() as stack:
        tables = open_tables(settings.clickhouse, settings.database, settings.retention)
        stack.callback(tables.close)
        claim(tables, settings.clickhouse, settings.database, kind)
        named = _find_named_gaps(tables, selection, list(endpoints))
        # A connection of its own, as it reads while the writer stores.
        gap_database = connect(settings.clickhouse, settings.database)
        stack.callback(gap_database.close)
        place = f"{settings.clickhouse}, database {settings.database}"
        report = GapFillReport(
            f"Asking {', '.join(endpoints)} for {place}",
            console(),
            counters,
            gap_database,
            shutdown,
            selection,
            endpoints,
            is_sent=settings.brokers is not None,
        )
        source = GapFillSource(
            endpoints, gap_database, counters, shutdown, is_finite=True, selection=selection
        )
        process = ProcessContext(
            instruments,
            tuple(endpoints),
            counters,
            shutdown,
            on_end=report.end,
            is_replayable=False,
            kind=kind,
            shard_plan=ShardPlan(settings.shards, settings.own_shards),
        )
        components = _build_components(settings, process, source, tables)
        configure_logging()
        flow = build(components)
        shutdown.listen()
        report.begin()
        for line in _time_estimates(named, endpoints):
            print(line, flush=True)
        cli_main(flow)
        # Without any frame no sink closes, so `on_end` is not called.
        report.end()
    return FILLED if report.is_whole else LEFT


def _find_endpoints(
    settings: Settings, exchanges: Sequence[str], named: Sequence[str], kind: str
) -> dict[str, RestEndpoint]:
    """Return the REST endpoints of the exchanges.

    Raises SettingsError if one named on the command line has none, or if all have none.
    """
    endpoints = trade_endpoints(settings, exchanges, real=kind == REAL)
    for exchange in named or () if endpoints else exchanges:
        if reason := EXCHANGES[exchange].rest.no_trades_because:
            raise SettingsError(f"{exchange} cannot be asked for trades: {reason}")
        if exchange not in endpoints:
            raise SettingsError(
                f"CANDLEWAX_{exchange.upper()}_REST_URL: needed to ask {exchange}, as other "
                "addresses are not the exchanges' own"
            )
    return endpoints


def _find_named_gaps(
    tables: Database, selection: GapSelection, exchanges: list[str]
) -> list[tuple[str, str, int, int]]:
    """Return exchange, symbol, first number and length of the gaps named by `--first`.

    Raises CommandError if a market has no gap, or if no gap begins with a number.
    """
    symbols, firsts = sorted(selection.symbols), sorted(selection.firsts)
    stored_symbols = set(tables.query(_SYMBOLS, {"symbols": symbols})["symbol"])
    for symbol in symbols:
        if symbol not in stored_symbols:
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


def _time_estimates(
    named: Sequence[tuple[str, str, int, int]], endpoints: dict[str, RestEndpoint]
) -> Sequence[str]:
    """Return lines with the least time that the requests for long named gaps take."""
    lines = []
    for exchange, symbol, first, count in named:
        rest = endpoints[exchange].rest
        if count > MAX_GAP_NUMBERS:
            requests = -(-count // rest.page_rows)
            least_time = timedelta(seconds=int(requests / rest.requests_per_s))
            lines.append(
                f"{exchange} {symbol} from {first}: {count:,} numbers, up to {requests:,} requests "
                f"or {least_time} at {rest.requests_per_s:g} a second; Ctrl-C ends it; all "
                "trades received are stored"
            )
    return lines


def _build_components(
    settings: Settings, process: ProcessContext, source: GapFillSource, tables: Database
) -> Components:
    if not settings.brokers:
        return builder.build_embedded(process, source, tables)
    broker = KafkaClient(settings.brokers)
    create_topics(broker, settings.brokers, process.exchanges)
    topic_kind.require_kind(broker, process.exchanges, process.kind)
    open_database = partial(open_claimed, settings, process.kind)
    return builder.build_ingest(process, source, broker, open_database)
