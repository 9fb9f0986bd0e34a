"""Command `candlewax backfill`: stores the trades of a time span, from REST or dump files."""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from bytewax.dataflow import Dataflow
from bytewax.run import cli_main
from rich.console import Console

from candlewax.cli.common import CommandError
from candlewax.clickhouse.client import connect
from candlewax.core.instruments import Instruments
from candlewax.core.instruments import load as load_instruments
from candlewax.core.kind_marks import REAL
from candlewax.core.shards import ShardPlan
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.rest import RestRules
from candlewax.feeds.rest import backfill, dump_files
from candlewax.feeds.rest.backfill import BackfillSource, Texts
from candlewax.feeds.rest.client import Answer, Client
from candlewax.feeds.rest.dump_files import DumpError
from candlewax.feeds.rest.id_check import CheckAnswer, IdCheck, check_nothing
from candlewax.feeds.rest.span_pages import Span, SpanCounts, pages
from candlewax.kafka import topic_kind
from candlewax.kafka.client import KafkaClient
from candlewax.kafka.topic_setup import create_topics
from candlewax.pipeline import builder
from candlewax.pipeline.builder import Components
from candlewax.pipeline.data_kind import live_kind, open_claimed, settings_for_kind
from candlewax.pipeline.process import ProcessContext
from candlewax.pipeline.reports.summary import ReplayProgress, console
from candlewax.pipeline.sources import rest_endpoints
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import configure_logging
from candlewax.runtime.settings import Settings, SettingsError
from candlewax.runtime.settings import load as load_settings
from candlewax.runtime.shutdown import ShutdownSignal
from candlewax.runtime.times import parse_time_or_utc

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class BackfillRequestError(CommandError):
    """Error for a backfill that is not possible; the text says why."""


def add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    run: Callable[[argparse.Namespace], int],
) -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "backfill", help="store the trades of a span of time, from REST or from dump files"
    )
    command.add_argument("exchange", metavar="EXCHANGE", choices=EXCHANGES)
    command.add_argument("symbol", metavar="SYMBOL", help="native or unified: BTCUSDT, BTC/USDT")
    for name, description in (("from", "begin"), ("to", "end, exclusive")):
        command.add_argument(
            f"--{name}",
            type=_parse_time,
            metavar="T",
            dest=name,
            help=f"{description}: 2026-01-31 or 2026-01-31T12:30:00, UTC; needed without --dump",
        )
    command.add_argument(
        "--dump",
        nargs="+",
        type=Path,
        metavar="FILE",
        default=[],
        help="files of trades as the exchange publishes them, .csv, .csv.gz or .zip",
    )
    command.set_defaults(run=run)


def _parse_time(text: str) -> int:
    try:
        return (parse_time_or_utc(text) - _EPOCH) // timedelta(microseconds=1)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _format_time(time_us: int) -> str:
    return f"{_EPOCH + timedelta(microseconds=time_us):%Y-%m-%dT%H:%M:%SZ}"


@dataclass(frozen=True)
class BackfillRequest:
    """Market, time span (None for all) and dump files (empty for REST) of a backfill."""

    exchange: str
    native_symbol: str
    span: Span | None
    files: tuple[Path, ...]


def parse_request(arguments: argparse.Namespace, instruments: Instruments) -> BackfillRequest:
    """Return the request of the command line. Raises BackfillRequestError."""
    exchange = arguments.exchange
    native_symbol = instruments.find_native_symbol(exchange, arguments.symbol)
    if native_symbol is None:
        raise BackfillRequestError(
            f"{arguments.symbol!r} is no symbol of {exchange}: expected one as it writes them "
            "or a unified one that the instruments file lists"
        )
    begin, end, files = getattr(arguments, "from"), arguments.to, tuple(arguments.dump)
    now = time.time_ns() // 1000
    if begin is None and end is None and files:
        return BackfillRequest(exchange, native_symbol, None, files)
    missing = [name for name, time_us in (("--from", begin), ("--to", end)) if time_us is None]
    if missing and not files:
        raise BackfillRequestError(f"{' and '.join(missing)}: missing; needed without --dump")
    span = (begin or 0, now if end is None else end)
    if span[0] >= span[1]:
        begins, ends = map(_format_time, span)
        raise BackfillRequestError(f"--from: got {begins}, takes a time before --to, {ends}")
    if span[0] >= now:
        raise BackfillRequestError(
            f"--from: got {_format_time(span[0])}, takes a time before now, {_format_time(now)}"
        )
    return BackfillRequest(exchange, native_symbol, span, files)


TextFactory = Callable[[Callable[[float], bool]], Texts]
"""Callable that yields texts, given a function that waits."""


def _from_files(
    request: BackfillRequest, counters: Counters, counts: SpanCounts
) -> tuple[TextFactory, int]:
    """Return the texts, and their size for the progress. Raises BackfillRequestError."""
    dump = EXCHANGES[request.exchange].dump
    if dump is None:
        raise BackfillRequestError(f"{request.exchange} publishes no dumps that are known here")
    try:
        for path in request.files:
            dump_files.check(path, request.native_symbol)
        size = sum(dump_files.size(path) for path in request.files)
    except DumpError as error:
        raise BackfillRequestError(str(error)) from error
    return lambda _: backfill.pieces(
        request.files, dump, request.span, counters.add_bytes_read, counts
    ), size


