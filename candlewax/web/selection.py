"""Selection of candles by their state and certificate: in memory, and as a condition in SQL."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from candlewax.web.cache.chunks import CandlePage, JsonCandles


@dataclass(frozen=True)
class Selection:
    """Candles to return: closed ones or forming ones, and those of some statuses.

    None stands for all.
    """

    closed: bool | None = None
    statuses: Collection[str] | None = None

    @property
    def is_everything(self) -> bool:
        """Return whether all candles are selected."""
        return self.closed is None and self.statuses is None

    @property
    def condition(self) -> str:
        """Return the condition on rows of `ohlcv`, with its AND; its values are `parameters`."""
        parts = []
        if self.closed is not None:
            parts.append(" AND ohlcv.closed = {closed:Bool}")
        if self.statuses is not None:
            parts.append(" AND toString(ohlcv.status) IN {statuses:Array(String)}")
        return "".join(parts)

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the values of `condition`."""
        values = {"closed": self.closed, "statuses": self.statuses and sorted(self.statuses)}
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


_CLOSED: Final = {True: b'"closed":true', False: b'"closed":false'}

EVERYTHING: Final = Selection()
