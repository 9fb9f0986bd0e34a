"""What the cross-check has found, and what Prometheus is told of it."""

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
"""The timeframes by their numbers."""


class Window(NamedTuple):
    """A candle's name; `start` in seconds since 1970."""

    exchange: str
    number: int
    symbol: str
    start: int

    @property
    def end(self) -> int:
        """Seconds since 1970."""
        return self.start + LENGTHS[self.number]

    def __str__(self) -> str:
        start = datetime.fromtimestamp(self.start, UTC)
        return f"{self.exchange} {self.symbol} {NAMES[self.number]} {start:%Y-%m-%d %H:%M}"


@dataclass(frozen=True)
class Wrong:
    """What is wrong with a candle: `mismatch` of some fields, `missing_in_gold`, or
    `missing_in_check` if no trade is stored of it.
    """

    problem: str
    fields: tuple[str, ...] = ()


@dataclass(eq=False)
class Checked(Collector):
    """What all looks have found, for Prometheus."""

    compared: Counter[str] = field(default_factory=Counter)
    """Candles by exchange; also of those looked at that have none, 0."""
    wrong: dict[Window, Wrong] = field(default_factory=dict)
    """What is wrong by now, seen twice: between two inserts a candle may look wrong."""
    mismatches: dict[tuple[str, str], int] = field(default_factory=dict)
    gaps: list[tuple[str, str, int, int]] = field(default_factory=list)
    failures: int = 0
    looked_at: float = 0
    seconds: Histogram = field(
        default_factory=lambda: Histogram(
            "candlewax_cross_check_seconds",
            "How long one look at the candles that closed took.",
            buckets=(0.01, 0.05, 0.1, 0.5, 1, 5, 10, 60),
            registry=None,
        )
    )

    @property
    def candles(self) -> int:
        """Candles compared, of all exchanges."""
        return self.compared.total()

    def report(self) -> dict[str, Any] | None:
        """Return what the last look found, as JSON can say it; None before the first one."""
        if not self.looked_at:
            return None
        problems = Counter(wrong.problem for wrong in list(self.wrong.values()))
        checked_at = datetime.fromtimestamp(self.looked_at, UTC)
        return as_report(checked_at, self.candles, *(problems[name] for name in PROBLEMS))

    def rows(self) -> list[tuple[Any, ...]]:
        """Return what the last look found of each exchange: a row each for `cross_checks`."""
        problems = Counter((window.exchange, one.problem) for window, one in self.wrong.items())
        return [
            (
                exchange,
                datetime.fromtimestamp(self.looked_at, UTC),
                count,
                *(problems[exchange, name] for name in PROBLEMS),
            )
            for exchange, count in self.compared.items()
        ]

    def collect(self) -> Iterator[Metric]:
        """All metrics."""
        yield CounterMetricFamily(
            "candlewax_cross_check_candles",
            "Closed candles compared with the stored trades.",
            value=self.candles,
        )
        found = CounterMetricFamily(
            "candlewax_cross_check_mismatches",
            "Closed candles found to be not what the stored trades say.",
            labels=("exchange", "problem"),
        )
        for place, count in list(self.mismatches.items()):
            found.add_metric(place, count)
        yield found
        yield GaugeMetricFamily(
            "candlewax_cross_check_wrong_candles",
            "Of these, those that are still wrong.",
            value=len(self.wrong),
        )
        yield CounterMetricFamily(
            "candlewax_cross_check_failures", "Looks that came to nothing.", value=self.failures
        )
        yield GaugeMetricFamily(
            "candlewax_last_cross_check_timestamp_seconds",
            "When the last look ended, in seconds since 1970.",
            value=self.looked_at,
        )
        yield from self.seconds.collect()
        yield from self._gaps()

    def _gaps(self) -> Iterator[Metric]:
        gaps = GaugeMetricFamily(
            "candlewax_known_gaps",
            "Gaps as their table says: those to be repaired, and those settled within a day.",
            labels=("exchange", "state"),
        )
        missing = GaugeMetricFamily(
            "candlewax_known_missing_trades",
            "Trades missing in these gaps.",
            labels=("exchange", "state"),
        )
        for exchange, state, count, trades in self.gaps:
            gaps.add_metric([exchange, state], count)
            missing.add_metric([exchange, state], trades)
        yield from (gaps, missing)
