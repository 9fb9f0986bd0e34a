"""Pieces of dump files: lines of comma-separated fields, as native trades."""

from typing import Final

import polars as pl

from candlewax.exchanges.protocol.dialect import DumpRules
from candlewax.exchanges.protocol.fields import FrameError, NativeTrade
from candlewax.exchanges.protocol.phrase import phrase
from candlewax.exchanges.protocol.rest import NATIVE_SYMBOL

MAX_PIECE_LINES: Final = 1_000
"""Most lines of a piece: about as many trades as a REST page holds."""


def is_header(rules: DumpRules, index: int, line: str) -> bool:
    """Return whether a line of a piece, counted from 0, is the header."""
    return index == 0 and line.partition(",")[0] == rules.header


def read_lines(rules: DumpRules, frames: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read pieces of a dump file. Return trades and faults.

    In: row (UInt32), native_symbol (String), frame (String). Out: row, index (UInt16, the line) and
    a text column for each field, of lines with the right number of fields; and row, index, reason
    and detail of the others. A piece without a good line has one fault.
    """
    shape = rules.dialect.shape
    min_fields = sum(not field.optional for field in shape.values())
    lines = (
        frames.with_columns(line=pl.col("frame").str.replace_all("\r", "").str.split("\n"))
        .drop("frame")
        .with_columns(index=pl.int_ranges(0, pl.col("line").list.len()))
        .explode("line", "index")
        .with_columns(pl.col("index").cast(pl.UInt16), fields=pl.col("line").str.split(","))
        .with_columns(good=pl.col("fields").list.len().is_between(min_fields, len(shape)))
    )
    header = (pl.col("index") == 0) & (pl.col("fields").list.first() == rules.header)
    lines = lines.filter((pl.col("line") != "") & ~header)
    fields = {name: pl.col("fields").list.get(n, null_on_oob=True) for n, name in enumerate(shape)}
    native_trades = lines.filter("good").select(
        "row", "index", pl.col("native_symbol").alias(NATIVE_SYMBOL), **fields
    )
    return native_trades, _faults(lines, min_fields, len(shape))


NumberedLine = tuple[int, NativeTrade | FrameError]
"""The place of a line in its piece, and its trade or its fault."""


def read_piece(rules: DumpRules, native_symbol: str, text: str) -> list[NumberedLine]:
    """Read one piece, line by line. A piece without a good line has one fault."""
    shape = rules.dialect.shape
    min_fields = sum(not field.optional for field in shape.values())
    numbered: list[NumberedLine] = []
    has_good = False
    for index, line in enumerate(text.replace("\r", "").split("\n")):
        if not line or is_header(rules, index, line):
            continue
        fields = line.split(",")
        if min_fields <= len(fields) <= len(shape):
            has_good = True
            trade = dict(zip(shape, fields, strict=False))
            numbered.append((index, {NATIVE_SYMBOL: native_symbol, **trade}))
        else:
            detail = f"expected {min_fields} to {len(shape)} fields, got {line[:100]}"
            numbered.append((index, FrameError("bad_shape", detail)))
    return numbered if has_good else numbered[:1]


def _faults(lines: pl.DataFrame, min_fields: int, max_fields: int) -> pl.DataFrame:
    """Return row, index, reason and detail of lines with a wrong number of fields."""
    bad_lines = lines.with_columns(has_good=pl.col("good").any().over("row")).filter(
        ~pl.col("good")
    )
    return bad_lines.filter(pl.col("has_good") | pl.col("row").is_first_distinct()).select(
        "row",
        "index",
        reason=pl.lit("bad_shape"),
        detail=phrase(
            f"expected {min_fields} to {max_fields} fields, got {{}}",
            pl.col("line").str.slice(0, 100),
        ),
    )
