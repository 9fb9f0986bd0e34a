"""Cache of encoded candles: of each series the newest, as many as fit."""

from collections.abc import Iterable, Sequence
from typing import Final

import polars as pl

from candlewax.core.rows.candle_rows import CandleRow
from candlewax.core.rows.columns import candle_columns
from candlewax.web import encode
from candlewax.web.cache.changed import ChangedCandles
from candlewax.web.cache.chunks import CandlePage
from candlewax.web.cache.series import LoadedCandles, SeriesCache
from candlewax.web.queries import Series

EACH: Final = 1_050
"""Newest candles of a series that one query reads: the default limit of a request, and some that
close meanwhile."""

MOST: Final = 1_500_000
"""Candles of all series: about 230 bytes each, 340 MB."""

FEW: Final = 1_000
"""Rows of a batch up to which each is encoded when its series is read. Those of a longer one are
encoded together, which costs less for each."""

KEYS: Final = ("timeframe", "exchange", "symbol")

ConcurrentChanges = dict[int, bytes]
"""Candles of a series that changed while it was read: JSON by start."""


class CandleCache:
    """Encoded candles of all series, kept up to date by the rows that are stored or about to be.

    Not thread-safe. A series is complete from some time on; older candles are in the tables only.
    If the cache is full, the oldest candles of the longest series are dropped.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._series: dict[Series, SeriesCache] = {}
        self._loading: dict[Series, ConcurrentChanges] = {}
        self._changed = ChangedCandles()
        self._queued: list[pl.DataFrame] = []
        self._count = 0

    def page(
        self, series: Series, begin: int, end: int, limit: int, *, last: bool
    ) -> CandlePage | None:
        """Return the first or `last` candles that begin in a time range, oldest first.

        Times are in seconds since 1970. Returns None if the cache does not hold all of them.
        """
        self._apply_changes(series)
        cached = self._series.get(series)
        return None if cached is None else cached.page(begin, end, limit, last=last)

    def complete_since(self, series: Series) -> int | None:
        """Return the time from which a series is complete; 0: all of it; None: not cached."""
        cached = self._series.get(series)
        return None if cached is None else cached.since

    @property
    def count(self) -> int:
        """Return how many candles are cached."""
        return self._count

    @property
    def free_candles(self) -> int:
        """Return how many more candles fit."""
        return max(0, self._most - self._count)

    def begin_read(self, series: Series) -> ConcurrentChanges:
        """Collect the changes of a series from now on, while it is read from the tables.

        Any earlier read of the series that is still running is discarded.
        """
        changes = self._loading[series] = {}
        return changes

    def extend(self, series: Series, changes: ConcurrentChanges, loaded: LoadedCandles) -> None:
        """Add the candles that were read of a series, then the changes collected since.

        They are discarded if the cache was cleared, or another read began, in the meantime.
        """
        self._apply_changes(series)
        if self._loading.get(series) is not changes:
            return
        del self._loading[series]
        cached = self._series.setdefault(series, SeriesCache())
        self._count -= len(cached)
        cached.extend(loaded)
        cached.put(changes)
        self._count += len(cached)
        self._make_space()

    def clear(self) -> None:
        """Drop everything, as stored rows were missed."""
        self._series.clear()
        self._changed.clear()
        self._queued.clear()
        # Reads in progress may lack the same rows.
        self._loading.clear()
        self._count = 0

    def update(self, rows: pl.DataFrame) -> None:
        """Note rows of `ohlcv`; they are encoded when a reader needs them."""
        if not self._series and not self._loading:
            return
        if rows.height <= FEW and not self._queued:
            self._changed.add_columns(rows)
        else:
            self._queued.append(rows)

    def update_rows(self, rows: Sequence[CandleRow]) -> None:
        """Note rows of candles as `update` does."""
        if not rows or not (self._series or self._loading):
            return
        if self._queued:
            self._queued.append(candle_columns(rows))
        else:
            self._changed.add_rows(rows)

    def apply_some(self) -> None:
        """Apply noted rows: all of long batches, else those of the series that waited longest."""
        if self._queued:
            self._apply_all()
        elif (series := self._changed.oldest()) is not None:
            self._apply_changes(series)

    def _apply_changes(self, series: Series) -> None:
        """Apply the noted rows that may concern a series."""
        if self._queued:
            self._apply_all()
        elif lines := self._changed.take(series):
            self._put_lines(series, lines)
            self._make_space()

    def _apply_all(self) -> None:
        # What was noted before the first long batch comes before it.
        for series, lines in self._changed.take_all():
            self._put_lines(series, lines)
        rows = with_names(pl.concat(self._queued, how="diagonal"))
        self._queued.clear()
        self.put(rows)

    def put(self, rows: pl.DataFrame) -> dict[Series, dict[int, bytes]]:
        """Apply stored rows (`with_names`). Return the candles that changed: JSON by series and
        start.
        """
        by_series: dict[Series, dict[int, bytes]] = {}
        for series, start, line in encode_latest(rows):
            by_series.setdefault(series, {})[start] = line
        for series, lines in by_series.items():
            by_series[series] = self._put_lines(series, lines)
        self._make_space()
        return {series: lines for series, lines in by_series.items() if lines}

    def _put_lines(self, series: Series, lines: dict[int, bytes]) -> dict[int, bytes]:
        """Apply candles of a series. Return those that changed; all if it is not cached."""
        if series in self._loading:
            self._loading[series].update(lines)
        cached = self._series.get(series)
        # A series without candles is cached too.
        if cached is None:
            return lines
        self._count -= len(cached)
        changed = cached.put(lines)
        self._count += len(cached)
        return changed

    def _make_space(self) -> None:
        while self._count > self._most:
            removed = max(self._series.values(), key=len).shorten()
            if not removed:
                return
            self._count -= removed


def with_names(rows: pl.DataFrame) -> pl.DataFrame:
    """Return rows on their way to `ohlcv` with timeframe, exchange and symbol as text."""
    return rows.with_columns(
        pl.col("timeframe").replace_strict(encode.TIMEFRAME_NAMES, return_dtype=pl.String),
        pl.col("exchange", "symbol").cast(pl.String),
    )


def encode_latest(rows: pl.DataFrame) -> Iterable[tuple[Series, int, bytes]]:
    """Return series, start and JSON of each candle (`with_names`), once.

    Of several rows of a candle the one of the greatest version counts, of equal ones the last.
    """
    if rows.is_empty():
        return []
    rows = rows.sort("trade_count", "closed", maintain_order=True).unique(
        [*KEYS, "window_start"], keep="last", maintain_order=True
    )
    keys = zip(rows["exchange"], rows["symbol"], rows["timeframe"], strict=True)
    return zip(
        (Series(*key) for key in keys),
        encode.starts(rows),
        encode.lines(encode.candles(rows)),
        strict=True,
    )
