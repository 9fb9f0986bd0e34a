"""Rows as columns: what the tables, and the steps that work on columns, take."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate, chain
from typing import Final

import polars as pl

from candlewax.core.batch import WINDOW_KEY, Batch
from candlewax.core.candles.certificate import Recertification
from candlewax.core.candles.combine import CLOSE, OPEN, STATE
from candlewax.core.candles.open_candles import OpenCandles
from candlewax.core.candles.rows import ROWS, watermark_rows
from candlewax.core.gaps.gap_state import OUTAGES
from candlewax.core.rows.candle import Candle, Place, WindowName
from candlewax.core.rows.candle_rows import CandleRow
from candlewax.core.rows.candles import OpenCandleRows
from candlewax.core.rows.frame_decoder import DecodedRows
from candlewax.core.rows.records import Frame, Trade
from candlewax.core.rows.row_batch import AnyBatch, RowBatch
from candlewax.core.rows.table import build_table
from candlewax.core.schema import (
    BRONZE,
    DEAD_LETTERS,
    FRAMES,
    SOURCE,
    TRADES,
    VENDOR,
    Columns,
    drop_column,
    empty,
    repeated,
)
from candlewax.core.shards import Shard
from candlewax.core.trades.decode import DecodedFrames

_TRADE_COLUMNS: Final[Columns] = {
    "row": pl.UInt32,
    **{name: kind for name, kind in TRADES.items() if name != "exchange"},
}
_RECEIPTS: Final[Columns] = {"received_at": TRADES["received_at"]}
_CANDLE_COLUMNS: Final[Columns] = {**ROWS, "symbol": pl.Categorical, "cause": pl.Int8}


def frame_columns(frames: Sequence[Frame]) -> pl.DataFrame:
    """Return FRAMES with SOURCE."""
    return build_table({**FRAMES, **SOURCE}, frames)


def frame_rows(frames: pl.DataFrame) -> list[Frame]:
    """Return frames (FRAMES, with SOURCE or without) as rows; without, the connection is the source
    of a frame.
    """
    if "source" in frames.columns:
        return [Frame(*row) for row in frames.select(*FRAMES, *SOURCE).iter_rows()]
    rows = frames.select(*FRAMES).iter_rows()
    return [Frame(ns, name, seq, text, name, 0, seq) for ns, name, seq, text in rows]


def trade_columns(exchange: str, trades: Sequence[Trade]) -> pl.DataFrame:
    """Return TRADES with `row` and vendor columns."""
    table = build_table(_TRADE_COLUMNS, [trade[:-1] for trade in trades])
    named = table.insert_column(1, repeated("exchange", exchange, pl.String, len(trades)))
    fields = dict.fromkeys(name for trade in trades for name in trade.vendor)
    vendor = [
        pl.Series(VENDOR + name, [trade.vendor.get(name) for trade in trades], pl.String)
        for name in fields
    ]
    return named.hstack(vendor) if vendor else named


def decoded_columns(decoded: DecodedRows) -> DecodedFrames:
    """Return a decoded batch as columns."""
    bronze = _bronze(decoded.exchange, [decoded])
    letters = dead_letter_columns(decoded.exchange, [decoded])
    return DecodedFrames(
        decoded.exchange,
        bronze,
        trade_columns(decoded.exchange, decoded.trades),
        letters,
        decoded.events,
        outage_columns(decoded.outages),
        decoded.subscriptions,
        decoded.shard,
    )


def outage_columns(outages: Sequence[tuple[int, int]]) -> pl.DataFrame:
    """Return OUTAGES."""
    return pl.DataFrame(outages, OUTAGES, orient="row") if outages else empty(OUTAGES)


def batch_columns(batches: Sequence[RowBatch]) -> Batch:
    """Return several batches of one shard, one after another, as one of columns. Of each candle
    only its last row is kept.
    """
    return _batch(batches, candle_columns(_latest_candles(batches)))


def _batch(batches: Sequence[RowBatch], candles: pl.DataFrame, *, whole: bool = True) -> Batch:
    """Return batches as one, with the columns of their candles. If it is not `whole`, trades that
    another process stores have only the column `received_at`.
    """
    # A batch without trades, such as one of heartbeats, has no watermark.
    watermark = max(batch.watermark for batch in batches)
    exchange, last = batches[-1].exchange, batches[-1]
    decoded = [batch.decoded for batch in batches]
    trades = _trades(batches) if whole or last.stores_trades else _receipts(batches)
    tables = {}
    if last.stores_trades:
        tables = {
            "bronze_frames": _bronze(exchange, decoded),
            "dead_letters": dead_letter_columns(exchange, decoded),
            "silver_trades": trades,
        }
    if candles.height:
        tables["ohlcv"] = candles
    if any(batch.tells_watermark for batch in batches):
        tables["watermarks"] = watermark_rows(exchange, watermark, last.shard)
    return Batch(
        exchange, tables, trades, trades.height,
        _concat([batch.stale_windows for batch in batches]),
        _concat([batch.late_trades for batch in batches]),
        watermark, last.gap_state, _recertification(batches), last.shard,
    )  # fmt: skip


def _trades(batches: Sequence[RowBatch]) -> pl.DataFrame:
    trades = [trade for batch in batches for trade in batch.trades]
    return drop_column(trade_columns(batches[-1].exchange, trades), "row")


def _receipts(batches: Sequence[RowBatch]) -> pl.DataFrame:
    times = [(trade.received_at,) for batch in batches for trade in batch.trades]
    return build_table(_RECEIPTS, times)


def _latest_candles(batches: Sequence[RowBatch]) -> list[CandleRow]:
    """Return the last row of each candle."""
    rows = chain.from_iterable(batch.candles for batch in batches)
    return list({row[:3]: row for row in rows}.values())


def _concat(frames: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return frames of equal columns as one; most often all are empty."""
    filled = [frame for frame in frames if frame.height]
    return pl.concat(filled) if filled else frames[0]


