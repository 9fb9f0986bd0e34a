"""Announced rows, before they are stored, as JSON.

Batches of few frames are rows, others columns; a row of either becomes JSON only if a page shows
it.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

import polars as pl

from candlewax.core.batch import Batch
from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.core.rows.candle_rows import CandleRow
from candlewax.core.rows.columns import candle_columns
from candlewax.core.rows.records import Trade
from candlewax.core.rows.row_batch import AnyBatch, RowBatch
from candlewax.web import encode
from candlewax.web.cache.changed import ColumnRow, encode_row
from candlewax.web.queries import Series
from candlewax.web.stream.client import TAPE
from candlewax.web.stream.feed_status import SECOND_US

_DAY: Final = TIMEFRAMES["1d"][0]


_Key = tuple[str, str, int]
"""Exchange, symbol and number of the timeframe."""

_Candles = dict[int, CandleRow | ColumnRow]
"""Rows of a series by the start of their candles in microseconds since 1970."""


class AnnouncedCandles:
    """Latest announced row of each forming candle.

    Forming candles may be held back for long before they are stored, so pages, the cache and the
    tickers learn of them here.
    """

    def __init__(self) -> None:
        self._forming: dict[_Key, _Candles] = {}
        self._changed: dict[_Key, _Candles] = {}
        self._uncached: dict[tuple[object, ...], CandleRow] = {}
        self._days: dict[tuple[str, str], tuple[int, CandleRow | ColumnRow]] = {}

    def add(self, batch: AnyBatch) -> None:
        """Apply the candles of a batch; those of an exchange come in their order."""
        exchange = batch.exchange
        if isinstance(batch, RowBatch):
            for row in batch.candles:
                key = (exchange, row.symbol, row.timeframe)
                self._apply(key, row.window_start, row, is_closed=row.closed)
                if not row.closed:
                    self._uncached[exchange, *row[:3]] = row
            return
        rows = batch.tables.get("ohlcv")
        if rows is None or rows.is_empty():
            return
        names = rows["timeframe"].to_list(), rows["symbol"].cast(pl.String).to_list()
        starts, closed = rows["window_start"].to_physical().to_list(), rows["closed"].to_list()
        for place, row_key in enumerate(zip(*names, starts, closed, strict=True)):
            timeframe, symbol, start, is_closed = row_key
            row_of_columns = ColumnRow(rows, place)
            self._apply((exchange, symbol, timeframe), start, row_of_columns, is_closed=is_closed)

    def _apply(self, key: _Key, start: int, row: CandleRow | ColumnRow, *, is_closed: bool) -> None:
        if key[2] == _DAY:
            # Late trades also change past days.
            last_start, _ = self._days.get(key[:2], (start, row))
            if start >= last_start:
                self._days[key[:2]] = start, row
        if is_closed:
            if key in self._forming:
                self._forming[key].pop(start, None)
        else:
            self._forming.setdefault(key, {})[start] = row
            self._changed.setdefault(key, {})[start] = row

    def forming(self, series: Series) -> Iterator[tuple[int, bytes]]:
        """Return start (seconds since 1970) and JSON of a series' forming candles."""
        return _encode(self._forming.get(_key(series), {}))

    def changed(self, series: Series) -> Iterator[tuple[int, bytes]]:
        """Return the same of those that changed since the last `forget_changed`."""
        return _encode(self._changed.get(_key(series), {}))

    def forget_changed(self) -> None:
        """Count all changes so far as sent."""
        self._changed.clear()

    def take_uncached(self) -> list[CandleRow]:
        """Return the forming candles of batches of rows that changed since the last call."""
        rows = list(self._uncached.values())
        self._uncached.clear()
        return rows

    @property
    def changed_days(self) -> set[tuple[str, str]]:
        """Return the markets whose last day candle changed since the last `take_days`."""
        return set(self._days)

    def take_days(self) -> pl.DataFrame | None:
        """Return the last day candles of these markets as rows of `ohlcv`; None without any."""
        days = [row for _, row in self._days.values()]
        self._days.clear()
        frames = [row.columns[row.place] for row in days if isinstance(row, ColumnRow)]
        if rows := [row for row in days if isinstance(row, CandleRow)]:
            frames.append(candle_columns(rows))
        return pl.concat(frames, how="diagonal") if frames else None

    def clear(self) -> None:
        """Forget all forming candles, as announced rows were missed."""
        self._forming.clear()
        self._changed.clear()
        self._uncached.clear()


def _key(series: Series) -> _Key:
    return series.exchange, series.symbol, TIMEFRAMES[series.timeframe][0]


def _encode(candles: _Candles) -> Iterator[tuple[int, bytes]]:
    return ((start // SECOND_US, encode_row(row)) for start, row in candles.items())


def last_trades(market: tuple[str, str], batches: Sequence[AnyBatch]) -> tuple[list[bytes], int]:
    """Return the last trades of a market in the batches as JSON, and the last receive time."""
    exchange, symbol = market
    latest: deque[Trade | ColumnRow] = deque(maxlen=TAPE)
    for batch in batches:
        if batch.exchange != exchange:
            continue
        if isinstance(batch, RowBatch):
            latest.extend(trade for trade in batch.trades if trade.symbol == symbol)
        elif "silver_trades" in batch.tables:
            latest.extend(_column_trades(symbol, batch))
    lines, received_us = [], 0
    for row in latest:
        if isinstance(row, Trade):
            lines.append(encode.trade_of_row(row))
            received_us = max(received_us, row.received_at)
        else:
            lines.append(encode.trade(row.columns.row(row.place, named=True)))
            time_us = row.columns["received_at"].to_physical()[row.place]
            received_us = max(received_us, int(time_us))
    return lines, received_us


def _column_trades(symbol: str, batch: Batch) -> list[ColumnRow]:
    # One comparison of a column: a query would take longer.
    hits = (batch.trades["symbol"] == symbol).arg_true()[-TAPE:]
    return [ColumnRow(batch.trades, place) for place in hits]
