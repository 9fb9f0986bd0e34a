"""Sources of frames as the settings name them, and the exchanges that may be asked by REST."""

import logging
from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from bytewax.inputs import Source

from candlewax.clickhouse.client import connect
from candlewax.core.frames import SourceItem
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.replay.source import FrameLogSource
from candlewax.feeds.rest.gap_fill import GapFillSource, RestEndpoint
from candlewax.feeds.websocket.source import WebSocketSource
from candlewax.pipeline.builder import ProcessContext
from candlewax.runtime.settings import Settings, SettingsError


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


def gap_fill_source(
    chosen: Settings, process: ProcessContext, *, finite: bool
) -> GapFillSource | None:
    """What fills gaps, if any exchange may be asked. Frames that are replayed are no
    reason to ask an exchange.
    """
    if not chosen.live and not finite and not chosen.brokers:
        return None
    asked = rest_endpoints(chosen, process.exchanges, real=chosen.live)
    if not asked:
        return None
    # By a connection of its own: it looks on while rows are stored.
    database = connect(chosen.clickhouse, chosen.database)
    return GapFillSource(asked, database, process.tally, process.stopping, is_finite=finite)


def empty_source(process: ProcessContext) -> Source[SourceItem]:
    """Fills no gaps."""
    logging.getLogger("candlewax").warning("there is no exchange that may be asked by REST")
    return FrameLogSource((), process.tally, process.stopping)


def require_gap_fill(repairs: GapFillSource | None) -> GapFillSource:
    """Return the source if there is one. Raises SettingsError otherwise."""
    if repairs is None:
        raise SettingsError(
            "CANDLEWAX_FEED: exchanges are asked for trades by REST where it is live, or at "
            "the addresses CANDLEWAX_<EXCHANGE>_REST_URL; there are none"
        )
    return repairs


def frame_source(chosen: Settings, process: ProcessContext) -> Source[SourceItem]:
    """What the settings want to be read. Raises SettingsError."""
    if not chosen.live:
        return FrameLogSource(chosen.logs, process.tally, process.stopping)
    known = {
        exchange: process.instruments.subscriptions(exchange) for exchange in process.exchanges
    }
    plan = {exchange: natives for exchange, natives in known.items() if natives}
    named = chosen.exchanges or ()
    if nothing := [exchange for exchange in named if exchange not in plan]:
        raise _nothing_listed(chosen, nothing)
    if not plan:
        raise _nothing_listed(chosen, process.exchanges)
    for exchange in plan:
        fresh = partial(process.feeds.problem, exchange, chosen.fresh_seconds)
        process.health.add(f"feed {exchange}", fresh)
    return WebSocketSource(
        plan,
        chosen.urls,
        process.tally,
        process.stopping,
        connection_status=process.feeds,
        emit_gate=process.turns,
        max_wait=process.linger,
        rules={
            exchange: replace(EXCHANGES[exchange].live, is_simulated=chosen.is_simulated)
            for exchange in plan
        },
    )


def _nothing_listed(chosen: Settings, exchanges: Iterable[str]) -> SettingsError:
    return SettingsError(
        f"CANDLEWAX_FEED: live, but {chosen.instruments} lists nothing to subscribe to for "
        f"{', '.join(exchanges)}"
    )
