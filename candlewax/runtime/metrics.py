"""Metrics for Prometheus: what a process counts, and what it knows when it is asked.

What is counted while data flows stands in the tally and is read when it is asked for;
distributions are kept where they are observed.
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

# When each series was first seen is of no use and as much again.
disable_created_metrics()  # type: ignore[no-untyped-call]

DELAYS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600)
"""Bounds for delays, in seconds."""

MOST_SYMBOLS: Final = 1_000
"""The most symbols that a process tells of one by one."""

_committed = time.time()
_committed_monotonic = time.monotonic()
_RECEIVED: Final = Gauge(
    "candlewax_last_received_timestamp_seconds",
    "When the last frame that was read had been received, in seconds since 1970.",
    ["exchange"],
)

_COUNTERS: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "frames": ("candlewax_frames", "Frames.", ("exchange", "kind")),
    "trades": ("candlewax_trades", "Trades seen for the first time.", ("exchange",)),
    "duplicates": ("candlewax_duplicates", "Trades seen before.", ("exchange",)),
    "contradictions": (
        "candlewax_contradictions",
        "Trades that came under a known number with other content.",
        ("exchange",),
    ),
    "uncompared": (
        "candlewax_uncompared_repeats",
        "Trades that count as repeats by their times, as nothing is stored under their numbers.",
        ("exchange",),
    ),
    "numberings": (
        "candlewax_numberings",
        "Markets whose exchange began their numbers anew.",
        ("exchange",),
    ),
    "dead_letters": (
        "candlewax_dead_letters",
        "What could not be read.",
        ("exchange", "scope", "reason"),
    ),
    "unknown_conditions": (
        "candlewax_unknown_condition_trades",
        "Trades with a condition of unknown meaning, stored and kept out of candles.",
        ("exchange", "condition"),
    ),
    "stored": ("candlewax_rows_stored", "Rows stored.", ("table",)),
    "out_of_order": (
        "candlewax_out_of_order_trades",
        "Trades older than one that came before.",
        ("exchange",),
    ),
    "late": (
        "candlewax_late_trades",
        "Trades that came when their one-minute candle had closed.",
        ("exchange",),
    ),
    "recomputed": (
        "candlewax_recomputed_candles",
        "Candles computed anew for trades that came too late.",
        ("exchange",),
    ),
    "revisions": (
        "candlewax_candle_revisions",
        "Closed candles written again, by what changed them.",
        ("exchange", "cause"),
    ),
    "skipped": ("candlewax_skipped_frames", "Frames of exchanges not wanted.", ("exchange",)),
    "connections": (
        "candlewax_connection_events",
        "What happened to websocket connections.",
        ("exchange", "event"),
    ),
    "rest": (
        "candlewax_rest_requests",
        "Requests for trades by REST.",
        ("exchange", "outcome"),
    ),
    "gaps": (
        "candlewax_gaps",
        "Gaps in the exchange's numbers, as they were found and as they were repaired.",
        ("exchange", "event"),
    ),
    "outages": (
        "candlewax_outages",
        "Times without any connection that are over.",
        ("exchange",),
    ),
    "lost": (
        "candlewax_lost_frames",
        "Frames dropped because the memory for them was full.",
        ("exchange",),
    ),
}
"""What the tally counts: by its name the metric, its help, and its labels."""

_GAUGES: Final[Mapping[str, tuple[str, str]]] = {
    "open_gaps": ("candlewax_open_gaps", "Gaps of which something is missing."),
    "refused_markets": (
        "candlewax_refused_markets",
        "Markets that the exchange refuses to subscribe; they are asked for again and again.",
    ),
    "missing_trades": ("candlewax_missing_trades", "Trades missing in open gaps."),
}
"""What the tally knows the level of, by exchange: by its name the metric and its help."""

_KINDS: Final = {"1": "trade", "2": "control", "3": "dead"}
_SCOPES: Final = {"1": "line", "2": "frame", "3": "trade"}
_CAUSES: Final = {"2": "late", "3": "repaired", "4": "recomputed"}
_WORDS: Final[Mapping[str, tuple[int, Mapping[str, str]]]] = {
    "frames": (1, _KINDS),
    "dead_letters": (1, _SCOPES),
    "revisions": (1, _CAUSES),
}
"""Where a label is a number in the tables' enumerations, and what it stands for."""

Lags = Callable[[], Mapping[tuple[str, int], int]]


def mark_committed() -> None:
    """All that came before is stored."""
    global _committed, _committed_monotonic
    _committed, _committed_monotonic = time.time(), time.monotonic()


