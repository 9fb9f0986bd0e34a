"""Dump files as text, piece by piece."""

import re
import zipfile
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final

from candlewax.exchanges.protocol.dump_files import MOST_LINES

_NAMED: Final = re.compile(r"([^/]+)-(trades|aggTrades|klines)\b")

LONGEST_LINE: Final = 1 << 20
"""Bytes; no dump has a line nearly as long."""


class DumpError(ValueError):
    """A file cannot be read as a dump; the text names it."""


def check(path: Path, native: str) -> None:
    """Whether a file may hold trades of a market. Raises DumpError."""
    if not path.is_file():
        raise DumpError(f"{path}: there is no such file")
    if path.suffix.lower() not in (".csv", ".zip"):
        raise DumpError(f"{path}: a dump is a .csv, or a .zip that holds one")
    named = _NAMED.match(path.name)
    if named and (named[1] != native or named[2] != "trades"):
        raise DumpError(f"{path}: named as {named[2]} of {named[1]}, not as trades of {native}")
    with ExitStack() as stack:
        _opened(path, stack)


def pieces(path: Path, count: Callable[[int], None]) -> Iterator[str | bytes]:
    """The lines of a dump in pieces of MOST_LINES; bytes where they are no UTF-8.

    `count` is told how many bytes of the text each piece took. Raises DumpError where
    the file is damaged, behind all that could be read.
    """
    with ExitStack() as stack:
        file = _opened(path, stack)
        ended, mark = False, BOM_UTF8  # spreadsheets put it before a text
        while not ended:
            lines, ended, damage = _lines(file)
            if lines:
                piece = b"".join(lines)
                count(len(piece))
                yield _text(piece.removeprefix(mark).removesuffix(b"\n"))
                mark = b""
            if damage:
                raise DumpError(f"{path}: damaged: {damage}")


def _text(piece: bytes) -> str | bytes:
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return piece


def size(path: Path) -> int:
    """How many bytes of text a dump has."""
    if path.suffix.lower() == ".zip":
        with zipfile.ZipFile(path) as archive:
            return archive.getinfo(_member(path, archive)).file_size
    return path.stat().st_size


def _lines(file: IO[bytes]) -> tuple[list[bytes], bool, Exception | None]:
    """The next lines, whether they are the last ones, and what ended them if not the file."""
    lines: list[bytes] = []
    try:
        while len(lines) < MOST_LINES:
            line = file.readline(LONGEST_LINE)
            if not line:
                return lines, True, None
            lines.append(line)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        return lines, True, error
    return lines, False, None


def _opened(path: Path, stack: ExitStack) -> IO[bytes]:
    try:
        if path.suffix.lower() != ".zip":
            return stack.enter_context(path.open("rb"))
        archive = stack.enter_context(zipfile.ZipFile(path))
        return stack.enter_context(archive.open(_member(path, archive)))
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise DumpError(f"{path}: cannot be read: {error}") from error


def _member(path: Path, archive: zipfile.ZipFile) -> str:
    names = [name for name in archive.namelist() if name.lower().endswith(".csv")]
    if len(names) != 1:
        raise DumpError(f"{path}: holds {len(names)} files .csv, expected one")
    return names[0]
