"""Rows as columns: equal to the columnar decoder, and convertible both ways."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from candlewax.core.candles import open_candles as columns
from candlewax.core.candles.open_candles import EMPTY
from candlewax.core.rows import frame_decoder as rows
from candlewax.core.rows.columns import (
    batch_columns,
    decoded_columns,
    frame_columns,
    from_open_candles,
    to_open_candles,
)
from candlewax.core.rows.frame_decoder import DecodedRows
from candlewax.core.rows.records import Frame
from candlewax.core.rows.row_batch import RowBatch
from candlewax.core.trades.decode import decode
from candlewax.exchanges import EXCHANGES
from tests.core.rows.test_candles import FILLS, frame
from tests.core.rows.test_frame_decoder import CONNECTIONS, FRAME_TEXTS, numbered
from tests.support.decoding import INSTRUMENTS
from tests.support.frame_texts import NAMES
from tests.support.oracle import Fill


@given(
    st.sampled_from(NAMES),
    st.lists(st.tuples(st.just("c0") | CONNECTIONS, FRAME_TEXTS), max_size=6),
)
def test_decoded_rows_convert_to_the_tables_of_the_columnar_decoder(
    exchange: str, texts: list[tuple[str, str]]
) -> None:
    """Columns, types and values of bronze, trades and dead letters are equal."""
    frames = [Frame(*frame, frame[1], 0, frame[2]) for frame in numbered(texts)]
    expected = decode(EXCHANGES[exchange], frame_columns(frames), INSTRUMENTS)
    converted = decoded_columns(rows.decode(EXCHANGES[exchange], frames, INSTRUMENTS))
    assert_frame_equal(converted.bronze, expected.bronze)
    assert_frame_equal(converted.dead_letters, expected.dead_letters)
    trades = expected.trades
    empty_columns = [name for name in trades.columns if name not in converted.trades.columns]
    assert all(trades[name].null_count() == trades.height for name in empty_columns)
    assert_frame_equal(converted.trades, trades.drop(empty_columns), check_column_order=False)


@given(st.lists(FILLS, max_size=10, unique_by=lambda fill: (fill.symbol, fill.order)))
def test_open_candles_convert_to_rows_and_back_unchanged(fills: list[Fill]) -> None:
    trades = frame(fills)
    book = columns.apply_trades(EMPTY, trades, columns.batch_watermark(trades)).open_candles
    converted = to_open_candles(from_open_candles(book))
    assert_frame_equal(converted.candles, book.candles)
    assert converted.watermark == book.watermark


def test_batches_end_at_the_watermark_of_the_last_one_with_trades() -> None:
    """One of heartbeats has none; merged with others it must not take theirs away."""
    heartbeat = RowBatch("coinbase", DecodedRows("coinbase", []))
    at_minute = RowBatch(
        "coinbase", DecodedRows("coinbase", []), watermark=120_000_000, tells_watermark=True
    )
    later = RowBatch("coinbase", DecodedRows("coinbase", []), watermark=125_000_000)
    for batches in ([at_minute, heartbeat], [heartbeat, at_minute], [at_minute, later, heartbeat]):
        merged = batch_columns(batches)
        watermark = max(batch.watermark for batch in batches)
        assert merged.watermark == watermark
        stored = merged.tables["watermarks"]["watermark"].cast(pl.Int64).to_list()
        assert stored == [watermark]
    assert "watermarks" not in batch_columns([later, heartbeat]).tables