def set_last_received(exchange: str, when_s: float) -> None:
    """The last frame read was received then, in seconds since 1970."""
    _RECEIVED.labels(exchange).set(when_s)


def commit_problem(fresh_s: float) -> str | None:
    """What is wrong with the last commit, if it is older than that."""
    age_s = time.monotonic() - _committed_monotonic
    if age_s <= fresh_s:
        return None
    return f"the last commit was {age_s:.0f} s ago, {fresh_s:g} s is the most that is fresh"


@dataclass(frozen=True, eq=False)
class MetricsCollector(Collector):
    """What a process knows when it is asked.

    `listed` gives the symbols of each exchange that are told of one by one, of all
    together MOST_SYMBOLS at most: what else a feed may bring has no end.
    """

    tally: Counters
    lags: list[Lags] = field(default_factory=list)
    waiting: list[Callable[[], int]] = field(default_factory=list)
    feeds: ConnectionStatus = field(default_factory=ConnectionStatus)
    listed: Mapping[str, Iterable[str]] = field(default_factory=dict)
    _last: dict[tuple[str, str], float] = field(default_factory=dict)

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        counts = self.tally.all_counts()
        for name, (metric, text, labels) in _COUNTERS.items():
            family = CounterMetricFamily(metric, text, labels=labels)
            for key, count in counts.items():
                if key[0] == name:
                    family.add_metric(_labels(name, key[1:], len(labels)), count)
            yield family
        yield GaugeMetricFamily(
            "candlewax_last_commit_timestamp_seconds",
            "When all that had come before was last known to be stored, in seconds since 1970.",
            value=_committed,
        )
        yield from self._levels()
        yield from self._connections()
        yield self._last_trades()
        yield from self._behind()

    def _connections(self) -> Iterator[Metric]:
        wanted = GaugeMetricFamily(
            "candlewax_connections_wanted",
            "Connections that this process keeps to an exchange.",
            labels=("exchange",),
        )
        standing = GaugeMetricFamily(
            "candlewax_connections_open", "Of these, those that stand.", labels=("exchange",)
        )
        again = CounterMetricFamily(
            "candlewax_reconnects",
            "Connections made after the first of each, also to replace one in time.",
            labels=("exchange",),
        )
        for exchange, counts in self.feeds.counts().items():
            wanted.add_metric([exchange], counts[0])
            standing.add_metric([exchange], counts[1])
            again.add_metric([exchange], counts[2])
        yield from (wanted, standing, again)

    def _last_trades(self) -> Metric:
        family = GaugeMetricFamily(
            "candlewax_last_trade_timestamp_seconds",
            "When the last trade of a symbol happened at the exchange, in seconds since 1970.",
            labels=("exchange", "symbol"),
        )
        for exchange, candles in list(self.tally.candles.items()):
            self._last.update(_last_trades(exchange, candles))
        known = [(exchange, symbol) for exchange, some in self.listed.items() for symbol in some]
        for place in known[:MOST_SYMBOLS]:
            if place in self._last:
                family.add_metric(list(place), self._last[place])
        return family

    def _levels(self) -> Iterator[Metric]:
        levels = self.tally.gauges()
        for name, (metric, text) in _GAUGES.items():
            gauge = GaugeMetricFamily(metric, text, labels=("exchange",))
            for key, level in levels.items():
                if key[0] == name:
                    gauge.add_metric(key[1:], level)
            yield gauge

    def _behind(self) -> Iterator[Metric]:
        lag = GaugeMetricFamily(
            "candlewax_consumer_lag", "Messages to be read yet.", labels=("topic", "partition")
        )
        for lags in self.lags:
            for (topic, partition), count in lags().items():
                lag.add_metric((topic, str(partition)), count)
        yield lag
        yield GaugeMetricFamily(
            "candlewax_undelivered_messages",
            "Messages that the broker has not yet taken.",
            value=sum(count() for count in self.waiting),
        )


def _last_trades(exchange: str, candles: pl.DataFrame) -> dict[tuple[str, str], float]:
    """By exchange and symbol when the last trade happened, of candles (STATE)."""
    latest = candles.group_by("symbol").agg(pl.col("close_time").max()).rows()
    return {(exchange, symbol): time.timestamp() for symbol, time in latest}


def _labels(name: str, values: Iterable[str], count: int) -> list[str]:
    found = [*values, *[""] * count][:count]
    names = _WORDS.get(name)
    if names:
        place, words = names
        found[place] = words.get(found[place], found[place])
    return found
