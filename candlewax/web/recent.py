"""The latest candles of the series that are asked for, ready to be sent."""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from candlewax.web import encode
from candlewax.web.store import Series

EACH: Final = 1_050
"""Candles of a series that are read at once: what a request has if it asks for no number,
and some that close meanwhile."""

MOST: Final = 400_000
"""Candles of all series together, about 450 bytes each: sixty markets in six timeframes."""

KEYS: Final = ("timeframe", "exchange", "symbol")


@dataclass
class _Kept:
    """One series from `since` on (seconds since 1970): starts in order, and their lines."""

    since: int
    starts: list[int] = field(default_factory=list)
    lines: dict[int, bytes] = field(default_factory=dict)

    def put(self, start: int, line: bytes) -> None:
        if start not in self.lines:
            if start < self.since:
                return
            if not self.starts or start > self.starts[-1]:
                self.starts.append(start)
            else:
                self.starts.insert(bisect_left(self.starts, start), start)
        self.lines[start] = line


class Recent:
    """Series kept as they are sent, and kept up to date by what is stored.

    Not for several threads. What a series does not reach back to is not here.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: OrderedDict[Series, _Kept] = OrderedDict()
        self._loading: dict[Series, list[tuple[int, bytes]]] = {}
        self._backlog: list[pl.DataFrame] = []
        self._count = 0

    def page(self, series: Series, before: int | None, limit: int) -> list[bytes] | None:
        """The last `limit` candles that begin before a time, as JSON in their order;
        None if not all of them are here.
        """
        self.settle()
        kept = self._kept.get(series)
        if kept is None:
            return None
        self._kept.move_to_end(series)
        end = len(kept.starts) if before is None else bisect_left(kept.starts, before)
        if end < limit and kept.since:
            return None
        return [kept.lines[start] for start in kept.starts[max(0, end - limit) : end]]

    def begin(self, series: Series) -> None:
        """The series is being read from the tables: what comes meanwhile comes on top."""
        self._loading.setdefault(series, [])

    def fill(
        self, series: Series, starts: Sequence[int], lines: Sequence[bytes], each: int
    ) -> None:
        """The series as it was read: its last `each` candles, or all if they are fewer."""
        self.settle()
        self.forget(series)
        whole = len(starts) < each
        kept = _Kept(0 if whole else starts[0], list(starts), dict(zip(starts, lines, strict=True)))
        self._kept[series] = kept
        self._count += len(starts)
        for start, line in self._loading.pop(series, []):
            self._put(kept, start, line)
        while self._count > self._most and len(self._kept) > 1:
            self.forget(next(iter(self._kept)))

    def forget(self, series: Series) -> None:
        """Keep the series no longer."""
        if kept := self._kept.pop(series, None):
            self._count -= len(kept.starts)

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
        if not self._backlog:
            return
        rows = named(pl.concat(self._backlog, how="diagonal"))
        self._backlog.clear()
        for series, start, line in encoded(rows):
            if kept := self._kept.get(series):
                self._put(kept, start, line)
            if series in self._loading:
                self._loading[series].append((start, line))

    def _put(self, kept: _Kept, start: int, line: bytes) -> None:
        before = len(kept.starts)
        kept.put(start, line)
        self._count += len(kept.starts) - before


def named(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of `ohlcv` on their way to it, with their names as text."""
    return rows.with_columns(
        pl.col("timeframe").replace_strict(encode.TIMEFRAME_NAMES, return_dtype=pl.String),
        pl.col("exchange", "symbol").cast(pl.String),
    )


def encoded(rows: pl.DataFrame) -> Iterable[tuple[Series, int, bytes]]:
    """Each candle (`named`) once, as it was last: its series, its start, its JSON."""
    if rows.is_empty():
        return []
    rows = rows.unique([*KEYS, "window_start"], keep="last", maintain_order=True)
    starts = rows["window_start"].dt.epoch("s").to_list()
    keys = zip(rows["exchange"], rows["symbol"], rows["timeframe"], strict=True)
    return zip(
        (Series(*key) for key in keys), starts, encode.lines(encode.candles(rows)), strict=True
    )
