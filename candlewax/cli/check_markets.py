"""Part of `candlewax check`: compares subscribed markets with the exchanges' lists of markets."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from candlewax.cli.findings import NOTE, OK, Finding
from candlewax.core.instruments import FileContent, Instruments
from candlewax.core.kind_marks import WrongKindError
from candlewax.core.market_choice import plan_changes
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.markets import ListedMarket, MarketError
from candlewax.feeds.rest.client import RefusalError, RetryPolicy
from candlewax.feeds.rest.gap_filler import RestEndpoint
from candlewax.feeds.rest.market_list import request_markets

_POLICY: Final = RetryPolicy(connect_s=3.0, answer_s=15.0)
"""Timeouts of a request for a list, which may have megabytes."""


def check_markets(
    instruments: Instruments, endpoints: Mapping[str, RestEndpoint]
) -> Iterator[Finding]:
    """Ask each exchange for its markets, and tell which subscribed ones do not trade there.

    A list that cannot be had is a note too, as a feed needs none.
    """
    asked = [
        (exchange, endpoint, names)
        for exchange, endpoint in endpoints.items()
        if (names := instruments.subscriptions(exchange)) and EXCHANGES[exchange].markets
    ]
    if asked:
        # All at once: some exchanges allow one request in several seconds.
        with ThreadPoolExecutor(len(asked)) as pool:
            for findings in pool.map(lambda each: _compare(instruments.content, *each), asked):
                yield from findings


def _compare(
    content: FileContent, exchange: str, endpoint: RestEndpoint, names: list[str]
) -> list[Finding]:
    rules = EXCHANGES[exchange].markets
    assert rules is not None  # noqa: S101 - as the caller chose
    try:
        listed = request_markets(rules, endpoint, retry_policy=_POLICY)
    except (RefusalError, WrongKindError) as error:
        return [_note(f"{exchange}: whether its markets trade is not known: {error}")]
    subscribed = {name: content.listed[exchange][name] for name in names}
    markets = [market for market in listed if isinstance(market, ListedMarket)]
    unread = [market for market in listed if isinstance(market, MarketError)]
    told = plan_changes(
        exchange,
        FileContent({exchange: subscribed}, {exchange: names}),
        markets,
        [],
        unread=unread,
        subscribes=True,
    ).told
    if not told:
        return [Finding(OK, "markets", f"{exchange}: all {len(names):,} subscribed ones trade")]
    return [_note(f"{exchange}: {text}") for text in told]


def _note(text: str) -> Finding:
    return Finding(NOTE, "markets", text)
