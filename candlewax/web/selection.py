"""Selection of candles by their state and certificate: in memory, and as a condition in SQL."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from candlewax.web.cache.chunks import CandlePage, JsonCandles


@dataclass(frozen=True)
class Selection:
    """Candles to return: closed ones or forming ones, those of some statuses, and minutes by their
    comparison with the exchange's own.

    None stands for all. Comparisons are in the tables only.
    """

    closed: bool | None = None
    statuses: Collection[str] | None = None
    reconciled: Collection[str] | None = None

    @property
    def is_stored_only(self) -> bool:
        """Return whether only a query can tell which candles are selected."""
        return self.reconciled is not None

    @property
    def is_everything(self) -> bool:
        """Return whether all candles are selected."""
        return self.closed is None and self.statuses is None and self.reconciled is None

    @property
    def condition(self) -> str:
        """Return the condition on rows of `ohlcv`, with its AND; its values are `parameters`."""
        parts = []
        if self.closed is not None:
            parts.append(" AND ohlcv.closed = {closed:Bool}")
        if self.statuses is not None:
            parts.append(" AND toString(ohlcv.status) IN {statuses:Array(String)}")
        if self.reconciled is not None:
            parts.append(_RECONCILED)
        return "".join(parts)

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the values of `condition`."""
        values: dict[str, Any] = {
            "closed": self.closed,
            "statuses": self.statuses and sorted(self.statuses),
            "results": self.reconciled and sorted(self.reconciled),
        }
        return {name: value for name, value in values.items() if value is not None}

    def cut(self, page: CandlePage, limit: int, *, last: bool) -> CandlePage:
        """Return the first or `last` selected candles of a page, at most `limit`."""
        chosen = [
            (start, line)
            for part in page.parts
            for start, line in zip(part.starts, part.lines(), strict=True)
            if self._matches(line)
        ]
        chosen = chosen[-limit:] if last else chosen[:limit]
        if not chosen:
            return CandlePage(())
        starts, lines = zip(*chosen, strict=True)
        return CandlePage((JsonCandles(starts, lines),))

    def _matches(self, line: bytes) -> bool:
        # No text in a candle could hold what looks like a field: searching is exact, and ten
        # times as fast as reading the JSON.
        if self.closed is not None and _CLOSED[self.closed] not in line:
            return False
        if self.statuses is None:
            return True
        return any(b'"status":"%s"' % status.encode() in line for status in self.statuses)


_COMPARED: Final = """SELECT window_start, version, revision FROM reconciliations FINAL
    WHERE exchange = {exchange:String} AND symbol = {symbol:String}
        AND window_start >= {begin:DateTime('UTC')} AND window_start < {end:DateTime('UTC')}"""

_RECONCILED: Final = f""" AND ohlcv.closed AND (
    (ohlcv.window_start, ohlcv.version, ohlcv.revision) IN (
        {_COMPARED} AND toString(result) IN {{results:Array(String)}})
    OR has({{results:Array(String)}}, 'no')
        AND (ohlcv.window_start, ohlcv.version, ohlcv.revision) NOT IN ({_COMPARED}))"""
"""Condition on the comparisons of a market's candles; exchange, symbol and span are parameters."""

_CLOSED: Final = {True: b'"closed":true', False: b'"closed":false'}

EVERYTHING: Final = Selection()
