"""The candles of all series, newest first as far as there is room, ready to be sent."""

from collections.abc import Iterable
from typing import Final

import polars as pl

from candlewax.web import encode
from candlewax.web.cache.chunks import CandlePage
from candlewax.web.cache.series import Read, SeriesCache
from candlewax.web.queries import Series

EACH: Final = 1_050
"""The last candles of a series that are read at once: what a request has if it asks for
no number, and some that close meanwhile."""

MOST: Final = 1_500_000
"""Candles of all series together: about 230 bytes each, 340 MB."""

KEYS: Final = ("timeframe", "exchange", "symbol")

Meanwhile = dict[int, bytes]
"""What came of a series while it was read."""


class CandleCache:
    """Series kept as they are sent, and kept up to date by what is stored.

    Not for several threads. What a series does not reach back to is not here. Where there
    is no more room, the oldest candles of the longest series go.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: dict[Series, SeriesCache] = {}
        self._loading: dict[Series, Meanwhile] = {}
        self._backlog: list[pl.DataFrame] = []
        self._count = 0

    def page(
        self, series: Series, begin: int, end: int, limit: int, *, last: bool
    ) -> CandlePage | None:
        """The first or the `last` so many candles that begin in a time (seconds since
        1970), in its order; None if not all of them are here.
        """
        self.settle()
        kept = self._kept.get(series)
        return None if kept is None else kept.between(begin, end, limit, last=last)

    def since(self, series: Series) -> int | None:
        """From when on all of a series is here; 0: from its beginning; None: nothing is."""
        kept = self._kept.get(series)
        return None if kept is None else kept.since

    @property
    def count(self) -> int:
        """How many candles are here."""
        return self._count

    @property
    def room(self) -> int:
        """How many more candles may come."""
        return max(0, self._most - self._count)

    def begin(self, series: Series) -> Meanwhile:
        """Candles are being read from the tables: what comes meanwhile comes on top. What
        was begun before for the same series will count for nothing.
        """
        meanwhile = self._loading[series] = {}
        return meanwhile

    def extend(self, series: Series, meanwhile: Meanwhile, read: Read) -> None:
        """What was read of a series, up to what was here when it was begun; for nothing if
        something was missed since.
        """
        self.settle()
        if self._loading.get(series) is not meanwhile:
            return
        del self._loading[series]
        kept = self._kept.setdefault(series, SeriesCache())
        self._count -= len(kept)
        kept.extend(read)
        kept.put(meanwhile)
        self._count += len(kept)
        self._trim()

    def clear(self) -> None:
        """Forget all: something was missed."""
        self._kept.clear()
        self._backlog.clear()
        # What is being read may miss it too.
        self._loading.clear()
        self._count = 0

    def update(self, rows: pl.DataFrame) -> None:
        """Rows of `ohlcv` that were stored; they are looked at when somebody asks."""
        if self._kept or self._loading:
            self._backlog.append(rows)

    def settle(self) -> None:
        """Bring all series up to date."""
        if self._backlog:
            rows = named(pl.concat(self._backlog, how="diagonal"))
            self._backlog.clear()
            self.put(rows)

    def put(self, rows: pl.DataFrame) -> dict[Series, dict[int, bytes]]:
        """Take rows (`named`) that were stored; gives the candles that changed, by their
        starts.
        """
        found: dict[Series, dict[int, bytes]] = {}
        for series, start, line in encoded(rows):
            found.setdefault(series, {})[start] = line
        for series, lines in found.items():
            if series in self._loading:
                self._loading[series].update(lines)
            kept = self._kept.get(series)
            # One without candles is kept too.
            if kept is not None:
                self._count -= len(kept)
                found[series] = kept.put(lines)
                self._count += len(kept)
        self._trim()
        return {series: lines for series, lines in found.items() if lines}

    def _trim(self) -> None:
        while self._count > self._most:
            gone = max(self._kept.values(), key=len).shorten()
            if not gone:
                return
            self._count -= gone


def named(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of `ohlcv` on their way to it, with their names as text."""
    return rows.with_columns(
        pl.col("timeframe").replace_strict(encode.TIMEFRAME_NAMES, return_dtype=pl.String),
        pl.col("exchange", "symbol").cast(pl.String),
    )


def encoded(rows: pl.DataFrame) -> Iterable[tuple[Series, int, bytes]]:
    """Each candle (`named`) once, as the table has it: the row of the highest version, of
    these the last; its series, its start, its JSON.
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
