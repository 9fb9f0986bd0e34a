"""Packed candles give back the same candles in every format."""

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from candlewax.web import encode
from candlewax.web.api import formats
from candlewax.web.cache import columns
from candlewax.web.cache.chunks import (
    CHUNK,
    CandlePage,
    JsonCandles,
    Part,
    make_page,
    pack,
    pack_all,
)

AMOUNT = st.decimals(0, 10**9, places=12, allow_nan=False)
COUNT = st.integers(0, 2**63)
TIME = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001 - made UTC below


def text(amount: Decimal) -> str:
    """An amount in decimal notation, without trailing zeros."""
    plain = format(amount, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


@st.composite
def candles(draw: st.DrawFn, count: int) -> list[dict[str, Any]]:
    """Candles a minute apart, alike but for their starts and one amount."""
    common: dict[str, Any] = {
        **{name: draw(AMOUNT) for name in ("open", "high", "low", "close", "volume")},
        **{
            name: draw(AMOUNT)
            for name in ("quote_volume", "vwap", "buy_volume", "buy_quote_volume")
        },
        **{name: draw(TIME) for name in ("open_time", "close_time")},
        **{name: draw(COUNT) for name in ("trade_count", "first_sequence", "last_sequence")},
        **{name: draw(COUNT) for name in ("missing", "feed_down_ms")},
        "repaired": draw(st.integers(0, 2**32 - 1)),
        "revision": draw(st.integers(0, 2**16 - 1)),
        "closed": draw(st.booleans()),
        "status": draw(st.sampled_from(["forming", "complete", "gaps", "partial", "unverified"])),
    }
    return [
        {**common, "start": 60 * number, "low": common["low"] + number} for number in range(count)
    ]


def as_json(candle: dict[str, Any]) -> bytes:
    """The JSON of the API, written independently of it."""
    fields: dict[str, Any] = {}
    for name, value in candle.items():
        if isinstance(value, datetime):
            fields[name] = value.isoformat(timespec="microseconds") + "Z"
        elif isinstance(value, Decimal):
            fields[name] = text(value)
        elif name != "start":
            fields[name] = value
    start = datetime.fromtimestamp(candle["start"], UTC)
    fields["window_start"] = start.strftime("%Y-%m-%dT%H:%M:%SZ")
    ordered = {name: fields[name] for name in encode.CANDLE}
    return json.dumps(ordered, separators=(",", ":")).encode()


def rows_of(expected: list[dict[str, Any]]) -> pl.DataFrame:
    """Rows as a query returns them."""
    rows = [
        {**candle, "window_start": datetime.fromtimestamp(candle["start"], UTC)}
        for candle in expected
    ]
    return pl.DataFrame(rows, encode.ROWS, infer_schema_length=None)


def assert_table_holds(table: pa.Table, expected: list[dict[str, Any]]) -> None:
    """Assert that the table holds exactly these candles, with the columns of the API."""
    assert table.schema == columns.SCHEMA
    assert table.schema.names == list(encode.CANDLE)
    for row, candle in zip(table.to_pylist(), expected, strict=True):
        for name, value in candle.items():
            if name == "start":
                assert row["window_start"] == datetime.fromtimestamp(value, UTC)
            elif isinstance(value, datetime):
                assert row[name] == value.replace(tzinfo=UTC)
            else:
                assert row[name] == value


@given(candles(3))
def test_every_format_of_a_page_holds_the_same_candles(expected: list[dict[str, Any]]) -> None:
    """Values are exact, and Arrow and Parquet have the types of the table."""
    lines = [as_json(candle) for candle in expected]
    page = make_page(rows_of(expected))
    assert page.lines() == lines
    assert_table_holds(page.table(), expected)
    assert encode.json_and_csv(rows_of(expected)) == (lines, encode.csv_rows(lines))
    assert_table_holds(
        pa.ipc.open_stream(formats.write_candles(page, "arrow")).read_all(), expected
    )
    parquet = pl.read_parquet(io.BytesIO(formats.write_candles(page, "parquet")))
    assert parquet.equals(rows_of(expected))
    text = io.StringIO(formats.write_candles(page, "csv").decode())
    parsed = [json.loads(line) for line in lines]
    assert list(csv.DictReader(text)) == [
        {
            name: str(value).lower() if isinstance(value, bool) else str(value)
            for name, value in candle.items()
        }
        for candle in parsed
    ]


@given(candles(2 * CHUNK + 3), st.integers(0, CHUNK), st.integers(0, CHUNK), st.booleans())
def test_cut_of_a_packed_chunk_equals_its_candles_in_every_format(
    expected: list[dict[str, Any]], low: int, high: int, both: bool
) -> None:
    """For any part of any chunk, packed in all formats or as JSON alone."""
    lines = [as_json(candle) for candle in expected]
    starts = [candle["start"] for candle in expected]
    listed = encode.json_and_csv(rows_of(expected))[1]
    chunks = pack_all(rows_of(expected)) if both else pack(starts, lines)
    assert [len(chunk.starts) for chunk in chunks] == [CHUNK, CHUNK, 3]
    for place, chunk in enumerate(chunks):
        part = chunk.cut(low, high)
        span = slice(place * CHUNK + low, place * CHUNK + min(high, len(chunk.starts)))
        if low < high:
            assert list(part.starts) == starts[span]
            assert part.lines() == lines[span]
            assert part.csv_rows() == listed[span]
            assert_table_holds(CandlePage([part]).table(), expected[span])


@given(candles(5))
def test_page_joins_packed_and_open_candles(expected: list[dict[str, Any]]) -> None:
    """Candles are in order; the page knows its count, first and last start."""
    lines = [as_json(candle) for candle in expected]
    starts = [candle["start"] for candle in expected]
    (chunk,) = pack(starts[:3], lines[:3])
    parts: list[Part] = [chunk.cut(1, 3), JsonCandles(starts[3:], lines[3:])]
    page = CandlePage(parts)
    assert (page.count, page.first, page.last) == (4, starts[1], starts[4])
    assert page.lines() == lines[1:]
    assert_table_holds(page.table(), expected[1:])


def test_empty_page_has_the_columns_of_candles() -> None:
    """A file of an empty page can be read."""
    empty = make_page(rows_of([]))
    assert (empty.count, empty.lines()) == (0, [])
    assert empty.table().schema == columns.SCHEMA
    assert formats.write_candles(empty, "csv").decode() == ",".join(encode.CANDLE) + "\n"
