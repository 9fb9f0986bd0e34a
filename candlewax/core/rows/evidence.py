"""Certificates of single candles, from missing ranges, outages and the begins of feeds."""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import polars as pl

from candlewax.core.candles.certificate import (
    COMPLETE,
    FORMING,
    GAPS,
    PARTIAL,
    UNVERIFIED,
    CertificateInputs,
)
from candlewax.core.rows.candle import Candle, WindowName

Certificate = tuple[int, int, int]
"""missing, status, feed_down_ms: as CERTIFICATE."""

Range = tuple[int, int]
"""Two times in microseconds since 1970, both inclusive."""

_NO_RANGES: Final[Sequence[Range]] = ()


class Evidence:
    """Certificate inputs of an exchange, indexed for one candle after another."""

    def __init__(self, inputs: CertificateInputs) -> None:
        gap_state = inputs.gap_state
        self._missing: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
        for symbol, first, last, before, after in gap_state.missing_ranges.iter_rows():
            self._missing[symbol].append((before, after, last - first + 1))
        begins = gap_state.first_seen.filter(pl.col("sequence") > 1)
        self._begins = _by_symbol(begins.select("symbol", "time", after="time"))
        contradicted = gap_state.contradicted_moments.select("symbol", before="time", after="time")
        self._contradicted = _by_symbol(contradicted)
        self._unsubscribed = _by_symbol(gap_state.unsubscribed_ranges)
        outages = inputs.outages.select("began", "ended")
        self._began = outages["began"].to_list()
        self._ended = outages["ended"].to_list()
        names = inputs.feed_ends.select(
            "symbol", "timeframe", pl.col("window_start").cast(pl.Int64)
        )
        self._feed_ends = {WindowName(*name) for name in names.iter_rows()}

    def certificate(self, candle: Candle, watermark: int) -> Certificate:
        """Return the certificate of a candle as it is at a watermark."""
        missing = self.missing(candle)
        status = self._status(candle, missing) if candle.end <= watermark else FORMING
        return missing, status, self._down_us(candle.start, candle.end) // 1000

    def missing(self, candle: Candle) -> int:
        """Return how many missing numbers may belong to a candle."""
        if not self._missing:
            return 0
        start, end = candle.start, candle.end
        ranges = self._missing.get(candle.symbol, ())
        return sum(size for before, after, size in ranges if before < end and after >= start)

    def _status(self, candle: Candle, missing: int) -> int:
        """Return the status of a closed candle: the first of these that holds."""
        if candle.unnumbered or _overlaps(self._contradicted, candle):
            return UNVERIFIED
        if missing:
            return GAPS
        if _overlaps(self._begins, candle) or _overlaps(self._unsubscribed, candle):
            return PARTIAL
        return PARTIAL if self._feed_ends and candle.name in self._feed_ends else COMPLETE

    def _down_us(self, start: int, end: int) -> int:
        """Return how much of a window had no connection. Outages lie apart, in order."""
        began, ended = self._began, self._ended
        down = 0
        for place in range(bisect_right(ended, start), len(began)):
            if began[place] >= end:
                break
            down += min(ended[place], end) - max(began[place], start)
        return down


def _by_symbol(ranges: pl.DataFrame) -> dict[str, list[Range]]:
    ranges_by_symbol: dict[str, list[Range]] = defaultdict(list)
    for symbol, before, after in ranges.iter_rows():
        ranges_by_symbol[symbol].append((before, after))
    return ranges_by_symbol


def _overlaps(ranges: dict[str, list[Range]], candle: Candle) -> bool:
    """Return whether a range of its symbol touches a candle's window."""
    if not ranges:
        return False
    of_symbol = ranges.get(candle.symbol, _NO_RANGES)
    return any(before < candle.end and after >= candle.start for before, after in of_symbol)


def touching(candles: Iterable[Candle], ranges: pl.DataFrame) -> list[Candle]:
    """Return the candles in whose windows any TIME_RANGES lie; one without a symbol is one of all
    symbols.
    """
    spans = _by_symbol(ranges)
    everywhere = spans.pop(None, [])  # type: ignore[call-overload]  # a symbol may be null
    return [
        candle
        for candle in candles
        if _overlaps(spans, candle)
        or any(before < candle.end and after >= candle.start for before, after in everywhere)
    ]
