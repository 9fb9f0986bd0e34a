"""Batches of new trades into rows of candles."""

from dataclasses import dataclass, field, replace

import polars as pl

from candlewax.core.candles.certificate import CertificateInputs, Recertification
from candlewax.core.candles.combine import MINUTE
from candlewax.core.candles.open_candles import ALLOWED_LATENESS_US
from candlewax.core.gaps.gap_state import NO_GAPS, GapState
from candlewax.core.rows.candle_rows import CandleRow, changed_rows
from candlewax.core.rows.candles import (
    OpenCandleRows,
    RowUpdate,
    apply_trades,
    batch_watermark,
)
from candlewax.core.rows.columns import trade_columns, window_keys
from candlewax.core.rows.evidence import Evidence
from candlewax.core.rows.row_batch import RowBatch
from candlewax.core.schema import TRADES


@dataclass
class CandleState:
    """Open candles of an exchange, the last gap state, and what certificates follow from now."""

    open_candles: OpenCandleRows
    gap_state: GapState | None
    _evidence: tuple[CertificateInputs, Evidence] | None = field(default=None, repr=False)

    def add(self, batch: RowBatch) -> tuple[RowBatch, RowUpdate]:
        """Apply a batch. Return it with the rows of the candles that changed, and the changes."""
        open_candles, gap_state, trades = self.open_candles, batch.gap_state, batch.decoded.trades
        before = open_candles.watermark
        update = apply_trades(open_candles, trades, batch_watermark(trades), gap_state=gap_state)
        now = open_candles.watermark
        oldest = before - ALLOWED_LATENESS_US
        spans = update.spans
        spans = spans.filter(pl.col("before") < oldest) if spans.height else spans
        result = replace(
            batch,
            candles=self._rows(batch.exchange, update, gap_state),
            watermark=now,
            # Windows end on whole minutes, so a watermark is stored once a minute.
            tells_watermark=now // MINUTE > before // MINUTE,
            gap_state=NO_GAPS,
        )
        if update.stale_parts or spans.height:
            late = [trade for trade in trades if trade.timestamp < oldest]
            inputs = open_candles.certificate_inputs(gap_state)
            result = replace(
                result,
                stale_windows=window_keys(update.stale_parts),
                late_trades=trade_columns(batch.exchange, late).select(*TRADES),
                recertify=Recertification(inputs, oldest, spans),
            )
        return result, update

    def _rows(self, exchange: str, update: RowUpdate, gap_state: GapState) -> list[CandleRow]:
        earlier = None
        if update.to_recertify and self.gap_state:
            earlier = Evidence(self.open_candles.certificate_inputs(self.gap_state))
        self.gap_state = gap_state
        evidence = self._current_evidence(self.open_candles.certificate_inputs(gap_state))
        return changed_rows(exchange, update, self.open_candles.watermark, evidence, earlier)

    def _current_evidence(self, inputs: CertificateInputs) -> Evidence:
        """Return the evidence of inputs, built only when they changed."""
        if self._evidence is None or not _are_same(self._evidence[0], inputs):
            self._evidence = inputs, Evidence(inputs)
        return self._evidence[1]


def _are_same(left: CertificateInputs, right: CertificateInputs) -> bool:
    """Return whether two inputs hold the same frames."""
    return (
        left.gap_state is right.gap_state
        and left.outages is right.outages
        and left.feed_ends is right.feed_ends
    )
