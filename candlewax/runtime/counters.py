"""What a run has done so far, counted where it happens."""

import threading
from collections import Counter

import polars as pl


class Counters:
    """Counts of a run; every method may be called from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.bytes_read = 0
        self.ended = False
        """Whether the feed ended by itself."""
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.candles: dict[str, pl.DataFrame] = {}
        """By exchange the candles (STATE) that can still change, as they were last."""
        self.levels: dict[tuple[str, ...], int] = {}

    def read(self, size: int) -> None:
        """Some bytes of the feed were read."""
        with self._lock:
            self.bytes_read += size

    def increment(self, count: int, *name: str) -> None:
        """Count something by its name: ("frames", "binance", "control")."""
        if count:
            with self._lock:
                self.counts[name] += count

    def set_gauge(self, level: int, *name: str) -> None:
        """Say how much of something there is now: ("open_gaps", "binance")."""
        with self._lock:
            self.levels[name] = level

    def gauges(self) -> dict[tuple[str, ...], int]:
        """How much there is of all that was said, by its names."""
        with self._lock:
            return dict(self.levels)

    def all_counts(self) -> dict[tuple[str, ...], int]:
        """All counts by their names."""
        with self._lock:
            return dict(self.counts)

    def total(self, *name: str) -> int:
        """The sum of all counts whose names begin so."""
        with self._lock:
            return sum(n for key, n in self.counts.items() if key[: len(name)] == name)
