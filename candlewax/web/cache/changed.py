"""Changed candles, as JSON once a reader needs them.

A request needs those of its own series. To encode all that changed since the request before would
take longer than the answer.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import polars as pl

from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.core.rows.candle_rows import CandleRow
from candlewax.web import encode
from candlewax.web.queries import Series

SECOND_US: Final = 1_000_000

_NAMES: Final = {number: name for name, (number, _) in TIMEFRAMES.items()}


class ColumnRow(NamedTuple):
    """One row of columns of `ohlcv` that are stored or about to be."""

    columns: pl.DataFrame
    place: int


def encode_row(row: CandleRow | ColumnRow) -> bytes:
    """Return a candle as JSON."""
    if isinstance(row, CandleRow):
        return encode.candle_of_row(row)
    return encode.candle(row.columns.row(row.place, named=True))


class _Changed(NamedTuple):
    version: int
    row: CandleRow | ColumnRow


class ChangedCandles:
    """Newest row of each candle that changed since it was taken last."""

    def __init__(self) -> None:
        self._by_series: dict[Series, dict[int, _Changed]] = {}

    def add_rows(self, rows: Iterable[CandleRow]) -> None:
        """Add rows of candles, in their order."""
        for row in rows:
            series = Series(row.exchange, row.symbol, _NAMES[row.timeframe])
            self._add(series, row.window_start, row.version, row)

    def add_columns(self, columns: pl.DataFrame) -> None:
        """Add rows of `ohlcv`, in their order."""
        keys = columns.select(
            pl.col("exchange", "symbol").cast(pl.String),
            "timeframe",
            pl.col("window_start").to_physical(),
            version=2 * pl.col("trade_count").cast(pl.Int64) + pl.col("closed").cast(pl.Int64),
        )
        for place, (exchange, symbol, timeframe, start, version) in enumerate(keys.iter_rows()):
            series = Series(exchange, symbol, _NAMES[timeframe])
            self._add(series, start, version, ColumnRow(columns, place))

    def take(self, series: Series) -> dict[int, bytes]:
        """Remove the changes of a series. Return JSON by start in seconds since 1970."""
        changes = self._by_series.pop(series, {})
        return {start // SECOND_US: encode_row(changed.row) for start, changed in changes.items()}

    def take_all(self) -> Iterator[tuple[Series, dict[int, bytes]]]:
        """Remove all changes, one series at a time, and return them as `take` does."""
        for series in list(self._by_series):
            yield series, self.take(series)

    def oldest(self) -> Series | None:
        """Return the series whose changes wait longest, None without any."""
        return next(iter(self._by_series), None)

    def clear(self) -> None:
        """Forget all changes."""
        self._by_series.clear()

    def _add(self, series: Series, start: int, version: int, row: CandleRow | ColumnRow) -> None:
        changes = self._by_series.setdefault(series, {})
        earlier = changes.get(start)
        # Of rows of one version the last counts, as in the table.
        if earlier is None or earlier.version <= version:
            changes[start] = _Changed(version, row)
