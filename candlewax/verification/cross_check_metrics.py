"""Results of the cross-check, as metrics and as rows."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from prometheus_client import Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from candlewax.core.candles.combine import SECOND, TIMEFRAMES
from candlewax.core.cross_check import PROBLEMS, as_report

LENGTHS: Final = {number: length // SECOND for number, length in TIMEFRAMES.values()}
"""Seconds of each timeframe, by its number."""

NAMES: Final = {number: name for name, (number, _) in TIMEFRAMES.items()}
"""Names of timeframes, by number."""


class Window(NamedTuple):
    """Key of a candle; `start` in seconds since 1970."""

    exchange: str
    number: int
    symbol: str
    start: int

    @property
    def end(self) -> int:
        """Return the end in seconds since 1970."""
        return self.start + LENGTHS[self.number]

    def __str__(self) -> str:
        start = datetime.fromtimestamp(self.start, UTC)
        return f"{self.exchange} {self.symbol} {NAMES[self.number]} {start:%Y-%m-%d %H:%M}"


@dataclass(frozen=True)
class Mismatch:
    """Difference of a candle and its trades.

    `problem` is `mismatch` of some fields, `missing_in_gold` if there is no candle, or
    `missing_in_check` if no trade is stored.
    """

    problem: str
    fields: tuple[str, ...] = ()


@dataclass(eq=False)
class CrossCheckMetrics(Collector):
    """Prometheus collector of the results of all cross-check runs."""

    compared: Counter[str] = field(default_factory=Counter)
    """Compared candles by exchange; 0 for a checked exchange without candles."""
    wrong: dict[Window, Mismatch] = field(default_factory=dict)
    """Wrong candles, found by two runs in a row: between two inserts a candle may look wrong."""
    mismatches: dict[tuple[str, str], int] = field(default_factory=dict)
    gaps: list[tuple[str, str, int, int]] = field(default_factory=list)
    failures: int = 0
    last_run_at: float = 0
    seconds: Histogram = field(
        default_factory=lambda: Histogram(
            "candlewax_cross_check_seconds",
            "Seconds per cross-check run.",
            buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60),
            registry=None,
        )
    )

    @property
    def candles(self) -> int:
        """Return the number of compared candles of all exchanges."""
        return self.compared.total()

    def report(self) -> dict[str, Any] | None:
        """Return the result of the last run for JSON, None before the first run."""
        if not self.last_run_at:
            return None
        problems = Counter(mismatch.problem for mismatch in list(self.wrong.values()))
        checked_at = datetime.fromtimestamp(self.last_run_at, UTC)
        return as_report(checked_at, self.candles, *(problems[name] for name in PROBLEMS))

    def rows(self) -> list[tuple[Any, ...]]:
        """Return rows of `cross_checks`: the result of the last run for each exchange."""
        problems = Counter(
            (window.exchange, mismatch.problem) for window, mismatch in self.wrong.items()
        )
        return [
            (
                exchange,
                datetime.fromtimestamp(self.last_run_at, UTC),
                count,
                *(problems[exchange, name] for name in PROBLEMS),
            )
            for exchange, count in self.compared.items()
        ]

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        yield CounterMetricFamily(
            "candlewax_cross_check_candles",
            "Closed candles compared with the stored trades.",
            value=self.candles,
        )
        mismatches = CounterMetricFamily(
            "candlewax_cross_check_mismatches",
            "Closed candles that differed from the stored trades in two cross-check runs.",
            labels=("exchange", "problem"),
        )
        for key, count in list(self.mismatches.items()):
            mismatches.add_metric(key, count)
        yield mismatches
        yield GaugeMetricFamily(
            "candlewax_cross_check_wrong_candles",
            "Closed candles that differ from the stored trades now.",
            value=len(self.wrong),
        )
        yield CounterMetricFamily(
            "candlewax_cross_check_failures", "Cross-check runs that failed.", value=self.failures
        )
        yield GaugeMetricFamily(
            "candlewax_last_cross_check_timestamp_seconds",
            "End of the last cross-check run, in seconds since 1970.",
            value=self.last_run_at,
        )
        yield from self.seconds.collect()
        yield from self._gaps()

    def _gaps(self) -> Iterator[Metric]:
        gaps = GaugeMetricFamily(
            "candlewax_known_gaps",
            "Gaps of the table gaps: open ones, and those repaired or given up within a day.",
            labels=("exchange", "state"),
        )
        missing = GaugeMetricFamily(
            "candlewax_known_missing_trades",
            "Missing trades of the gaps in candlewax_known_gaps.",
            labels=("exchange", "state"),
        )
        for exchange, state, count, trades in self.gaps:
            gaps.add_metric([exchange, state], count)
            missing.add_metric([exchange, state], trades)
        yield from (gaps, missing)
