"""The command `candlewax backfill`: trades of a span of time, by REST or from dumps."""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Final

from bytewax.dataflow import Dataflow
from bytewax.run import cli_main
from rich.console import Console

from candlewax.core import instruments
from candlewax.core.kind_marks import REAL
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.rest import backfill, dump_files
from candlewax.feeds.rest.backfill import BackfillSource, Texts
from candlewax.feeds.rest.client import Client
from candlewax.feeds.rest.dump_files import DumpError
from candlewax.feeds.rest.span_pages import Span, SpanCounts, pages
from candlewax.kafka import topic_kind
from candlewax.kafka.client import KafkaClient, create_topics
from candlewax.pipeline import builder
from candlewax.pipeline.builder import Components, ProcessContext
from candlewax.pipeline.data_kind import live_kind, open_claimed, settings_for_kind
from candlewax.pipeline.reports.summary import ReplayProgress, console
from candlewax.pipeline.sources import rest_endpoints
from candlewax.runtime import settings
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import configure_logging
from candlewax.runtime.settings import Settings, SettingsError
from candlewax.runtime.shutdown import ShutdownSignal
from candlewax.runtime.times import parse_time_or_utc

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class BackfillRequestError(ValueError):
    """A backfill that cannot be done; the text says why."""


def add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    run: Callable[[argparse.Namespace], int],
) -> None:
    """Add the command to the others."""
    command = commands.add_parser(
        "backfill", help="store the trades of a span of time, from REST or from dump files"
    )
    command.add_argument("exchange", metavar="EXCHANGE", choices=EXCHANGES)
    command.add_argument("symbol", metavar="SYMBOL", help="native or unified: BTCUSDT, BTC/USDT")
    for name, what in (("from", "first moment"), ("to", "moment behind the last")):
        command.add_argument(
            f"--{name}",
            type=_moment,
            metavar="T",
            dest=name,
            help=f"{what}: 2026-01-31 or 2026-01-31T12:30:00, UTC; needed without --dump",
        )
    command.add_argument(
        "--dump",
        nargs="+",
        type=Path,
        metavar="FILE",
        default=[],
        help="files of daily or monthly trades as Binance publishes them, .csv or .zip",
    )
    command.set_defaults(run=run)


def _moment(text: str) -> int:
    try:
        return (parse_time_or_utc(text) - _EPOCH) // timedelta(microseconds=1)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


@dataclass(frozen=True)
class BackfillRequest:
    """A market to store, within a span of time or all of it, from files or by REST."""

    exchange: str
    native: str
    span: Span | None
    files: tuple[Path, ...]


def parse_request(arguments: argparse.Namespace, known: instruments.Instruments) -> BackfillRequest:
    """Return what the arguments ask for. Raises BackfillRequestError."""
    exchange = arguments.exchange
    native = known.native(exchange, arguments.symbol)
    if native is None:
        raise BackfillRequestError(
            f"{arguments.symbol!r} is no symbol of {exchange}: expected one as it writes them "
            "or a unified one that the instruments file lists"
        )
    begin, end, files = getattr(arguments, "from"), arguments.to, tuple(arguments.dump)
    now = time.time_ns() // 1000
    if begin is None and end is None and files:
        return BackfillRequest(exchange, native, None, files)
    if not files and (begin is None or end is None):
        raise BackfillRequestError("--from and --to are needed where there is no --dump")
    span = (begin or 0, now if end is None else end)
    if span[0] >= span[1]:
        raise BackfillRequestError("--from is to lie before --to")
    if span[0] >= now:
        raise BackfillRequestError("--from lies in the future")
    return BackfillRequest(exchange, native, span, files)


Makes = Callable[[Callable[[float], bool]], Texts]
"""Gives texts to who says how to wait."""


def _from_files(wanted: BackfillRequest, tally: Counters, found: SpanCounts) -> tuple[Makes, int]:
    """The texts, and how much of them there is."""
    dump = EXCHANGES[wanted.exchange].dump
    if dump is None:
        raise BackfillRequestError(f"{wanted.exchange} publishes no dumps that are known here")
    try:
        for path in wanted.files:
            dump_files.check(path, wanted.native)
        size = sum(dump_files.size(path) for path in wanted.files)
    except DumpError as error:
        raise BackfillRequestError(str(error)) from error
    return lambda _: backfill.pieces(wanted.files, dump, wanted.span, tally.read, found), size


