"""Candles recomputed from stored trades, after their state was dropped from memory."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import polars as pl

from candlewax.clickhouse.state.late_trade_reader import with_revisions
from candlewax.clickhouse.state.loader import ALL_STORED, StateLoader
from candlewax.core.batch import WINDOW_KEY, Batch
from candlewax.core.candles.certificate import CertificateInputs, Recertification, merge_overlapping
from candlewax.core.candles.combine import TIMEFRAMES, all_timeframes, combine
from candlewax.core.candles.late_trades import restore_revisions
from candlewax.core.candles.rows import (
    LATE,
    RECOMPUTE_CAUSE,
    RECOMPUTED,
    candle_rows,
    recertified_rows,
)
from candlewax.core.schema import TRADES, empty

_DAY: Final = TIMEFRAMES["1d"][1]
_NO_TRADES: Final = empty(TRADES)
_NO_INPUTS: Final = CertificateInputs()


class CandleRecomputer:
    """Recomputation of rows of `ohlcv`, one day at a time."""

    def __init__(self, state_loader: StateLoader) -> None:
        self._state_loader = state_loader

    def recompute(self, exchange: str, batches: Sequence[Batch]) -> Iterator[pl.DataFrame]:
        """Yield rows of `ohlcv` with `cause` for the stale candles of a shard's batches.

        The batches are stored already. Store each frame before taking the next one.
        """
        loader = self._state_loader.for_shard(batches[0].shard)
        yield from CandleRecomputer(loader)._recompute(exchange, batches)  # noqa: SLF001 - its own

    def _recompute(self, exchange: str, batches: Sequence[Batch]) -> Iterator[pl.DataFrame]:
        requests = [batch.recertify for batch in batches if batch.recertify]
        if not requests:
            return
        is_first_batch = any(request.is_first_batch for request in requests)
        spans = pl.concat([request.spans for request in requests])
        request = replace(requests[-1], spans=spans, is_first_batch=is_first_batch)
        stale = pl.concat([batch.stale_windows for batch in batches]).unique()
        if stale.height:
            watermark = max(batch.watermark for batch in batches)
            late = pl.concat([batch.late_trades for batch in batches])
            self._state_loader.wait_until_stored(exchange, late)
            yield from self.candles(
                exchange, stale, watermark, late, request.inputs, is_first_batch=is_first_batch
            )
        yield from self.recertify(exchange, request)

    def candles(
        self,
        exchange: str,
        windows: pl.DataFrame,
        watermark: int,
        late: pl.DataFrame = _NO_TRADES,
        inputs: CertificateInputs = _NO_INPUTS,
        *,
        is_first_batch: bool = False,
    ) -> Iterator[pl.DataFrame]:
        """Yield rows of `ohlcv` with `cause` for windows (WINDOW_KEY), one frame for each day.

        They are computed from all stored trades and the `late` ones (TRADES), stored or not.
        `revision` is restored from the stored rows. For the first batch it follows from the
        order of receipt instead, as the process before may have stored no row.
        """
        late_counts = None
        if is_first_batch and windows.height:
            oldest = int(windows["window_start"].dt.truncate("1d").to_physical().min())  # type: ignore[arg-type]
            late_counts = self._state_loader.late_trade_reader.count_late_trades(exchange, oldest)
        late_windows = all_timeframes(combine(late)).select(*WINDOW_KEY).cast(WINDOW_KEY)  # type: ignore[arg-type]
        day = pl.col("window_start").dt.truncate("1d").cast(pl.Int64)
        for (begin,), day_windows in windows.group_by(day.alias("day"), maintain_order=True):
            symbols = day_windows["symbol"].unique().to_list()
            minutes = self._state_loader.minute_reader.build_candles(
                exchange, begin, begin + _DAY, symbols, late, cut=ALL_STORED
            )
            keys = day_windows.with_columns(pl.col("symbol").cast(pl.Categorical))
            candles = all_timeframes(minutes).join(keys, on=list(WINDOW_KEY), how="semi")
            if late_counts is None:
                rows = self._state_loader.candle_reader.read_between(
                    exchange, begin, begin + _DAY, symbols
                )
                candles = restore_revisions(candles, rows, late_windows)
            else:
                candles = with_revisions(candles, late_counts)
            day_inputs = self._with_outages(exchange, begin, begin + _DAY, inputs)
            yield candle_rows(exchange, candles, watermark, day_inputs, RECOMPUTE_CAUSE)

    def recertify(self, exchange: str, request: Recertification) -> Iterator[pl.DataFrame]:
        """Yield rows of `ohlcv` with `cause` for stored candles whose certificates change."""
        stored = self._state_loader.candle_reader
        parts = stored.read_overlapping(exchange, request.spans)
        for part in (
            *parts,
            *([stored.read_incomplete(exchange)] if request.is_first_batch else []),
        ):
            rows = part.filter(pl.col("window_end") <= request.until_us)
            if rows.height:
                start = pl.col("window_start").cast(pl.Int64).min()
                begin, end = rows.select(start, pl.col("window_end").max()).row(0)
                inputs = self._with_outages(exchange, begin, end, request.inputs)
                yield recertified_rows(rows, inputs, RECOMPUTED if request.is_first_batch else LATE)

    def _with_outages(
        self, exchange: str, begin: int, end: int, inputs: CertificateInputs
    ) -> CertificateInputs:
        """Return the inputs with the stored outages of the time from `begin` to `end`."""
        stored = self._state_loader.gap_reader.read_outages(exchange, begin)
        outages = pl.concat([stored, inputs.outages]).filter(pl.col("began") < end)
        return replace(inputs, outages=merge_overlapping(outages))
