"""Pieces of dump files: lines of comma-separated fields, as trades."""

from typing import Final

import polars as pl

from candlewax.exchanges.protocol.dialect import DumpRules
from candlewax.exchanges.protocol.fields import FrameError, NativeTrade
from candlewax.exchanges.protocol.phrase import phrase
from candlewax.exchanges.protocol.rest import NATIVE

MOST_LINES: Final = 1_000
"""Lines of a piece: about as many trades as a page of REST."""


def is_header(dump: DumpRules, index: int, line: str) -> bool:
    """Return whether a line of a piece, counted from 0, is the one of names and no trade."""
    return index == 0 and line.partition(",")[0] == dump.header


def lift_lines(dump: DumpRules, frames: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read pieces of a dump.

    In: row (UInt32), native (String), frame (String). Out: row, index (UInt16, the line)
    and a text column for each field, of the lines that have the right number of them;
    and row, index, reason, detail of the others, but of a piece with no good line once.
    """
    shape = dump.dialect.shape
    least = sum(not field.optional for field in shape.values())
    lines = (
        frames.with_columns(line=pl.col("frame").str.replace_all("\r", "").str.split("\n"))
        .drop("frame")
        .with_columns(index=pl.int_ranges(0, pl.col("line").list.len()))
        .explode("line", "index")
        .with_columns(pl.col("index").cast(pl.UInt16), fields=pl.col("line").str.split(","))
        .with_columns(good=pl.col("fields").list.len().is_between(least, len(shape)))
    )
    header = (pl.col("index") == 0) & (pl.col("fields").list.first() == dump.header)
    lines = lines.filter((pl.col("line") != "") & ~header)
    named = {name: pl.col("fields").list.get(n, null_on_oob=True) for n, name in enumerate(shape)}
    native = lines.filter("good").select("row", "index", pl.col("native").alias(NATIVE), **named)
    return native, _faults(lines, least, len(shape))


NumberedLine = tuple[int, NativeTrade | FrameError]
"""The place of a line in its piece, and its trade or its fault."""


def read_lines(dump: DumpRules, native_symbol: str, text: str) -> list[NumberedLine]:
    """Read one piece of a dump; of a piece without a good line only the first fault is given."""
    shape = dump.dialect.shape
    least = sum(not field.optional for field in shape.values())
    found: list[NumberedLine] = []
    good = False
    for index, line in enumerate(text.replace("\r", "").split("\n")):
        if not line or is_header(dump, index, line):
            continue
        fields = line.split(",")
        if least <= len(fields) <= len(shape):
            good = True
            trade = dict(zip(shape, fields, strict=False))
            found.append((index, {NATIVE: native_symbol, **trade}))
        else:
            detail = f"expected {least} to {len(shape)} fields, got {line[:100]}"
            found.append((index, FrameError("bad_shape", detail)))
    return found if good else found[:1]


def _faults(lines: pl.DataFrame, least: int, most: int) -> pl.DataFrame:
    """The lines that are none; row, index, reason and detail."""
    bad = lines.with_columns(some=pl.col("good").any().over("row")).filter(~pl.col("good"))
    return bad.filter(pl.col("some") | pl.col("row").is_first_distinct()).select(
        "row",
        "index",
        reason=pl.lit("bad_shape"),
        detail=phrase(
            f"expected {least} to {most} fields, got {{}}", pl.col("line").str.slice(0, 100)
        ),
    )