def merge_rows(batches: Iterable[AnyBatch]) -> list[Batch]:
    """Return batches as columns; those of rows of one shard that follow each other as one.

    Of trades that another process stores only `received_at` becomes a column.
    """
    columns: list[Batch] = []
    pending: dict[tuple[str, Shard], list[RowBatch]] = {}
    for batch in batches:
        key = batch.exchange, batch.shard
        if isinstance(batch, RowBatch):
            pending.setdefault(key, []).append(batch)
            continue
        if key in pending:
            columns += _merge([pending.pop(key)])
        columns.append(batch)
    return columns + _merge(list(pending.values()))


def _merge(groups: Sequence[Sequence[RowBatch]]) -> list[Batch]:
    """Return the batches of each group as one."""
    candles = [_latest_candles(group) for group in groups]
    # One table of all candles costs about as much as one of a group.
    table = candle_columns(list(chain.from_iterable(candles)))
    begins = accumulate(map(len, candles), initial=0)
    return [
        _batch(group, table.slice(begin, len(rows)), whole=False)
        for group, begin, rows in zip(groups, begins, candles, strict=False)
    ]


def _recertification(batches: Sequence[RowBatch]) -> Recertification | None:
    """Return what all batches say of stored candles; the last one knows most."""
    recertifications = [batch.recertify for batch in batches if batch.recertify]
    if not recertifications:
        return None
    spans = pl.concat([each.spans for each in recertifications])
    is_first_batch = any(each.is_first_batch for each in recertifications)
    return replace(recertifications[-1], spans=spans, is_first_batch=is_first_batch)


def candle_columns(rows: Sequence[CandleRow]) -> pl.DataFrame:
    """Return ROWS with `cause`."""
    return build_table(_CANDLE_COLUMNS, rows)


def window_keys(candles: Sequence[Candle]) -> pl.DataFrame:
    """Return the keys (WINDOW_KEY) of candles."""
    return build_table(WINDOW_KEY, [(c.timeframe, c.symbol, c.start) for c in candles])


def _bronze(exchange: str, batches: Sequence[DecodedRows]) -> pl.DataFrame:
    """Return BRONZE of decoded frames."""
    rows = [
        (
            exchange, frame.connection, frame.source, frame.source_partition, frame.source_offset,
            frame.recv_ns // 1000, frame.recv_ns % 1000, frame.text, kind, count, 0,
        )
        for decoded in batches
        for frame, kind, count in zip(decoded.frames, decoded.kinds, decoded.counts, strict=True)
    ]  # fmt: skip
    return build_table(BRONZE, rows)


def dead_letter_columns(exchange: str, batches: Sequence[DecodedRows]) -> pl.DataFrame:
    """Return DEAD_LETTERS of decoded frames."""
    rows = []
    for decoded in batches:
        for row, index, scope, reason, detail in decoded.dead_letters:
            frame = decoded.frames[row]
            rows.append((
                exchange, frame.connection, frame.source, frame.source_partition,
                frame.source_offset, index, frame.recv_ns // 1000, frame.recv_ns % 1000, scope,
                reason, detail, frame.text.encode(),
            ))  # fmt: skip
    return build_table(DEAD_LETTERS, rows)


def to_open_candles(book: OpenCandleRows) -> OpenCandles:
    """Return open candles as columns."""
    rows = [
        (
            c.timeframe, c.symbol, c.start, c.open, c.high, c.low, c.close, c.volume,
            c.quote_volume, c.trade_count, c.buy_volume, c.buy_quote_volume, c.first.timestamp,
            c.last.timestamp, c.first.sequence, c.last.sequence, c.repaired, c.revision, c.end,
            *c.first[2:], *c.last[2:], c.unnumbered,
        )
        for c in book.candles.values()
    ]  # fmt: skip
    return OpenCandles(build_table(STATE, rows), book.watermark, book.outages, book.feed_ends)


def from_open_candles(candles: OpenCandles) -> OpenCandleRows:
    """Return open candles as rows."""
    book = OpenCandleRows(
        watermark=candles.watermark, outages=candles.outages, feed_ends=candles.feed_ends
    )
    plain = candles.candles.select(
        pl.col(pl.Datetime).cast(pl.Int64),
        pl.col(pl.Categorical).cast(pl.String),
        pl.col(pl.Decimal).map_batches(pl.Series.to_physical, return_dtype=pl.Int128),
        pl.exclude(pl.Datetime, pl.Categorical, pl.Decimal),
    ).select(*STATE)
    for row in plain.iter_rows(named=True):
        candle = Candle.__new__(Candle)
        candle.first = Place(*(row.pop(name) for name in OPEN))
        candle.last = Place(*(row.pop(name) for name in CLOSE))
        candle.start, candle.end = row.pop("window_start"), row.pop("window_end")
        for name, value in row.items():
            setattr(candle, name, value)
        book.candles[WindowName(candle.symbol, candle.timeframe, candle.start)] = candle
    return book
