"""Requests for an exchange's list of markets."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from candlewax.exchanges.protocol.fields import FrameError, parse
from candlewax.exchanges.protocol.markets import ListedMarkets, MarketListRules
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
    """Request an exchange's markets. Raises RefusalError, and WrongKindError as `Client` does."""
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
        return rules.parse([parse(client.ask(path).text) for path in rules.paths])
    except FrameError as error:
        raise RefusalError(f"{client}: a list of markets that is none: {error.detail}") from error
    finally:
        client.close()
