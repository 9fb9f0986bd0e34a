"""Candles as rows of `ohlcv`."""

from typing import Final, NamedTuple

from candlewax.core.candles.late_trades import MAX_REVISION
from candlewax.core.candles.rows import CLOSED, LATE, RECOMPUTED, REPAIRED
from candlewax.core.rows.candle import Candle
from candlewax.core.rows.candles import RowUpdate
from candlewax.core.rows.evidence import Evidence


class CandleRow(NamedTuple):
    """One row, as in ROWS, and its `cause`; times in microseconds since 1970, amounts in units of
    their last decimal.
    """

    timeframe: int
    symbol: str
    window_start: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    quote_volume: int
    trade_count: int
    buy_volume: int
    buy_quote_volume: int
    open_time: int
    close_time: int
    first_sequence: int
    last_sequence: int
    repaired: int
    revision: int
    missing: int
    status: int
    feed_down_ms: int
    exchange: str
    closed: bool
    version: int
    cause: int


FIRST_BATCH: Final = None
"""In place of the evidence before a batch, where nothing was known before."""


def changed_rows(
    exchange: str,
    update: RowUpdate,
    watermark: int,
    evidence: Evidence,
    earlier: Evidence | None = FIRST_BATCH,
) -> list[CandleRow]:
    """Return the rows of all candles that a batch changed, at a watermark, by what is known with it
    and was known before.
    """
    rows = [
        candle_row(exchange, candle, watermark, evidence, _cause(candle))
        for candle in update.changed
    ]
    for candle in update.to_recertify:
        if earlier is None:
            cause = _cause(candle) if candle.revision else RECOMPUTED
        else:
            cause = REPAIRED if earlier.missing(candle) > evidence.missing(candle) else LATE
        rows.append(candle_row(exchange, candle, watermark, evidence, cause))
    return rows


def candle_row(
    exchange: str, candle: Candle, watermark: int, evidence: Evidence, cause: int
) -> CandleRow:
    """Return the row of a candle. `version` grows with each trade, and once more when it closes."""
    is_closed = candle.end <= watermark
    return CandleRow(
        candle.timeframe, candle.symbol, candle.start, candle.open, candle.high, candle.low,
        candle.close, candle.volume, candle.quote_volume, candle.trade_count, candle.buy_volume,
        candle.buy_quote_volume, candle.first.timestamp, candle.last.timestamp,
        candle.first.sequence, candle.last.sequence, candle.repaired,
        min(candle.revision, MAX_REVISION), *evidence.certificate(candle, watermark), exchange,
        is_closed, 2 * candle.trade_count + is_closed, cause,
    )  # fmt: skip


def _cause(candle: Candle) -> int:
    """Return why a candle is written that closed or that trades changed: told by what it holds, so
    that the same candle written again gives the same reason.
    """
    if not candle.revision:
        return CLOSED
    return REPAIRED if candle.repaired else LATE
