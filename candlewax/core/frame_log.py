"""The frame log: one frame a line, tab-separated, as ClickHouse's `TabSeparated`.

`recv_ns`, `exchange`, `connection`, `seq`, `frame`, in UTF-8, with backslash, tab,
newline and carriage return escaped. Pure functions from bytes to frames.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl
from polars.exceptions import PolarsError

from candlewax.core.schema import DEAD_LETTERS, FRAMES, SCOPE_LINE, empty

LINES: Final = {"line": pl.UInt32, "exchange": pl.String, **FRAMES}
"""Frames of a log with the line each stood on, counted from the first of its chunk."""

_FIELDS: Final = ("recv_ns", "exchange", "connection", "seq", "frame")
_PARSED: Final = {name: LINES[name] for name in _FIELDS}

_ESCAPES: Final = {
    r"\\": "\\",
    r"\t": "\t",
    r"\n": "\n",
    r"\r": "\r",
    r"\b": "\b",
    r"\f": "\f",
    r"\0": "\0",
    r"\'": "'",
}
"""The first four are what a log is written with, the others what the format also
knows. A backslash before anything else stands for itself."""

_ESCAPED: Final = re.compile(r"\\[\\tnrbf0']")
_NUMBER: Final = re.compile(rb" *\+?[0-9]{1,40}")
_PIECE: Final = 100_000
"""Bytes that are read line by line because of one bad line among them."""

_MOST_NS: Final = 2**63 - 1
_MOST_SEQ: Final = 2**64 - 1


@dataclass(frozen=True)
class Chunk:
    """Whole lines of a log, read. `frames`: LINES, in order. `letters`:
    DEAD_LETTERS, one for each line that holds no frame.
    """

    frames: pl.DataFrame
    letters: pl.DataFrame

    @property
    def lines(self) -> int:
        """How many lines there were."""
        return self.frames.height + self.letters.height


def read(data: bytes, source: str, first_line: int) -> Chunk:
    """Read whole lines; only the last one may lack its newline.

    `source` and `first_line` (counted from 0) say in the dead letters where a line
    stood.
    """
    whole = _read_all(data)
    if whole is not None:
        return Chunk(whole, empty(DEAD_LETTERS))
    frames, letters, line = [], [], 0
    for piece in _pieces(data):
        # Few lines are bad: the others are still read many at once.
        some = _read_all(piece)
        chunk = Chunk(some, empty(DEAD_LETTERS)) if some is not None else None
        chunk = chunk or _read_line_by_line(piece, source, first_line + line)
        frames.append(chunk.frames.with_columns(pl.col("line") + line))
        letters.append(chunk.letters)
        line += chunk.lines
    return Chunk(pl.concat(frames), pl.concat(letters))


def _pieces(data: bytes) -> Iterator[bytes]:
    begin = 0
    while begin < len(data):
        end = data.find(b"\n", begin + _PIECE) + 1 or len(data)
        yield data[begin:end]
        begin = end


def _read_all(data: bytes) -> pl.DataFrame | None:
    """Read lines of which each one holds a frame; None if one may not."""
    if not data.endswith(b"\n") or b"\r" in data or data.startswith(b"\xef\xbb\xbf"):
        return None
    try:
        frames = pl.read_csv(
            data,
            separator="\t",
            quote_char=None,
            has_header=False,
            schema=_PARSED,
            infer_schema=False,
        )
    except PolarsError:
        return None
    incomplete = frames.height != data.count(b"\n") or any(
        column.null_count() for column in frames.iter_columns()
    )
    if incomplete or frames["recv_ns"].min() < 0:  # type: ignore[operator]
        return None
    if b"\\" in data:
        unescaped = [
            pl.col(name).str.replace_many(list(_ESCAPES), list(_ESCAPES.values()))
            for name in ("exchange", "connection", "frame")
        ]
        frames = frames.with_columns(unescaped)
    return frames.with_row_index("line").select(*LINES)


def _read_line_by_line(data: bytes, source: str, first_line: int) -> Chunk:
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    rows: list[tuple[int, str, int, str, int, str]] = []
    letters: list[tuple[int, str, str, bytes]] = []
    for number, line in enumerate(lines):
        try:
            rows.append((number, *_read_line(line)))
        except UnicodeDecodeError as error:
            letters.append((first_line + number, "not_utf8", str(error)[:1000], line))
        except ValueError as error:
            letters.append((first_line + number, "bad_line", str(error), line))
    frames = pl.DataFrame(rows, schema=LINES, orient="row")
    return Chunk(frames, line_letters(source, letters))


def _read_line(line: bytes) -> tuple[str, int, str, int, str]:
    """exchange, recv_ns, connection, seq, frame of a line; raises ValueError."""
    fields = line.split(b"\t")
    if len(fields) != len(_FIELDS):
        raise ValueError(f"expected {len(_FIELDS)} fields, got {len(fields)}")
    recv_ns = _number("recv_ns", fields[0], _MOST_NS)
    seq = _number("seq", fields[3], _MOST_SEQ)
    exchange, connection, frame = (_text(fields[place]) for place in (1, 2, 4))
    return exchange, recv_ns, connection, seq, frame


def _number(name: str, field: bytes, most: int) -> int:
    if not _NUMBER.fullmatch(field) or int(field) > most:
        raise ValueError(f"expected a whole number up to {most} in {name}, got {field[:100]!r}")
    return int(field)


def _text(field: bytes) -> str:
    return _ESCAPED.sub(lambda found: _ESCAPES[found[0]], field.decode())


def line_letters(source: str, lines: list[tuple[int, str, str, bytes]]) -> pl.DataFrame:
    """Dead letters (DEAD_LETTERS) of lines: number, reason, detail, the line."""
    shape = {
        "source_offset": pl.UInt64,
        "reason": pl.String,
        "detail": pl.String,
        "frame": pl.Binary,
    }
    nowhere = {
        name: pl.lit("" if kind == pl.String else 0).cast(kind)
        for name, kind in DEAD_LETTERS.items()
        if name not in shape
    }
    here = {"source": pl.lit(source), "scope": pl.lit(SCOPE_LINE, pl.Int8)}
    return (
        pl.DataFrame(lines, schema=shape, orient="row")
        .with_columns(**(nowhere | here))
        .select(*DEAD_LETTERS)
    )


def write(recv_ns: int, exchange: str, connection: str, seq: int, frame: str) -> str:
    """A line of a log, with its newline."""
    fields = (str(recv_ns), exchange, connection, str(seq), frame)
    return "\t".join(map(_escape, fields)) + "\n"


def _escape(text: str) -> str:
    for character in "\\\t\n\r":
        text = text.replace(character, {v: k for k, v in _ESCAPES.items()}[character])
    return text