def _from_rest(
    request: BackfillRequest, settings: Settings, counters: Counters, counts: SpanCounts
) -> tuple[TextFactory, int]:
    exchange = request.exchange
    if reason := EXCHANGES[exchange].rest.no_trades_because:
        raise SettingsError(f"{exchange} cannot be asked for trades: {reason}")
    endpoint = rest_endpoints(settings, [exchange], real=True).get(exchange)
    if endpoint is None:
        raise SettingsError(
            f"CANDLEWAX_{exchange.upper()}_REST_URL: needed, as CANDLEWAX_{exchange.upper()}_URL "
            "is not the exchange's own"
        )
    if endpoint.rest.requires_key and not endpoint.key:
        raise SettingsError(
            f"CANDLEWAX_{exchange.upper()}_KEY: needed, {exchange} shows old trades with a key only"
        )
    span = request.span or (0, 0)

    def texts(wait: Callable[[float], bool]) -> Iterator[Answer]:
        client = Client(
            endpoint.rest, endpoint.url, endpoint.key, is_simulated=endpoint.is_simulated, wait=wait
        )
        check = _id_check(settings, exchange, endpoint.rest)
        name = request.native_symbol
        for answer in pages(client, endpoint.rest, name, span, counters.add_bytes_read, counts):
            check(name, answer)
            yield answer

    return texts, span[1] - span[0]


def _id_check(settings: Settings, exchange: str, rest: RestRules) -> CheckAnswer:
    """Return the check of answers against stored trades; behind a broker they are not at hand."""
    if settings.brokers or rest.shows_gaps:
        return check_nothing
    return IdCheck(connect(settings.clickhouse, settings.database), exchange, time.sleep)


def run(arguments: argparse.Namespace, build: Callable[[Components], Dataflow]) -> int:
    """Run the backfill and return the exit status.

    `build` builds the dataflow to the tables or, with a broker, to the topics. Raises
    BackfillRequestError and what the start of a dataflow raises.
    """
    settings = load_settings()
    configure_logging(settings.log)
    instruments = load_instruments(settings.instruments)
    request = parse_request(arguments, instruments)
    counters, shutdown, counts = Counters(), ShutdownSignal(), SpanCounts()
    urls = {name: url for name, url in settings.rest_urls.items() if name == request.exchange}
    kind = REAL if request.files else live_kind(urls)
    if not kind:
        name = f"CANDLEWAX_{request.exchange.upper()}_REST_URL"
        raise SettingsError(f"{name}: nothing answers there")
    settings = settings_for_kind(settings, kind)
    if request.files:
        texts, size = _from_files(request, counters, counts)
    else:
        texts, size = _from_rest(request, settings, counters, counts)
    source = BackfillSource(request.exchange, request.native_symbol, texts, counters, shutdown)
    process = ProcessContext(
        instruments,
        (request.exchange,),
        counters,
        shutdown,
        is_replayable=False,
        kind=kind,
        shard_plan=ShardPlan(settings.shards, settings.own_shards),
    )
    components = _build_components(settings, process, source, kind)
    configure_logging()
    screen = console()
    flow = build(components)
    shutdown.listen()
    screen.print(_title(request, settings), highlight=False)
    progress = ReplayProgress(screen, counters, size)
    progress.start()
    try:
        cli_main(flow)
    finally:
        seconds = progress.stop()
    _sum_up(screen, counters, seconds, is_sent=settings.brokers is not None)
    if shutdown():
        screen.print("Stopped as asked; all data read is stored. Run again to go on.")
    if source.error:
        print(f"candlewax: {source.error}", file=sys.stderr)
        return 1
    return 0 if shutdown() else _report(screen, request, counts)


def _report(screen: Console, request: BackfillRequest, counts: SpanCounts) -> int:
    """Print the number of trades of the span. Return the exit status."""
    source, unit = request.exchange, "rows of its answers"
    if request.files:
        source, unit = ", ".join(path.name for path in request.files), "lines"
    of_what = f"of {request.native_symbol}" + (" in that span" if request.span else "")
    if counts.unreadable:
        text = f"candlewax: {source}: {counts.unreadable:,} {unit} cannot be read, see dead_letters"
        print(text, file=sys.stderr)
    if counts.within:
        trades = "1 trade" if counts.within == 1 else f"{counts.within:,} trades"
        screen.print(f"{source}: {trades} {of_what}", highlight=False)
        return 0
    nothing = "no trade that can be read" if counts.unreadable else "no trade"
    text = f"candlewax: {source}: {nothing} {of_what}; no trade was stored"
    print(text, file=sys.stderr)
    return 1


def _build_components(
    settings: Settings, process: ProcessContext, source: BackfillSource, kind: str
) -> Components:
    if settings.brokers:
        broker = KafkaClient(settings.brokers)
        create_topics(broker, settings.brokers, process.exchanges)
        topic_kind.require_kind(broker, process.exchanges, kind)
        return builder.build_ingest(process, source, broker, partial(open_claimed, settings, kind))
    return builder.build_embedded(process, source, open_claimed(settings, kind))


def _title(request: BackfillRequest, settings: Settings) -> str:
    where = ", ".join(map(str, request.files)) or "REST"
    into = settings.brokers or f"{settings.clickhouse}, database {settings.database}"
    return f"Trades of {request.exchange} {request.native_symbol} from {where} into {into}"


def _sum_up(screen: Console, counters: Counters, seconds: float, *, is_sent: bool) -> None:
    frames = counters.total("frames")
    if is_sent:
        screen.print(f"{frames:,} frames sent in {seconds:.1f} s", highlight=False)
        return
    screen.print(
        f"{counters.total('trades'):,} trades stored, {counters.total('duplicates'):,} known before"
        f", {counters.total('dead_letters'):,} dead letters; {frames:,} frames in {seconds:.1f} s",
        highlight=False,
    )
