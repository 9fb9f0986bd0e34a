"""Services beside a dataflow: metrics, health, and changes of the instruments file."""

from collections.abc import Iterable
from functools import partial

import polars as pl

from candlewax.pipeline.builder import Components
from candlewax.pipeline.instruments_reload import InstrumentsReload
from candlewax.pipeline.process import ProcessContext
from candlewax.runtime import metrics
from candlewax.runtime.http_status import serve_status
from candlewax.runtime.metrics import MetricsCollector
from candlewax.runtime.poll_timer import SOURCE_ACTIVITY
from candlewax.runtime.settings import Settings


def start_services(settings: Settings, components: Components, process: ProcessContext) -> None:
    """Serve metrics and health if the settings ask for it, and follow the instruments file.

    A replay does not follow it: the same frames must give the same candles. Raises SettingsError.
    """
    metrics.mark_committed()
    process.health.add("commits", partial(metrics.commit_problem, settings.fresh_seconds))
    process.health.add("sources", partial(SOURCE_ACTIVITY.problem, settings.fresh_seconds))
    symbols: dict[str, Iterable[str]] = {}
    _follow_symbols(symbols, process)
    serve_status(
        settings,
        MetricsCollector(
            process.counters,
            components.lags,
            components.queue_sizes,
            process.connection_status,
            symbols,
        ),
        process.health,
    )
    if settings.is_live or settings.brokers:
        process.instrument_followers.append(partial(_follow_symbols, symbols, process))
        InstrumentsReload(settings, process).listen()


def _follow_symbols(symbols: dict[str, Iterable[str]], process: ProcessContext) -> None:
    """Set the unified symbols with metrics of their own, by exchange."""
    for exchange in process.exchanges:
        table = process.instruments.known_table(exchange)
        symbols[exchange] = table["symbol"].cast(pl.String).unique()
