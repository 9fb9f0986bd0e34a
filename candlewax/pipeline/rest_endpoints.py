"""Which exchanges may be asked by REST, and how."""

from collections.abc import Iterable

from candlewax.exchanges import EXCHANGES
from candlewax.feeds.rest.gap_fill import RestEndpoint
from candlewax.runtime.settings import Settings


def rest_endpoints(
    chosen: Settings, wanted: Iterable[str], *, real: bool
) -> dict[str, RestEndpoint]:
    """How each of the wanted exchanges is asked, but for those that may not be.

    An exchange's own address is used only if `real`, and never where its websocket is
    another than its own: what a simulator numbers, the exchange knows nothing about.
    """
    return {
        exchange: RestEndpoint(
            EXCHANGES[exchange].rest,
            chosen.rest_urls.get(exchange),
            chosen.keys.get(exchange),
            chosen.is_simulated,
        )
        for exchange in wanted
        if exchange in chosen.rest_urls or (real and exchange not in chosen.urls)
    }
