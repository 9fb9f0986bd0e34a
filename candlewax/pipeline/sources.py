"""Sources of frames and REST endpoints, as the settings configure them."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

from bytewax.inputs import Source

from candlewax.clickhouse.client import Database, connect
from candlewax.clickhouse.reconciliation_table import ReconciliationTable
from candlewax.core.frames import SourceItem
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.replay.source import FrameLogSource
from candlewax.feeds.rest.gap_fill import GapFillSource
from candlewax.feeds.rest.gap_filler import RestEndpoint
from candlewax.feeds.rest.start_fill import StartSpan, span_begin
from candlewax.feeds.websocket.source import WebSocketSource
from candlewax.pipeline.process import ProcessContext
from candlewax.runtime.settings import Settings, SettingsError
from candlewax.verification.reconciler import Reconciler

_log = logging.getLogger("candlewax")


def rest_endpoints(
    settings: Settings, exchanges: Iterable[str], *, real: bool
) -> dict[str, RestEndpoint]:
    """Return the REST endpoint of each exchange that may be requested.

    An exchange's own address is used only if `real`, and only if its websocket address is its own
    too: the exchange does not know the numbers of a simulator.
    """
    return {
        exchange: RestEndpoint(
            EXCHANGES[exchange].rest,
            settings.rest_urls.get(exchange),
            settings.keys.get(exchange),
            settings.is_simulated,
        )
        for exchange in exchanges
        if exchange in settings.rest_urls or (real and exchange not in settings.urls)
    }


def trade_endpoints(
    settings: Settings, exchanges: Iterable[str], *, real: bool
) -> dict[str, RestEndpoint]:
    """Return the REST endpoints of `rest_endpoints` whose trades may be requested."""
    endpoints = rest_endpoints(settings, exchanges, real=real)
    return {
        exchange: endpoint
        for exchange, endpoint in endpoints.items()
        if endpoint.rest.no_trades_because is None
    }


def gap_fill_source(
    settings: Settings, process: ProcessContext, *, is_finite: bool
) -> GapFillSource | None:
    """Return the source that fills gaps; None for a replay or without a REST endpoint."""
    if not settings.is_live and not is_finite and not settings.brokers:
        return None
    # Candles can be compared where trades cannot be requested.
    find_endpoints = trade_endpoints if is_finite else rest_endpoints
    endpoints = find_endpoints(settings, process.exchanges, real=settings.is_live)
    fills = settings.fill is not None and not is_finite and not settings.brokers
    span = _start_span(settings.fill, process, endpoints) if settings.fill and fills else None
    if not endpoints:
        return None
    # A connection of its own, as it reads while the writer stores.
    database = connect(settings.clickhouse, settings.database)
    return GapFillSource(
        endpoints,
        database,
        process.counters,
        process.should_stop,
        is_finite=is_finite,
        # No other process has an embedded database open meanwhile.
        is_only_writer=database.folder is not None and not settings.brokers,
        reads_market=process.reads_market,
        start_span=span,
        idle_work=reconcilers(settings, process, database, endpoints, is_finite=is_finite),
    )


def reconcilers(
    settings: Settings,
    process: ProcessContext,
    database: Database,
    endpoints: Iterable[str],
    *,
    is_finite: bool,
) -> Callable[[str], Reconciler | None]:
    """Return the builder of what compares an exchange's candles with its own, if anything does."""
    if is_finite or not settings.reconcile:
        return lambda _: None
    for exchange in endpoints:
        if EXCHANGES[exchange].candles is None:
            _log.warning("%s: its candles are not compared: it serves none of its own", exchange)

    def build(exchange: str) -> Reconciler | None:
        rules = EXCHANGES[exchange].candles
        if rules is None:
            return None
        return Reconciler(
            exchange,
            rules,
            ReconciliationTable(database, exchange),
            process.counters,
            reads_market=partial(process.reads_market, exchange),
        )

    return build


def _start_span(
    fill: timedelta, process: ProcessContext, endpoints: Mapping[str, RestEndpoint]
) -> StartSpan:
    """Return the span to fill; log which exchanges show no trades of it."""
    begin = span_begin(fill, datetime.now(UTC))
    reasons = {name: _why_not_filled(name, endpoints) for name in process.exchanges}
    for exchange, reason in reasons.items():
        if reason:
            _log.warning("%s: trades since %s are not filled: %s", exchange, _show(begin), reason)
    native_symbols = {
        exchange: _own_markets(process, exchange)
        for exchange, reason in reasons.items()
        if not reason
    }
    if native_symbols:
        markets = sum(map(len, native_symbols.values()))
        _log.info("trades of %d markets since %s are filled by REST", markets, _show(begin))
    return StartSpan(int(begin.timestamp()) * 1_000_000, native_symbols)


