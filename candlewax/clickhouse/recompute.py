"""Candles whose state is gone, computed anew of what is stored."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import polars as pl

from candlewax.clickhouse.state.late_trade_reader import with_revisions
from candlewax.clickhouse.state.loader import WHOLE, StateLoader
from candlewax.core.batch import WINDOW_KEY, Batch
from candlewax.core.candles.certificate import CertificateInputs, Recertification, merge_overlapping
from candlewax.core.candles.combine import TIMEFRAMES, all_timeframes, combine
from candlewax.core.candles.late_trades import restore_revisions
from candlewax.core.candles.rows import LATE, RECOMPUTE_CAUSE, RECOMPUTED, candle_rows, recertified
from candlewax.core.schema import TRADES, empty

_DAY: Final = TIMEFRAMES["1d"][1]
_NO_TRADES: Final = empty(TRADES)
_NO_EVIDENCE: Final = CertificateInputs()


class CandleRecomputer:
    """Computes rows of `ohlcv`, a day at a time."""

    def __init__(self, history: StateLoader) -> None:
        self._history = history

    def recompute(self, exchange: str, batches: Sequence[Batch]) -> Iterator[pl.DataFrame]:
        """Rows of `ohlcv`, with `cause`, of all that these stored batches of an exchange say
        of candles whose state is gone. Each is to be stored before the next is asked for.
        """
        doubts = [batch.recertify for batch in batches if batch.recertify]
        if not doubts:
            return
        begins = any(doubt.begins for doubt in doubts)
        spans = pl.concat([doubt.spans for doubt in doubts])
        doubt = replace(doubts[-1], spans=spans, begins=begins)
        stale = pl.concat([batch.stale_windows for batch in batches]).unique()
        if stale.height:
            watermark = max(batch.watermark for batch in batches)
            late = pl.concat([batch.late_trades for batch in batches])
            self._history.wait_for(exchange, late)
            yield from self.candles(exchange, stale, watermark, late, doubt.evidence, begins=begins)
        yield from self.recertified(exchange, doubt)

    def candles(
        self,
        exchange: str,
        windows: pl.DataFrame,
        watermark: int,
        late: pl.DataFrame = _NO_TRADES,
        evidence: CertificateInputs = _NO_EVIDENCE,
        *,
        begins: bool = False,
    ) -> Iterator[pl.DataFrame]:
        """Rows of `ohlcv` of some windows (WINDOW_KEY), with `cause`, computed from all stored
        trades and those that came `late` (TRADES), stored or not.

        How many trades came late is told by the stored rows; to one who `begins`, by the
        order in which they came, as the process before may have stored no row.
        """
        late_ones = None
        if begins and windows.height:
            oldest = int(windows["window_start"].dt.truncate("1d").to_physical().min())  # type: ignore[arg-type]
            late_ones = self._history.latecomers.late(exchange, oldest)
        reached = all_timeframes(combine(late)).select(*WINDOW_KEY).cast(WINDOW_KEY)  # type: ignore[arg-type]
        day = pl.col("window_start").dt.truncate("1d").cast(pl.Int64)
        for (begin,), wanted in windows.group_by(day.alias("day"), maintain_order=True):
            symbols = wanted["symbol"].unique().to_list()
            minutes = self._history.minutes.between(
                exchange, begin, begin + _DAY, symbols, late, cut=WHOLE
            )
            named = wanted.with_columns(pl.col("symbol").cast(pl.Categorical))
            found = all_timeframes(minutes).join(named, on=list(WINDOW_KEY), how="semi")
            if late_ones is None:
                rows = self._history.stored.between(exchange, begin, begin + _DAY, symbols)
                found = restore_revisions(found, rows, reached)
            else:
                found = with_revisions(found, late_ones)
            witnessed = self._with_outages(exchange, begin, begin + _DAY, evidence)
            yield candle_rows(exchange, found, watermark, witnessed, RECOMPUTE_CAUSE)

    def recertified(self, exchange: str, doubt: Recertification) -> Iterator[pl.DataFrame]:
        """Rows of `ohlcv`, with `cause`, of the stored candles whose certificates are
        others now.
        """
        stored = self._history.stored
        parts = stored.touched(exchange, doubt.spans)
        for part in (*parts, *([stored.doubted(exchange)] if doubt.begins else [])):
            rows = part.filter(pl.col("window_end") <= doubt.until)
            if rows.height:
                start = pl.col("window_start").cast(pl.Int64).min()
                begin, end = rows.select(start, pl.col("window_end").max()).row(0)
                evidence = self._with_outages(exchange, begin, end, doubt.evidence)
                yield recertified(rows, evidence, RECOMPUTED if doubt.begins else LATE)

    def _with_outages(
        self, exchange: str, begin: int, end: int, evidence: CertificateInputs
    ) -> CertificateInputs:
        """The evidence, with outages of whenever these windows were."""
        stored = self._history.unseen.outages(exchange, begin)
        outages = pl.concat([stored, evidence.outages]).filter(pl.col("began") < end)
        return replace(evidence, outages=merge_overlapping(outages))
