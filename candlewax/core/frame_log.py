"""Frame logs: one frame a line, tab-separated, as ClickHouse's `TabSeparated`.

Fields: `recv_ns`, `exchange`, `connection`, `seq`, `frame`, in UTF-8. Backslash, tab, newline and
carriage return are escaped. Pure functions from bytes to frames.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl
from polars.exceptions import PolarsError

from candlewax.core.schema import DEAD_LETTERS, FRAMES, SCOPE_LINE, empty

LINES: Final = {"line": pl.UInt32, "exchange": pl.String, **FRAMES}
"""Frames of a log with their line, counted from the first of the chunk."""

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
"""Escape sequences.

Logs are written with the first four; the format also has the others. A backslash before any other
character stands for itself.
"""

_WRITTEN_ESCAPES: Final = [(character, escape) for escape, character in list(_ESCAPES.items())[:4]]
"""Characters that a log does not hold as they are, the backslash first, and what is written."""

_ESCAPED: Final = re.compile(r"\\[\\tnrbf0']")
_NUMBER: Final = re.compile(rb" *\+?[0-9]{1,40}")
_PIECE_BYTES: Final = 100_000
"""Bytes that are parsed line by line if one of their lines is faulty."""

_MAX_NS: Final = 2**63 - 1
_MAX_SEQ: Final = 2**64 - 1


@dataclass(frozen=True)
class Chunk:
    """Parsed lines of a log.

    `frames`: LINES, in order. `dead_letters`: DEAD_LETTERS, one for each line without a frame.
    """

    frames: pl.DataFrame
    dead_letters: pl.DataFrame

    @property
    def lines(self) -> int:
        """Number of lines."""
        return self.frames.height + self.dead_letters.height


def read(data: bytes, source: str, first_line: int) -> Chunk:
    """Parse whole lines; only the last one may lack its newline.

    `source` and `first_line` (counted from 0) are the origin in dead letters.
    """
    all_frames = _read_all(data)
    if all_frames is not None:
        return Chunk(all_frames, empty(DEAD_LETTERS))
    frames, dead_letters, line_count = [], [], 0
    for piece in _pieces(data):
        # Few lines are faulty: pieces without one are still parsed at once.
        piece_frames = _read_all(piece)
        chunk = Chunk(piece_frames, empty(DEAD_LETTERS)) if piece_frames is not None else None
        chunk = chunk or _read_line_by_line(piece, source, first_line + line_count)
        frames.append(chunk.frames.with_columns(pl.col("line") + line_count))
        dead_letters.append(chunk.dead_letters)
        line_count += chunk.lines
    return Chunk(pl.concat(frames), pl.concat(dead_letters))


def _pieces(data: bytes) -> Iterator[bytes]:
    begin = 0
    while begin < len(data):
        end = data.find(b"\n", begin + _PIECE_BYTES) + 1 or len(data)
        yield data[begin:end]
        begin = end


def _read_all(data: bytes) -> pl.DataFrame | None:
    """Parse lines at once; return None if one may be faulty."""
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
    # Iterating over lines takes half the time of counting a character.
    incomplete = frames.height != sum(1 for _ in io.BytesIO(data)) or any(
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
    bad_lines: list[tuple[int, str, str, bytes]] = []
    for number, line in enumerate(lines):
        try:
            rows.append((number, *_read_line(line)))
        except UnicodeDecodeError as error:
            bad_lines.append((first_line + number, "not_utf8", str(error)[:1000], line))
        except ValueError as error:
            bad_lines.append((first_line + number, "bad_line", str(error), line))
    frames = pl.DataFrame(rows, schema=LINES, orient="row")
    return Chunk(frames, line_dead_letters(source, bad_lines))


def _read_line(line: bytes) -> tuple[str, int, str, int, str]:
    """Return exchange, recv_ns, connection, seq and frame of a line. Raises ValueError."""
    fields = line.split(b"\t")
    if len(fields) != len(_FIELDS):
        raise ValueError(f"expected {len(_FIELDS)} fields, got {len(fields)}")
    recv_ns = _parse_number("recv_ns", fields[0], _MAX_NS)
    seq = _parse_number("seq", fields[3], _MAX_SEQ)
    exchange, connection, frame = (_unescape(fields[index]) for index in (1, 2, 4))
    return exchange, recv_ns, connection, seq, frame


def _parse_number(name: str, field: bytes, maximum: int) -> int:
    if not _NUMBER.fullmatch(field) or int(field) > maximum:
        raise ValueError(f"expected a whole number up to {maximum} in {name}, got {field[:100]!r}")
    return int(field)


def _unescape(field: bytes) -> str:
    return _ESCAPED.sub(lambda match: _ESCAPES[match[0]], field.decode())


def line_dead_letters(source: str, lines: list[tuple[int, str, str, bytes]]) -> pl.DataFrame:
    """Return DEAD_LETTERS of lines: number, reason, detail, the line."""
    columns = {
        "source_offset": pl.UInt64,
        "reason": pl.String,
        "detail": pl.String,
        "frame": pl.Binary,
    }
    defaults = {
        name: pl.lit("" if kind == pl.String else 0).cast(kind)
        for name, kind in DEAD_LETTERS.items()
        if name not in columns
    }
    origin = {"source": pl.lit(source), "scope": pl.lit(SCOPE_LINE, pl.Int8)}
    return (
        pl.DataFrame(lines, schema=columns, orient="row")
        .with_columns(**(defaults | origin))
        .select(*DEAD_LETTERS)
    )


def format_line(recv_ns: int, exchange: str, connection: str, seq: int, frame: str) -> str:
    """Return a line of a log, with its newline."""
    fields = (str(recv_ns), exchange, connection, str(seq), frame)
    return "\t".join(map(_escape, fields)) + "\n"


def _escape(text: str) -> str:
    for character, escape in _WRITTEN_ESCAPES:
        text = text.replace(character, escape)
    return text
