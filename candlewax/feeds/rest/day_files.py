"""Download of the files that an exchange publishes of one day, with their checksums."""

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, TypeVar

import urllib3
from urllib3.exceptions import HTTPError

from candlewax.exchanges.protocol.daily_files import CHECKSUM

MOST_BYTES: Final = 8 << 30
"""Largest file in bytes; the largest day of trades has about a tenth of it."""

_MOST_CHECKSUM_BYTES: Final = 4_096
_CHUNK: Final = 1 << 18
_TIMEOUT: Final = urllib3.Timeout(connect=10.0, read=60.0)
_ATTEMPTS: Final = 3
_AGENT: Final = {"User-Agent": "candlewax"}
_CHECKSUM_LINE: Final = re.compile(r"([0-9a-fA-F]{64})\s+\*?(\S+)\s*")


T = TypeVar("T")


class DayFileError(RuntimeError):
    """A file that cannot be had, or that is not as its exchange publishes it; the text says why."""


@dataclass(frozen=True)
class DayFile:
    """A downloaded file, whose SHA-256 is the one that its exchange publishes."""

    path: Path
    sha256: str
    size_bytes: int


def fetch(
    base_url: str, path: str, folder: Path, on_bytes: Callable[[int], object] = lambda _: None
) -> DayFile:
    """Return a file of an exchange, downloaded into a folder.

    A file that is there already and has the published checksum is not downloaded again. `on_bytes`
    is called with the bytes of each piece. Raises DayFileError.
    """
    url, name = base_url.rstrip("/") + path, PurePosixPath(path).name
    expected = _parse_checksum(url, name, _read_small(url + CHECKSUM))
    target = folder / name
    if target.is_file() and _hash_file(target) == expected:
        return DayFile(target, expected, target.stat().st_size)
    partial = target.with_name(f"{name}.part")
    try:
        found = _with_retries(url, lambda: _download(url, partial, on_bytes))
        if found != expected:
            raise DayFileError(
                f"{url}: its SHA-256 is {found}, and {name}{CHECKSUM} says {expected}; "
                "the file is damaged or was changed"
            )
        partial.replace(target)
    except OSError as error:
        raise DayFileError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            partial.unlink()
    return DayFile(target, expected, target.stat().st_size)


def _parse_checksum(url: str, name: str, text: str) -> str:
    """Return the hash in a checksum file. Raises DayFileError."""
    match = _CHECKSUM_LINE.fullmatch(text.strip())
    if match is None or match[2] != name:
        raise DayFileError(
            f"{url}{CHECKSUM}: expected a SHA-256 and the name {name}, got {text[:100]!r}"
        )
    return match[1].lower()


def _read_small(url: str) -> str:
    parts: list[bytes] = []

    def read() -> str:
        parts.clear()
        _stream(url, parts.append, _MOST_CHECKSUM_BYTES)
        return b"".join(parts).decode("utf-8", "replace")

    return _with_retries(url, read)


def _download(url: str, target: Path, on_bytes: Callable[[int], object]) -> str:
    """Write the file of an address. Return its SHA-256."""
    digest = hashlib.sha256()
    with target.open("wb") as file:

        def take(part: bytes) -> None:
            digest.update(part)
            file.write(part)
            on_bytes(len(part))

        _stream(url, take, MOST_BYTES)
    return digest.hexdigest()


def _stream(url: str, take: Callable[[bytes], object], most_bytes: int) -> None:
    """Pass the content of an address on, piece by piece. Raises DayFileError and HTTPError."""
    with urllib3.PoolManager(retries=False) as pool:
        response = pool.request(
            "GET", url, headers=_AGENT, timeout=_TIMEOUT, redirect=False, preload_content=False
        )
        try:
            if response.status == 404:
                raise DayFileError(
                    f"{url}: there is no such file; the files of a day are published "
                    "on the next one, for markets that were traded then"
                )
            if response.status != 200:
                raise DayFileError(f"{url}: status {response.status}")
            size = 0
            for part in response.stream(_CHUNK, decode_content=False):
                size += len(part)
                if size > most_bytes:
                    raise DayFileError(f"{url}: more than {most_bytes:,} bytes")
                take(part)
        finally:
            response.close()


def _with_retries(url: str, action: Callable[[], T]) -> T:
    """Return the result of an action; repeat it if the connection fails. Raises DayFileError."""
    for _ in range(_ATTEMPTS - 1):
        with suppress(HTTPError):
            return action()
    try:
        return action()
    except HTTPError as error:
        raise DayFileError(
            f"{url}: no answer in {_ATTEMPTS} attempts: {type(error).__name__}"
        ) from error


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
