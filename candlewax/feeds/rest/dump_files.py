"""Reader of dump files, in pieces of whole lines."""

import gzip
import re
import zipfile
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final, cast

from candlewax.exchanges.protocol.dump_files import MAX_PIECE_LINES

_NAME: Final = re.compile(r"([^/]+)-(trades|aggTrades|klines)\b")

_GZIP_SIZE_BYTES: Final = 4

LONGEST_LINE: Final = 1 << 20
"""Longest line in bytes; no dump has a line nearly as long."""


class DumpError(ValueError):
    """Error for a file that cannot be read as a dump; the text names it."""


def check(path: Path, native_symbol: str) -> None:
    """Check that a file may hold trades of a market. Raises DumpError."""
    if not path.is_file():
        raise DumpError(f"{path}: there is no such file")
    if not path.name.lower().endswith((".csv", ".csv.gz", ".zip")):
        raise DumpError(f"{path}: a dump is a .csv, a .csv.gz, or a .zip that holds a .csv")
    name_match = _NAME.match(path.name)
    if name_match and (name_match[1] != native_symbol or name_match[2] != "trades"):
        raise DumpError(
            f"{path}: named as {name_match[2]} of {name_match[1]}, not as trades of {native_symbol}"
        )
    with ExitStack() as stack:
        _open(path, stack)


def pieces(path: Path, count: Callable[[int], None]) -> Iterator[str | bytes]:
    """Yield the lines of a dump in pieces of MOST_LINES; bytes if a piece is not UTF-8.

    Calls `count` with the bytes of each piece. Raises DumpError after the last readable line if
    the file is damaged.
    """
    with ExitStack() as stack:
        file = _open(path, stack)
        ended, byte_order_mark = False, BOM_UTF8  # spreadsheets write it
        while not ended:
            lines, ended, error = _read_lines(file)
            if lines:
                piece = b"".join(lines)
                count(len(piece))
                yield _decode(piece.removeprefix(byte_order_mark).removesuffix(b"\n"))
                byte_order_mark = b""
            if error:
                raise DumpError(f"{path}: damaged: {error}")


def _decode(piece: bytes) -> str | bytes:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return piece


def size(path: Path) -> int:
    """Return the bytes of text in a dump."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            return archive.getinfo(_member(path, archive)).file_size
    if path.suffix.lower() == ".gz":
        with path.open("rb") as file:
            # The last four bytes of a gzip file.
            file.seek(max(0, path.stat().st_size - _GZIP_SIZE_BYTES))
            return int.from_bytes(file.read(), "little")
    return path.stat().st_size


def _read_lines(file: IO[bytes]) -> tuple[list[bytes], bool, Exception | None]:
    """Return the next lines, whether they are the last ones, and the error that ended them."""
    lines: list[bytes] = []
    try:
        while len(lines) < MAX_PIECE_LINES:
            line = file.readline(LONGEST_LINE)
            if not line:
                return lines, True, None
            lines.append(line)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        return lines, True, error
    return lines, False, None


def _open(path: Path, stack: ExitStack) -> IO[bytes]:
    try:
        if path.suffix.lower() == ".gz":
            file = stack.enter_context(gzip.GzipFile(path))
            file.peek(1)  # raises if it is none
            return cast("IO[bytes]", file)
        if path.suffix.lower() != ".zip":
            return stack.enter_context(path.open("rb"))
        archive = stack.enter_context(zipfile.ZipFile(path))
        return stack.enter_context(archive.open(_member(path, archive)))
    except (zipfile.BadZipFile, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise DumpError(f"{path}: cannot be read: {error}") from error


def _member(path: Path, archive: zipfile.ZipFile) -> str:
    names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
    if len(names) != 1:
        raise DumpError(f"{path}: holds {len(names)} files .csv, expected one")
    return names[0]