def _show(time: datetime) -> str:
    return f"{time:%Y-%m-%dT%H:%MZ}"


def _why_not_filled(exchange: str, endpoints: Mapping[str, RestEndpoint]) -> str | None:
    """Return why an exchange shows no old trades by REST; None if it does."""
    name = exchange.upper()
    if reason := EXCHANGES[exchange].rest.no_trades_because:
        return reason
    if exchange not in endpoints:
        return f"CANDLEWAX_{name}_REST_URL is needed, as CANDLEWAX_{name}_URL is not its own"
    if endpoints[exchange].rest.requires_key and not endpoints[exchange].key:
        return f"it shows old trades with a key only: CANDLEWAX_{name}_KEY"
    return None


def _own_markets(process: ProcessContext, exchange: str) -> list[str]:
    """Return the native symbols of an exchange that the process subscribes to."""
    return [
        name
        for name in process.instruments.subscriptions(exchange)
        if process.reads_shard(exchange, process.shard_of(exchange, name))
    ]


def empty_source(process: ProcessContext) -> Source[SourceItem]:
    """Return a source without frames; log that no exchange can be requested."""
    _log.warning("no exchange may be requested by REST")
    return FrameLogSource((), process.counters, process.should_stop)


def require_gap_fill(repairs: GapFillSource | None) -> GapFillSource:
    """Return the source. Raises SettingsError if it is None."""
    if repairs is None:
        raise SettingsError(
            "CANDLEWAX_FEED: trades are requested by REST if the feed is live, or at "
            "the addresses CANDLEWAX_<EXCHANGE>_REST_URL; there are none"
        )
    return repairs


def frame_source(settings: Settings, process: ProcessContext) -> Source[SourceItem]:
    """Return the source that the settings configure. Raises SettingsError."""
    if not settings.is_live:
        return FrameLogSource(settings.frame_logs, process.counters, process.should_stop)
    subscriptions = {
        exchange: process.instruments.subscriptions(exchange) for exchange in process.exchanges
    }
    listed = {
        exchange: native_symbols
        for exchange, native_symbols in subscriptions.items()
        if native_symbols
    }
    named = settings.exchanges or ()
    if unlisted := [exchange for exchange in named if exchange not in listed]:
        raise _nothing_listed(settings, unlisted)
    if not listed:
        raise _nothing_listed(settings, process.exchanges)
    plan = _plan(process)
    if process.cluster.processes > 1:
        # In a cluster the names of partitions differ between processes; that of an idle one would
        # not.
        plan = {exchange: symbols for exchange, symbols in plan.items() if symbols}
    for exchange in plan:
        find_problem = partial(_feed_problem, process, exchange, settings.fresh_seconds)
        process.health.add(f"feed {exchange}", find_problem)
    source = WebSocketSource(
        plan,
        settings.urls,
        process.counters,
        process.should_stop,
        connection_status=process.connection_status,
        emit_gate=process.emit_gate,
        max_wait=process.max_wait,
        shard_of=process.shard_of,
        rules={
            exchange: replace(EXCHANGES[exchange].live, is_simulated=settings.is_simulated)
            for exchange in plan
        },
    )
    process.instrument_followers.append(partial(_follow_markets, source, process))
    return source


def _plan(process: ProcessContext) -> dict[str, list[str]]:
    """Return the native symbols that this process subscribes to, by exchange."""
    return {exchange: _own_markets(process, exchange) for exchange in process.exchanges}


def _feed_problem(process: ProcessContext, exchange: str, max_age_s: float) -> str | None:
    """Return the problem with an exchange's feed; None without markets to subscribe to."""
    if not _own_markets(process, exchange):
        return None
    return process.connection_status.problem(exchange, max_age_s)


def _follow_markets(source: WebSocketSource, process: ProcessContext) -> None:
    """Subscribe to the markets of a changed instruments file."""
    for exchange in source.change(_plan(process)):
        _log.warning("%s: new markets of this exchange take a restart", exchange)


def _nothing_listed(settings: Settings, exchanges: Iterable[str]) -> SettingsError:
    return SettingsError(
        f"CANDLEWAX_FEED: live, but {settings.instruments} lists nothing to subscribe to for "
        f"{', '.join(exchanges)}"
    )
