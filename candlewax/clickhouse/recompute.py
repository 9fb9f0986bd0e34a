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

    def __init__(self, history: StateLoader) -> None:
        self._history = history

    def recompute(self, exchange: str, batches: Sequence[Batch]) -> Iterator[pl.DataFrame]:
        """Yield rows of `ohlcv` with `cause` for the stale candles of an exchange's batches.

        The batches are stored already. Store each frame before taking the next one.
        """
        requests = [batch.recertify for batch in batches if batch.recertify]
        if not requests:
            return
        begins = any(doubt.is_first_batch for doubt in requests)
        spans = pl.concat([doubt.spans for doubt in requests])
        doubt = replace(requests[-1], spans=spans, is_first_batch=begins)
        stale = pl.concat([batch.stale_windows for batch in batches]).unique()
        if stale.height:
            watermark = max(batch.watermark for batch in batches)
            late = pl.concat([batch.late_trades for batch in batches])
            self._history.wait_until_stored(exchange, late)
            yield from self.candles(exchange, stale, watermark, late, doubt.inputs, begins=begins)
        yield from self.recertify(exchange, doubt)

    def candles(
        self,
        exchange: str,
        windows: pl.DataFrame,
        watermark: int,
        late: pl.DataFrame = _NO_TRADES,
        evidence: CertificateInputs = _NO_INPUTS,
        *,
        begins: bool = False,
    ) -> Iterator[pl.DataFrame]:
        """Yield rows of `ohlcv` with `cause` for windows (WINDOW_KEY), one frame for each day.

        They are computed from all stored trades and the `late` ones (TRADES), stored or not.
        `revision` is restored from the stored rows. If the process `begins`, it follows from the
        order of receipt instead, as the process before may have stored no row.
        """
        late_counts = None
        if begins and windows.height:
            oldest = int(windows["window_start"].dt.truncate("1d").to_physical().min())  # type: ignore[arg-type]
            late_counts = self._history.late_trade_reader.count_late_trades(exchange, oldest)
        late_windows = all_timeframes(combine(late)).select(*WINDOW_KEY).cast(WINDOW_KEY)  # type: ignore[arg-type]
        day = pl.col("window_start").dt.truncate("1d").cast(pl.Int64)
        for (begin,), day_windows in windows.group_by(day.alias("day"), maintain_order=True):
            symbols = day_windows["symbol"].unique().to_list()
            minutes = self._history.minute_reader.build_candles(
                exchange, begin, begin + _DAY, symbols, late, cut=ALL_STORED
            )
            keys = day_windows.with_columns(pl.col("symbol").cast(pl.Categorical))
            candles = all_timeframes(minutes).join(keys, on=list(WINDOW_KEY), how="semi")
            if late_counts is None:
                rows = self._history.candle_reader.read_between(
                    exchange, begin, begin + _DAY, symbols
                )
                candles = restore_revisions(candles, rows, late_windows)
            else:
                candles = with_revisions(candles, late_counts)
            inputs = self._with_outages(exchange, begin, begin + _DAY, evidence)
            yield candle_rows(exchange, candles, watermark, inputs, RECOMPUTE_CAUSE)

    def recertify(self, exchange: str, doubt: Recertification) -> Iterator[pl.DataFrame]:
        """Yield rows of `ohlcv` with `cause` for stored candles whose certificates change."""
        stored = self._history.candle_reader
        parts = stored.read_overlapping(exchange, doubt.spans)
        for part in (*parts, *([stored.read_incomplete(exchange)] if doubt.is_first_batch else [])):
            rows = part.filter(pl.col("window_end") <= doubt.until_us)
            if rows.height:
                start = pl.col("window_start").cast(pl.Int64).min()
                begin, end = rows.select(start, pl.col("window_end").max()).row(0)
                evidence = self._with_outages(exchange, begin, end, doubt.inputs)
                yield recertified_rows(rows, evidence, RECOMPUTED if doubt.is_first_batch else LATE)

    def _with_outages(
        self, exchange: str, begin: int, end: int, evidence: CertificateInputs
    ) -> CertificateInputs:
        """Return the inputs with the stored outages of the time from `begin` to `end`."""
        stored = self._history.gap_reader.read_outages(exchange, begin)
        outages = pl.concat([stored, evidence.outages]).filter(pl.col("began") < end)
        return replace(evidence, outages=merge_overlapping(outages))