def _from_rest(
    wanted: BackfillRequest, chosen: Settings, tally: Counters, found: SpanCounts
) -> tuple[Makes, int]:
    exchange = wanted.exchange
    asked = rest_endpoints(chosen, [exchange], real=True).get(exchange)
    if asked is None:
        raise SettingsError(
            f"CANDLEWAX_{exchange.upper()}_REST_URL: needed, as CANDLEWAX_{exchange.upper()}_URL "
            "is not the exchange's own"
        )
    if asked.rest.requires_key and not asked.key:
        raise SettingsError(
            f"CANDLEWAX_{exchange.upper()}_KEY: needed, {exchange} shows old trades with a key only"
        )
    span = wanted.span or (0, 0)

    def texts(wait: Callable[[float], bool]) -> Texts:
        client = Client(
            asked.rest, asked.url, asked.key, is_simulated=asked.is_simulated, wait=wait
        )
        return pages(client, asked.rest, wanted.native, span, tally.read, found)

    return texts, span[1] - span[0]


def run(arguments: argparse.Namespace, build: Callable[[Components], Dataflow]) -> int:
    """Store what is asked for; gives the exit status. `build` makes the pipeline to the
    tables or, where there is a broker, to the topics.

    Raises BackfillRequestError and what a start of a dataflow raises.
    """
    chosen = settings.load()
    known = instruments.load(chosen.instruments)
    wanted = parse_request(arguments, known)
    tally, stop, found = Counters(), ShutdownSignal(), SpanCounts()
    own = {name: url for name, url in chosen.rest_urls.items() if name == wanted.exchange}
    kind = REAL if wanted.files else live_kind(own)
    if not kind:
        name = f"CANDLEWAX_{wanted.exchange.upper()}_REST_URL"
        raise SettingsError(f"{name}: nothing answers there")
    chosen = settings_for_kind(chosen, kind)
    if wanted.files:
        texts, size = _from_files(wanted, tally, found)
    else:
        texts, size = _from_rest(wanted, chosen, tally, found)
    source = BackfillSource(wanted.exchange, wanted.native, texts, tally, stop)
    process = ProcessContext(known, (wanted.exchange,), tally, stop, is_replayable=False, kind=kind)
    made = _made(chosen, process, source, kind)
    configure_logging()
    screen = console()
    flow = build(made)
    stop.listen()
    screen.print(_title(wanted, chosen), highlight=False)
    watch = ReplayProgress(screen, tally, size)
    watch.start()
    try:
        cli_main(flow)
    finally:
        seconds = watch.stop()
    _sum_up(screen, tally, seconds, sent=chosen.brokers is not None)
    if stop():
        screen.print("Stopped as asked; what was read is stored. Run again to go on.")
    if source.error:
        print(f"candlewax: {source.error}", file=sys.stderr)
        return 1
    return 0 if stop() else _report(screen, wanted, found)


def _report(screen: Console, wanted: BackfillRequest, found: SpanCounts) -> int:
    """Say how many trades of the span there are; gives the exit status."""
    source, what = wanted.exchange, "rows of its answers"
    if wanted.files:
        source, what = ", ".join(path.name for path in wanted.files), "lines"
    of_what = f"of {wanted.native}" + (" in that span" if wanted.span else "")
    if found.unreadable:
        text = f"candlewax: {source}: {found.unreadable:,} {what} cannot be read, see dead_letters"
        print(text, file=sys.stderr)
    if found.within:
        trades = "1 trade" if found.within == 1 else f"{found.within:,} trades"
        screen.print(f"{source}: {trades} {of_what}", highlight=False)
        return 0
    what = "no trade that can be read" if found.unreadable else "no trade"
    text = f"candlewax: {source}: {what} {of_what}; no trade was stored"
    print(text, file=sys.stderr)
    return 1


def _made(
    chosen: Settings, process: ProcessContext, source: BackfillSource, kind: str
) -> Components:
    if chosen.brokers:
        broker = KafkaClient(chosen.brokers)
        create_topics(broker, chosen.brokers, process.exchanges)
        topic_kind.require_kind(broker, process.exchanges, kind)
        return builder.build_ingest(process, source, broker, partial(open_claimed, chosen, kind))
    return builder.build_embedded(process, source, open_claimed(chosen, kind))


def _title(wanted: BackfillRequest, chosen: Settings) -> str:
    where = ", ".join(map(str, wanted.files)) or "REST"
    into = chosen.brokers or f"{chosen.clickhouse}, database {chosen.database}"
    return f"Trades of {wanted.exchange} {wanted.native} from {where} into {into}"


def _sum_up(screen: Console, tally: Counters, seconds: float, *, sent: bool) -> None:
    frames = tally.total("frames")
    if sent:
        screen.print(f"{frames:,} frames sent in {seconds:.1f} s", highlight=False)
        return
    screen.print(
        f"{tally.total('trades'):,} trades stored, {tally.total('duplicates'):,} known before, "
        f"{tally.total('dead_letters'):,} dead letters; {frames:,} frames in {seconds:.1f} s",
        highlight=False,
    )
