"""Reader of frame logs, plain or compressed, in chunks of whole lines."""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol

import zstandard

LONGEST_LINE: Final = 64 << 20
"""Longest line in bytes; a longer one is cut, so that no file can fill the memory."""

_BLOCK: Final = 64 << 10
"""Bytes of a compressed file that are inflated at once."""

_PLAIN_BLOCK: Final = 1 << 18
"""Bytes of a plain file that are read at once."""


class LogError(ValueError):
    """Error for a log whose rest cannot be read. `reason` is a short fixed word."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class _Inflator(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


_INFLATORS: Final[dict[str, Callable[[], _Inflator]]] = {
    ".gz": lambda: zlib.decompressobj(wbits=31),
    ".zst": lambda: zstandard.ZstdDecompressor().decompressobj(),
}


def blocks(path: Path, count: Callable[[int], None]) -> Iterator[bytes]:
    """Yield the decompressed text of a log, block by block.

    Calls `count` with the bytes of the file that each block took. Raises LogError after the last
    readable byte if a compressed file is damaged or ends early.
    """
    inflator = _INFLATORS.get(path.suffix)
    size = _BLOCK if inflator else _PLAIN_BLOCK
    with path.open("rb", buffering=0) as file:
        stored = iter(lambda: _counted(file.read(size), count), b"")
        yield from _inflated(stored, inflator) if inflator else stored


def _counted(block: bytes, count: Callable[[int], None]) -> bytes:
    count(len(block))
    return block


def _inflated(stored: Iterator[bytes], create_inflator: Callable[[], _Inflator]) -> Iterator[bytes]:
    """Yield the decompressed data of one member after another."""
    member: _Inflator | None = None
    try:
        for block in stored:
            rest = block
            while rest:
                member = member or create_inflator()
                yield member.decompress(rest)
                rest = b""
                if member.eof:
                    # Zero padding may follow a member.
                    rest = member.unused_data.lstrip(b"\0")
                    member = None
    except (zlib.error, zstandard.ZstdError) as error:
        raise LogError("damaged_log", str(error)) from error
    if member:
        raise LogError("truncated_log", "the compressed file ends before its end mark")


class Lines:
    """Chunks of whole lines of about `size` bytes, from byte `offset` of the text on."""

    def __init__(self, pieces: Iterator[bytes], size: int, offset: int) -> None:
        self._pieces = pieces
        self._size = size
        self._skip = offset
        self._rest = b""
        self.error: LogError | None = None
        """Error that ended the log early."""

    def next_chunk(self) -> bytes:
        """Return the next lines, b"" at the end. Only the last line may lack its newline."""
        parts, size = [self._rest], len(self._rest)
        self._rest = b""
        for piece in self._until_error():
            parts.append(piece)
            size += len(piece)
            if size >= self._size and (end := piece.rfind(b"\n") + 1):
                parts[-1], self._rest = piece[:end], piece[end:]
                break
            if size >= LONGEST_LINE:
                break
        return b"".join(parts)

    def _until_error(self) -> Iterator[bytes]:
        try:
            for piece in self._pieces:
                kept = piece[self._skip :]
                self._skip -= len(piece) - len(kept)
                if kept:
                    yield kept
        except LogError as error:
            self.error = error
            self._pieces = iter(())
