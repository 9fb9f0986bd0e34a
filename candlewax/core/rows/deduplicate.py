"""Deduplication, trade by trade."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from candlewax.core.candles.open_candles import WATERMARK_DELAY_US
from candlewax.core.gaps.gap_state import OUTAGES
from candlewax.core.gaps.market_connections import EVENT_START
from candlewax.core.gaps.numberings import Opening
from candlewax.core.rows.frame_decoder import DecodedRows
from candlewax.core.rows.records import Trade
from candlewax.core.rows.row_batch import RowBatch
from candlewax.core.rows.trade_normalizer import is_from_websocket
from candlewax.core.schema import empty
from candlewax.core.trades.admission import Admission
from candlewax.core.trades.contradictions import ContradictionFinder
from candlewax.core.trades.deduplicator import Deduplicator

_NO_OUTAGES: Final = empty(OUTAGES)


@dataclass
class RowAdmission:
    """Result of deduplicating a batch, as in `Admission`: one value a trade."""

    is_new: list[bool] = field(default_factory=list)
    numbering: list[int] = field(default_factory=list)
    openings: list[tuple[str, Opening]] = field(default_factory=list)

    def columns(self) -> Admission:
        """Return the same as columns."""
        several = pl.Series("numbering", self.numbering, pl.UInt32) if any(self.numbering) else None
        return Admission(pl.Series("fresh", self.is_new, pl.Boolean), several, self.openings)


def pass_new(
    deduplicator: Deduplicator, finder: ContradictionFinder, decoded: DecodedRows
) -> RowBatch | Admission | None:
    """Pass a batch on if all its trades are new and nothing else is to be told of it.

    Otherwise it must go on as columns: with the admission of its trades, or None if none is marked.
    """
    if not _is_calm(deduplicator, decoded) or _may_be_stored(deduplicator, decoded.trades):
        return None
    trades = decoded.trades
    admission = mark_new(deduplicator, trades)
    if deduplicator.has_changes or admission.openings or not all(admission.is_new):
        return admission.columns()
    if any(admission.numbering):
        numbered = zip(trades, admission.numbering, strict=True)
        decoded.trades = [trade._replace(numbering=number) for trade, number in numbered]
    finder.remember(trades)
    received = [frame.recv_ns // 1000 for frame in decoded.frames if is_from_websocket(frame)]
    deduplicator.connections.record_received(max(received, default=0))
    if deduplicator.market_connections.carriers:
        deduplicator.market_connections.record_frames(
            (frame.connection, frame.recv_ns // 1000, kind)
            for frame, kind in zip(decoded.frames, decoded.kinds, strict=True)
            if not frame.text.startswith(EVENT_START)
        )
    if trades:
        deduplicator.expire(max(trade.timestamp for trade in trades) - WATERMARK_DELAY_US)
    gap_state = deduplicator.gap_state({}, _NO_OUTAGES)
    return RowBatch(decoded.exchange, decoded, gap_state, shard=decoded.shard)


def mark_stored(deduplicator: Deduplicator, decoded: DecodedRows) -> Admission | None:
    """Mark the trades of a batch that another process stores.

    Return None if all are new and none is missing before them; otherwise the batch must go on as
    columns, with the returned admission.
    """
    admission = mark_new(deduplicator, decoded.trades, has_numbering=True)
    if deduplicator.has_changes or not all(admission.is_new):
        return admission.columns()
    return None


def _is_calm(deduplicator: Deduplicator, decoded: DecodedRows) -> bool:
    """Return whether a batch can concern nothing but trades."""
    return not (
        decoded.events
        or decoded.subscriptions
        or _may_prove(deduplicator.market_outages.unproven, decoded.trades)
        or deduplicator.connections.awaits_trades
        or deduplicator.gaps.symbols_ahead
    )


def _may_be_stored(deduplicator: Deduplicator, trades: Sequence[Trade]) -> bool:
    """Return whether a trade may be stored whose id has expired."""
    may_have_expired = deduplicator.ids.may_have_expired
    return any(not trade.sequence and may_have_expired(trade.timestamp) for trade in trades)


def _may_prove(outages: Collection[str], trades: Sequence[Trade]) -> bool:
    """Return whether the number of a trade may prove what was missed in market outages."""
    return bool(outages) and any(trade.sequence and trade.symbol in outages for trade in trades)


def mark_new(
    seen: Deduplicator, trades: Sequence[Trade], *, has_numbering: bool = False
) -> RowAdmission:
    """Tell which trades are seen for the first time, and remember them. Of equal ones the first is
    new. With `has_numbering` each trade says its numbering.
    """
    admission = RowAdmission()
    places: list[int] = []
    for place, trade in enumerate(trades):
        is_new, numbering = True, trade.numbering if has_numbering else 0
        if trade.sequence:
            is_new, numbering, opening = seen.add_number(
                trade.symbol,
                trade.sequence,
                trade.timestamp,
                trade.numbering if has_numbering else None,
            )
            if opening:
                admission.openings.append((trade.symbol, opening))
        else:
            places.append(place)
        admission.is_new.append(is_new)
        admission.numbering.append(numbering)
    if places:
        keys = [(trades[n].symbol, trades[n].trade_id, trades[n].timestamp) for n in places]
        for place, is_new in zip(places, seen.ids.add_few(keys), strict=True):
            admission.is_new[place] = is_new
    return admission
