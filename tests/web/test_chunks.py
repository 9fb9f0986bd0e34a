"""Packed candles say what they said before, as JSON and in columns."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from candlewax.web import encode
from candlewax.web.chunks import CHUNK, Found, Part, Said, pack, said

AMOUNT = st.decimals(0, 10**9, places=12, allow_nan=False)
COUNT = st.integers(0, 2**63)
TIME = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1))  # noqa: DTZ001 - made UTC below


def text(amount: Decimal) -> str:
    """Without the zeros at its end."""
    plain = format(amount, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


@st.composite
def candles(draw: st.DrawFn, count: int) -> list[dict[str, Any]]:
    """Candles a minute apart, alike but for their starts and one amount."""
    one: dict[str, Any] = {
        **{name: draw(AMOUNT) for name in ("open", "high", "low", "close", "volume")},
        **{name: draw(AMOUNT) for name in ("quote_volume", "buy_volume", "buy_quote_volume")},
        **{name: draw(TIME) for name in ("open_time", "close_time")},
        **{name: draw(COUNT) for name in ("trade_count", "first_sequence", "last_sequence")},
        **{name: draw(COUNT) for name in ("missing", "feed_down_ms")},
        "repaired": draw(st.integers(0, 2**32 - 1)),
        "revision": draw(st.integers(0, 2**16 - 1)),
        "closed": draw(st.booleans()),
        "status": draw(st.sampled_from(["forming", "complete", "gaps", "partial", "unverified"])),
    }
    return [{**one, "start": 60 * number, "low": one["low"] + number} for number in range(count)]


def as_json(candle: dict[str, Any]) -> bytes:
    """As the API says it, written another way."""
    told: dict[str, Any] = {}
    for name, value in candle.items():
        if isinstance(value, datetime):
            told[name] = value.isoformat(timespec="microseconds") + "Z"
        elif isinstance(value, Decimal):
            told[name] = text(value)
        elif name != "start":
            told[name] = value
    start = datetime.fromtimestamp(candle["start"], UTC)
    told["window_start"] = start.strftime("%Y-%m-%dT%H:%M:%SZ")
    ordered = {name: told[name] for name in encode.CANDLE}
    return json.dumps(ordered, separators=(",", ":")).encode()


def same(rows: pl.DataFrame, expected: list[dict[str, Any]]) -> None:
    """The columns have exactly these values."""
    assert rows.columns == list(encode.CANDLE)
    for row, candle in zip(rows.iter_rows(named=True), expected, strict=True):
        for name, value in candle.items():
            if name == "start":
                assert row["window_start"] == datetime.fromtimestamp(value, UTC)
            elif isinstance(value, datetime):
                assert row[name] == value.replace(tzinfo=UTC)
            else:
                assert row[name] == value


@given(candles(3))
def test_json_and_columns_say_the_same(expected: list[dict[str, Any]]) -> None:
    """Exactly, and of the types of the table, whichever of them a candle was made from."""
    lines = [as_json(candle) for candle in expected]
    rows = encode.rows(lines)
    same(rows, expected)
    assert dict(rows.schema) == dict(encode.ROWS)
    assert encode.lines(rows) == lines
    assert said(rows).lines() == lines


@given(candles(2 * CHUNK + 3), st.integers(0, CHUNK), st.integers(0, CHUNK), st.booleans())
def test_a_cut_of_packed_candles_is_what_was_packed(
    expected: list[dict[str, Any]], low: int, high: int, columns: bool
) -> None:
    """As JSON and in columns, packed from both or from JSON alone, whatever is cut out of
    whichever chunk.
    """
    lines = [as_json(candle) for candle in expected]
    starts = [candle["start"] for candle in expected]
    chunks = pack(starts, lines, encode.rows(lines) if columns else None)
    assert [len(chunk.starts) for chunk in chunks] == [CHUNK, CHUNK, 3]
    for place, chunk in enumerate(chunks):
        part = chunk.cut(low, high)
        wanted = slice(place * CHUNK + low, place * CHUNK + min(high, len(chunk.starts)))
        if low < high:
            assert list(part.starts) == starts[wanted]
            assert part.lines() == lines[wanted]
            same(part.rows(), expected[wanted])


@given(candles(5))
def test_packed_and_open_candles_make_one_answer(expected: list[dict[str, Any]]) -> None:
    """In their order, with the first and the last start."""
    lines = [as_json(candle) for candle in expected]
    starts = [candle["start"] for candle in expected]
    (chunk,) = pack(starts[:3], lines[:3], encode.rows(lines[:3]))
    parts: list[Part] = [chunk.cut(1, 3), Said(starts[3:], lines[3:])]
    found = Found(parts)
    assert (found.count, found.first, found.last) == (4, starts[1], starts[4])
    assert found.lines() == lines[1:]
    same(found.rows(), expected[1:])


def test_nothing_found_has_the_columns_of_candles() -> None:
    """So that a file of it can be read."""
    empty = said(encode.rows(()))
    assert (empty.count, empty.lines()) == (0, [])
    assert dict(empty.rows().schema) == dict(encode.ROWS)
