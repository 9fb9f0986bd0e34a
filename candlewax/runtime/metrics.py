"""Metrics for Prometheus.

Counters collects counts while data flows; MetricsCollector reads them at each scrape. Histograms
are declared beside the code that observes them.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import polars as pl
from prometheus_client import Gauge, disable_created_metrics
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from candlewax.runtime.connection_status import ConnectionStatus
from candlewax.runtime.counters import Counters

# The creation time of each series is of no use and doubles the output.
disable_created_metrics()  # type: ignore[no-untyped-call]

DELAYS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)
"""Bucket bounds of delays, in seconds."""

MAX_SYMBOLS: Final = 1_000
"""Greatest number of symbols with a series of their own in one process."""

_committed = time.time()
_committed_monotonic = time.monotonic()
_RECEIVED: Final = Gauge(
    "candlewax_last_received_timestamp_seconds",
    "Time of receipt of the last frame read, in seconds since 1970.",
    ["exchange"],
)

_COUNTERS: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "frames": ("candlewax_frames", "Frames decoded, by kind.", ("exchange", "kind")),
    "trades": ("candlewax_trades", "New trades, without duplicates.", ("exchange",)),
    "duplicates": (
        "candlewax_duplicates",
        "Duplicates: trades received again with equal content.",
        ("exchange",),
    ),
    "contradictions": (
        "candlewax_contradictions",
        "Contradictions: trades received under a known number with other content.",
        ("exchange",),
    ),
    "uncompared": (
        "candlewax_uncompared_repeats",
        "Trades that count as duplicates by their times, as nothing is stored under their numbers.",
        ("exchange",),
    ),
    "numberings": (
        "candlewax_numberings",
        "Numberings opened because an exchange restarted the numbers of a market.",
        ("exchange",),
    ),
    "dead_letters": (
        "candlewax_dead_letters",
        "Dead letters: lines, frames and trades that could not be read.",
        ("exchange", "scope", "reason"),
    ),
    "unknown_conditions": (
        "candlewax_unknown_condition_trades",
        "Trades with a condition of unknown meaning: stored, but kept out of candles.",
        ("exchange", "condition"),
    ),
    "stored": ("candlewax_rows_stored", "Rows stored, by table.", ("table",)),
    "out_of_order": (
        "candlewax_out_of_order_trades",
        "Trades older than one received before them.",
        ("exchange",),
    ),
    "late": (
        "candlewax_late_trades",
        "Late trades: received after their one-minute candle closed.",
        ("exchange",),
    ),
    "recomputed": (
        "candlewax_recomputed_candles",
        "Candles recomputed from stored trades, for trades beyond the allowed lateness.",
        ("exchange",),
    ),
    "revisions": (
        "candlewax_candle_revisions",
        "Changed rows of closed candles, by cause.",
        ("exchange", "cause"),
    ),
    "skipped": (
        "candlewax_skipped_frames",
        "Frames skipped, as their exchange is not configured.",
        ("exchange",),
    ),
    "connections": (
        "candlewax_connection_events",
        "Events of websocket connections.",
        ("exchange", "event"),
    ),
    "rest": (
        "candlewax_rest_requests",
        "REST requests for trades, by outcome.",
        ("exchange", "outcome"),
    ),
    "candle_requests": (
        "candlewax_candle_requests",
        "REST requests for an exchange's own candles, by outcome.",
        ("exchange", "outcome"),
    ),
    "reconciled": (
        "candlewax_reconciled_candles",
        "Closed one-minute candles compared with the exchange's own, by result.",
        ("exchange", "result", "status"),
    ),
    "gaps": (
        "candlewax_gaps",
        "Gaps detected and gaps repaired.",
        ("exchange", "event"),
    ),
    "outages": (
        "candlewax_outages",
        "Outages that ended: spans of time without any connection.",
        ("exchange",),
    ),
    "market_outages": ("candlewax_market_outages", "Market outages that ended.", ("exchange",)),
    "lost": (
        "candlewax_lost_frames",
        "Frames dropped because the frame buffer was full.",
        ("exchange",),
    ),
    "missing_frames": (
        "candlewax_missing_frames",
        "Frames that connections lack, by the numbers that the exchange gives its frames.",
        ("exchange",),
    ),
}
"""Metric, help text and labels of each counter, by its name in Counters."""

_GAUGES: Final[Mapping[str, tuple[str, str]]] = {
    "open_gaps": ("candlewax_open_gaps", "Gaps with missing trades."),
    "refused_markets": (
        "candlewax_refused_markets",
        "Markets that the exchange refuses to subscribe; requests are repeated.",
    ),
    "unreconciled": (
        "candlewax_unreconciled_candles",
        "Closed one-minute candles of the last day that wait for the exchange's own.",
    ),
    "last_reconciliation": (
        "candlewax_last_reconciliation_timestamp_seconds",
        "Time of the last comparison with an exchange's own candles, in seconds since 1970.",
    ),
    "missing_trades": ("candlewax_missing_trades", "Missing trades in open gaps."),
}
"""Metric and help text of each gauge by exchange, by its name in Counters."""

_KINDS: Final = {"1": "trade", "2": "control", "3": "dead"}
_SCOPES: Final = {"1": "line", "2": "frame", "3": "trade"}
_CAUSES: Final = {"2": "late", "3": "repaired", "4": "recomputed"}
_LABEL_WORDS: Final[Mapping[str, tuple[int, Mapping[str, str]]]] = {
    "frames": (1, _KINDS),
    "dead_letters": (1, _SCOPES),
    "revisions": (1, _CAUSES),
}
"""Counters with a label that is a number of an Enum8: its place, and the word for each number."""

Lags = Callable[[], Mapping[tuple[str, int], int]]


def mark_committed() -> None:
    """Record that everything received so far is stored."""
    global _committed, _committed_monotonic
    _committed, _committed_monotonic = time.time(), time.monotonic()


def set_last_received(exchange: str, received_s: float) -> None:
    """Set the time of receipt of the last frame read, in seconds since 1970."""
    _RECEIVED.labels(exchange).set(received_s)


def commit_problem(max_age_s: float) -> str | None:
    """Return the problem if the last commit is older than `max_age_s`, else None."""
    age_s = time.monotonic() - _committed_monotonic
    if age_s <= max_age_s:
        return None
    return f"the last commit was {age_s:.0f} s ago, the limit is {max_age_s:g} s"


@dataclass(frozen=True, eq=False)
class MetricsCollector(Collector):
    """Prometheus collector of a process's counts, levels, connections and lags.

    Only symbols in `symbols` (by exchange) get a series of their own, MAX_SYMBOLS at most: a feed
    may bring any number of others.
    """

    counters: Counters
    lags: list[Lags] = field(default_factory=list)
    undelivered: list[Callable[[], int]] = field(default_factory=list)
    connection_status: ConnectionStatus = field(default_factory=ConnectionStatus)
    symbols: Mapping[str, Iterable[str]] = field(default_factory=dict)
    _last_trades_s: dict[tuple[str, str], float] = field(default_factory=dict)

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        counts = self.counters.all_counts()
        for name, (metric, text, labels) in _COUNTERS.items():
            family = CounterMetricFamily(metric, text, labels=labels)
            for key, count in counts.items():
                if key[0] == name:
                    family.add_metric(_labels(name, key[1:], len(labels)), count)
            yield family
        yield GaugeMetricFamily(
            "candlewax_last_commit_timestamp_seconds",
            "Time of the last commit: all that came before is stored, in seconds since 1970.",
            value=_committed,
        )
        yield from self._gauges()
        yield from self._connections()
        yield self._last_trades()
        yield from self._message_counts()

    def _connections(self) -> Iterator[Metric]:
        expected = GaugeMetricFamily(
            "candlewax_connections_wanted",
            "Connections that this process should have to an exchange.",
            labels=("exchange",),
        )
        connected = GaugeMetricFamily(
            "candlewax_connections_open", "Connections open now.", labels=("exchange",)
        )
        reconnects = CounterMetricFamily(
            "candlewax_reconnects",
            "Connections opened after the first to each share of markets, also replacements.",
            labels=("exchange",),
        )
        for exchange, counts in self.connection_status.counts().items():
            expected.add_metric([exchange], counts[0])
            connected.add_metric([exchange], counts[1])
            reconnects.add_metric([exchange], counts[2])
        yield from (expected, connected, reconnects)

    def _last_trades(self) -> Metric:
        family = GaugeMetricFamily(
            "candlewax_last_trade_timestamp_seconds",
            "Time of the last trade of a symbol at the exchange, in seconds since 1970.",
            labels=("exchange", "symbol"),
        )
        for (exchange, _), candles in list(self.counters.candles.items()):
            self._last_trades_s.update(_last_trades_s(exchange, candles))
        for market, time_us in list(self.counters.last_trades_us.items()):
            self._last_trades_s[market] = max(time_us / 1e6, self._last_trades_s.get(market, 0.0))
        markets = [(exchange, symbol) for exchange, own in self.symbols.items() for symbol in own]
        for market in markets[:MAX_SYMBOLS]:
            if market in self._last_trades_s:
                family.add_metric(list(market), self._last_trades_s[market])
        return family

    def _gauges(self) -> Iterator[Metric]:
        levels = self.counters.gauges()
        for name, (metric, text) in _GAUGES.items():
            gauge = GaugeMetricFamily(metric, text, labels=("exchange",))
            for key, level in levels.items():
                if key[0] == name:
                    gauge.add_metric(key[1:], level)
            yield gauge

    def _message_counts(self) -> Iterator[Metric]:
        lag = GaugeMetricFamily(
            "candlewax_consumer_lag",
            "Messages of a topic that are not read yet.",
            labels=("topic", "partition"),
        )
        for lags in self.lags:
            for (topic, partition), count in lags().items():
                lag.add_metric((topic, str(partition)), count)
        yield lag
        yield GaugeMetricFamily(
            "candlewax_undelivered_messages",
            "Messages sent, but not delivered to the broker yet.",
            value=sum(count() for count in self.undelivered),
        )


def _last_trades_s(exchange: str, candles: pl.DataFrame) -> dict[tuple[str, str], float]:
    """Return the time of the last trade by exchange and symbol, from open candles (STATE)."""
    latest = candles.group_by("symbol").agg(pl.col("close_time").max()).rows()
    return {(exchange, symbol): time.timestamp() for symbol, time in latest}


def _labels(name: str, values: Iterable[str], count: int) -> list[str]:
    labels = [*values, *[""] * count][:count]
    if name in _LABEL_WORDS:
        index, words = _LABEL_WORDS[name]
        labels[index] = words.get(labels[index], labels[index])
    return labels
