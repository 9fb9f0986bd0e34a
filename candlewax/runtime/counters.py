"""Counters and gauges of a run."""

import threading
from collections import Counter
from collections.abc import Mapping

import polars as pl


class Counters:
    """Counts and levels of a run. Any thread may call any method."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.bytes_read = 0
        self.ended = False
        """True once the feed has ended by itself."""
        self.counts: Counter[tuple[str, ...]] = Counter()
        self.candles: dict[tuple[str, int], pl.DataFrame] = {}
        """Latest open candles (STATE) by exchange and the index of their shard."""
        self.last_trades_us: dict[tuple[str, str], int] = {}
        """Time of the last trade of each exchange and symbol that was read as a row."""
        self.levels: dict[tuple[str, ...], dict[int, int]] = {}

    def add_bytes_read(self, size_bytes: int) -> None:
        """Count bytes of the feed that were read."""
        with self._lock:
            self.bytes_read += size_bytes

    def increment(self, count: int, *name: str) -> None:
        """Increase the count of a name, such as ("frames", "binance", "control")."""
        if count:
            with self._lock:
                self.counts[name] += count

    def increment_all(self, counts: Mapping[tuple[str, ...], int]) -> None:
        """Increase several counts by name."""
        with self._lock:
            for name, count in counts.items():
                if count:
                    self.counts[name] += count

    def set_gauge(self, level: int, *name: str, part: int = 0) -> None:
        """Set the current level of a part of a name, such as ("open_gaps", "binance")."""
        with self._lock:
            self.levels.setdefault(name, {})[part] = level

    def gauges(self) -> dict[tuple[str, ...], int]:
        """Return the current levels by name, the sum of all parts."""
        with self._lock:
            return {name: sum(parts.values()) for name, parts in self.levels.items()}

    def all_counts(self) -> dict[tuple[str, ...], int]:
        """Return all counts by name."""
        with self._lock:
            return dict(self.counts)

    def total(self, *name: str) -> int:
        """Return the sum of all counts whose names begin with `name`."""
        with self._lock:
            return sum(n for key, n in self.counts.items() if key[: len(name)] == name)
