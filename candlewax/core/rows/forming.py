"""Rows of forming candles that wait until somebody reads them."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from candlewax.core.rows.candle_rows import CandleRow
from candlewax.core.rows.frame_decoder import DecodedRows
from candlewax.core.rows.row_batch import AnyBatch, RowBatch
from candlewax.core.shards import Shard


class FormingCandles:
    """Latest row of each forming candle that is not stored.

    A forming candle changes with each trade, and a process computes it from stored trades at its
    start. So its row is stored only before a query, for a snapshot, or with candles of its shard
    that close or come as columns.
    """

    def __init__(self) -> None:
        self._held: dict[tuple[str, Shard], dict[tuple[object, ...], CandleRow]] = {}

    def __bool__(self) -> bool:
        return bool(self._held)

    def hold(self, batches: Iterable[AnyBatch]) -> list[AnyBatch]:
        """Return batches to store now: without the rows of forming candles, which are held.

        If a candle closes, or a batch has candles as columns, the rows of its shard are stored
        with it or before it: a row never follows a later one of its candle.
        """
        return [stored for batch in batches for stored in self._hold(batch)]

    def release(self) -> list[AnyBatch]:
        """Return all held rows as batches, and hold them no more."""
        return [self._release(*key) for key in list(self._held)]

    def _hold(self, batch: AnyBatch) -> Iterator[AnyBatch]:
        key = batch.exchange, batch.shard
        if not isinstance(batch, RowBatch):
            if "ohlcv" in batch.tables and key in self._held:
                yield self._release(*key)
            yield batch
            return
        if batch.candles:
            held = self._held.setdefault(key, {})
            held.update({row[:3]: row for row in batch.candles})
        closes = any(row.closed for row in batch.candles)
        yield replace(batch, candles=list(self._held.pop(key).values()) if closes else ())

    def _release(self, exchange: str, shard: Shard) -> RowBatch:
        rows = list(self._held.pop((exchange, shard)).values())
        return RowBatch(exchange, DecodedRows(exchange, []), candles=rows, shard=shard)
