"""Metrics for Prometheus: what a process counts, and how it is asked for it.

What is counted while data flows stands in the tally and is read when it is asked
for; distributions are kept here, beside their names.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from threading import Thread
from typing import Final
from wsgiref.simple_server import WSGIServer

from prometheus_client import REGISTRY, Gauge, Histogram, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from candlewax.tally import Tally

SINK_ROWS: Final = Histogram(
    "candlewax_sink_rows",
    "Rows of one insert.",
    ["table"],
    buckets=(1, 10, 100, 1_000, 10_000, 100_000, 1_000_000),
)
SINK_SECONDS: Final = Histogram(
    "candlewax_sink_seconds",
    "How long one insert took, with its retries.",
    ["table"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60),
)
WRITTEN_SECONDS: Final = Histogram(
    "candlewax_received_to_written_seconds",
    "From the receipt of a batch's oldest trade until its candles are stored.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600),
)
_COMMIT: Final = Gauge(
    "candlewax_last_commit_timestamp_seconds",
    "When all that had come before was last known to be stored.",
)

_COUNTERS: Final[Mapping[str, tuple[str, str, tuple[str, ...]]]] = {
    "frames": ("candlewax_frames", "Frames.", ("exchange", "kind")),
    "trades": ("candlewax_trades", "Trades seen for the first time.", ("exchange",)),
    "duplicates": ("candlewax_duplicates", "Trades seen before.", ("exchange",)),
    "dead_letters": (
        "candlewax_dead_letters",
        "What could not be read.",
        ("exchange", "scope", "reason"),
    ),
    "stored": ("candlewax_rows_stored", "Rows stored.", ("table",)),
    "out_of_order": (
        "candlewax_out_of_order_trades",
        "Trades older than one that came before.",
        ("exchange",),
    ),
    "recomputed": (
        "candlewax_recomputed_candles",
        "Candles computed anew for trades that came too late.",
        ("exchange",),
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
    "missing_trades": ("candlewax_missing_trades", "Trades missing in open gaps."),
}
"""What the tally knows the level of, by exchange: by its name the metric and its help."""

_KINDS: Final = {"1": "trade", "2": "control", "3": "dead"}
_SCOPES: Final = {"1": "line", "2": "frame", "3": "trade"}

Lags = Callable[[], Mapping[tuple[str, int], int]]


def committed() -> None:
    """All that came before is stored."""
    _COMMIT.set(time.time())


@dataclass(frozen=True, eq=False)
class Counted(Collector):
    """The tally, and how far a process is behind, when they are asked for."""

    tally: Tally
    lags: list[Lags] = field(default_factory=list)
    waiting: list[Callable[[], int]] = field(default_factory=list)

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        counts = self.tally.all()
        for name, (metric, text, labels) in _COUNTERS.items():
            family = CounterMetricFamily(metric, text, labels=labels)
            for key, count in counts.items():
                if key[0] == name:
                    family.add_metric(_labels(name, key[1:], len(labels)), count)
            yield family
        levels = self.tally.now()
        for name, (metric, text) in _GAUGES.items():
            gauge = GaugeMetricFamily(metric, text, labels=("exchange",))
            for key, level in levels.items():
                if key[0] == name:
                    gauge.add_metric(key[1:], level)
            yield gauge
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


def _labels(name: str, values: Iterable[str], count: int) -> list[str]:
    found = [*values, *[""] * count][:count]
    names = {"frames": (1, _KINDS), "dead_letters": (1, _SCOPES)}.get(name)
    if names:
        place, words = names
        found[place] = words.get(found[place], found[place])
    return found


def serve(counted: Counted, port: int, address: str) -> tuple[WSGIServer, Thread]:
    """Answer Prometheus; gives the server and its thread. Raises OSError if nobody can
    listen there.
    """
    server = start_http_server(port, address)
    REGISTRY.register(counted)
    committed()
    return server
