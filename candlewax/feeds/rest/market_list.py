"""Requests for an exchange's list of markets."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from candlewax.exchanges.protocol.fields import FrameError, parse
from candlewax.exchanges.protocol.markets import (
    ListedMarket,
    ListedMarkets,
    MarketError,
    MarketListRules,
)
from candlewax.exchanges.protocol.rest import Page
from candlewax.feeds.rest.client import Client, RefusalError, RetryPolicy
from candlewax.feeds.rest.gap_filler import RestEndpoint

MAX_LIST_BYTES: Final = 64 << 20
"""Largest list in bytes; that of Binance has a few millions."""

_NO_TRADES: Final = Page((), ())


def request_markets(
    rules: MarketListRules,
    endpoint: RestEndpoint,
    *,
    retry_policy: RetryPolicy | None = None,
    wait: Callable[[float], bool] | None = None,
) -> ListedMarkets:
    """Request an exchange's markets.

    Raises RefusalError, whose text names the address, and WrongKindError as `Client` does.
    """
    client = Client(
        replace(endpoint.rest, parse_page=lambda _: _NO_TRADES),
        endpoint.url,
        endpoint.key,
        is_simulated=endpoint.is_simulated,
        retry_policy=retry_policy,
        wait=wait,
        max_bytes=MAX_LIST_BYTES,
    )
    try:
        markets = rules.parse([_request(client, path) for path in rules.paths])
    except FrameError as error:
        raise RefusalError(f"{client}: a list of markets that is none: {error.detail}") from error
    finally:
        client.close()
    if not any(isinstance(market, ListedMarket) for market in markets):
        errors = [market.detail for market in markets if isinstance(market, MarketError)]
        detail = f": {errors[0]}" if errors else ""
        raise RefusalError(f"{client}: a list without a market that can be read{detail}")
    return markets


def _request(client: Client, path: str) -> Any:  # noqa: ANN401 - JSON may be anything
    try:
        return parse(client.ask(path).text)
    except RefusalError as error:
        address = "" if str(client) in error.reason else f"{client}: "
        raise RefusalError(f"{address}{error.reason}, at {path}") from error
