"""Command `candlewax instruments`: lists an exchange's markets and writes them to the file."""

import argparse
from functools import partial
from pathlib import Path
from typing import Final

from candlewax.cli.common import CommandError, exit_on_error, without_request_warnings
from candlewax.cli.instruments_file import InstrumentsFile
from candlewax.core.kind_marks import WrongKindError
from candlewax.core.market_choice import Changes, choose, plan_changes
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.markets import ListedMarket, MarketError
from candlewax.feeds.rest.client import RefusalError
from candlewax.feeds.rest.market_list import request_markets
from candlewax.pipeline.sources import rest_endpoints
from candlewax.runtime.settings import Settings
from candlewax.runtime.settings import load as load_settings

_HEADER: Final = ("market", "symbol", "kind", "contract", "tick", "value of 24 h")

_LISTS: Final = [name for name, exchange in EXCHANGES.items() if exchange.markets]


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command to the parser."""
    command = commands.add_parser(
        "instruments",
        help="list an exchange's markets by REST and write them to the instruments file",
        description="Lists an exchange's markets by REST and writes them to the instruments file. "
        "Markets that --quote, --top or --symbol choose are subscribed; without these, all are "
        "written as known ones, without subscribing. Markets of the file get their tick, contract "
        "size and status. Nothing is removed, and comments and other sections stay. A live process "
        "takes up the file on SIGHUP.",
    )
    command.add_argument("exchange", choices=_LISTS, metavar="EXCHANGE", help=", ".join(_LISTS))
    command.add_argument(
        "--quote", action="append", default=[], type=str.upper, metavar="ASSET",
        help="subscribe markets with this quote, such as USDT; repeat it for several",
    )  # fmt: skip
    command.add_argument(
        "--top", type=_parse_count, metavar="N",
        help="subscribe the markets with the highest value traded in 24 hours",
    )  # fmt: skip
    command.add_argument(
        "--symbol", action="append", default=[], metavar="SYMBOL",
        help="subscribe this market, such as BTC/USDT or BTCUSDT; repeat it for several",
    )  # fmt: skip
    command.add_argument(
        "--in-place", action="store_true",
        help="write into the file instead of replacing it, as one mounted into a container needs",
    )  # fmt: skip
    command.add_argument("--dry-run", action="store_true", help="list only, and write nothing")
    command.set_defaults(run=run)


def _parse_count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"takes a number from 1 on; got {text!r}")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """List and write the markets. Return the exit status."""
    settings = exit_on_error(1, load_settings)
    return exit_on_error(1, partial(_run, settings, arguments))


def _run(settings: Settings, arguments: argparse.Namespace) -> int:
    exchange = arguments.exchange
    # Read first: a broken file is told before the exchange is asked.
    file = InstrumentsFile(settings.instruments)
    markets, errors = _request(settings, exchange)
    chosen = choose(markets, arguments.quote, arguments.symbol, arguments.top)
    _require_chosen(exchange, markets, arguments)
    subscribes = bool(arguments.quote or arguments.symbol or arguments.top)
    changes = plan_changes(
        exchange, file.content, markets, chosen, unread=errors, subscribes=subscribes
    )
    _print_table(chosen)
    for text in changes.told:
        print(f"{exchange}: {text}")
    if arguments.dry_run:
        print(f"{exchange}: {len(chosen):,} markets; nothing is written, as --dry-run asks")
        return 0
    is_changed = file.write(
        exchange,
        {"subscribe": changes.subscribe, "also": changes.also},
        in_place=arguments.in_place,
    )
    print(f"{exchange}: {_summary(chosen, changes, file.target, is_changed=is_changed)}")
    return 0


def _request(settings: Settings, exchange: str) -> tuple[list[ListedMarket], list[MarketError]]:
    """Return the markets, and the errors of others, of which one is printed. Raises CommandError.

    There is a market at least.
    """
    rules = EXCHANGES[exchange].markets
    endpoint = rest_endpoints(settings, [exchange], real=True).get(exchange)
    if rules is None or endpoint is None:
        name = exchange.upper()
        raise CommandError(
            f"CANDLEWAX_{name}_REST_URL is needed, as CANDLEWAX_{name}_URL is not the exchange's"
        )
    try:
        with without_request_warnings():
            listed = request_markets(rules, endpoint)
    except (RefusalError, WrongKindError) as error:
        raise CommandError(f"{exchange}: {error}") from error
    errors = [market for market in listed if isinstance(market, MarketError)]
    if errors:
        print(f"{exchange}: {len(errors):,} markets cannot be read, such as: {errors[0].detail}")
    return [market for market in listed if isinstance(market, ListedMarket)], errors


def _require_chosen(
    exchange: str, markets: list[ListedMarket], arguments: argparse.Namespace
) -> None:
    """Raise CommandError if a named market or quote is none that trades."""
    trading = choose(markets, arguments.quote, arguments.symbol, None)
    names = {name for market in trading for name in (market.native_symbol, market.symbol)}
    for name in arguments.symbol:
        if name not in names:
            raise CommandError(
                f"--symbol {name}: {exchange} lists no such market that trades"
                + (f" with the quote {' or '.join(arguments.quote)}" if arguments.quote else "")
            )
    quotes = sorted({market.quote for market in markets})
    for quote in arguments.quote:
        if quote not in quotes:
            raise CommandError(f"--quote {quote}: {exchange} has {', '.join(quotes)}")


def _print_table(markets: list[ListedMarket]) -> None:
    rows = [_HEADER, *map(_row, markets)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADER))]
    for row in rows:
        cells = (text.ljust(width) for text, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _row(market: ListedMarket) -> tuple[str, ...]:
    contract = market.contract_size and f"{market.contract_size} {market.contract_unit}"
    turnover = market.turnover
    return (
        market.native_symbol,
        market.symbol,
        market.kind,
        contract or "-",
        market.tick or "-",
        "-" if turnover is None else f"{turnover:,.0f} {market.quote}",
    )


def _summary(
    chosen: list[ListedMarket], changes: Changes, target: Path, *, is_changed: bool
) -> str:
    text = f"{len(chosen):,} markets"
    if not is_changed:
        return f"{text}; {target} lists them already"
    if changes.added:
        return f"{text}, of which {len(changes.added):,} are subscribed newly, in {target}"
    return f"{text}; {target} is up to date. --quote, --top and --symbol subscribe"
