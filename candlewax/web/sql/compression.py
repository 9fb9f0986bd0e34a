"""Compressed bodies of ClickHouse's HTTP interface, of requests and of answers."""

import gzip
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final

import lz4.frame
import zstandard

from candlewax.web.sql import native_blocks
from candlewax.web.sql.http_protocol import RequestError

Compress = Callable[[bytes], bytes]

COMPRESSORS: Final[Mapping[str, Compress]] = {
    "zstd": lambda data: zstandard.ZstdCompressor(level=1).compress(data),
    "lz4": lambda data: bytes(lz4.frame.compress(data)),
    "gzip": lambda data: gzip.compress(data, 1),
    "deflate": zlib.compress,
}
"""Compression by Content-Encoding."""

_DECOMPRESSORS: Final[Mapping[str, Callable[[], Any]]] = {
    "zstd": lambda: zstandard.ZstdDecompressor().decompressobj(),
    "lz4": lz4.frame.LZ4FrameDecompressor,
    "gzip": lambda: zlib.decompressobj(wbits=zlib.MAX_WBITS | 16),
    "deflate": zlib.decompressobj,
}
"""Decompressors of one frame by Content-Encoding."""

_STEP_BYTES: Final = 256
"""Packed bytes read at a time: at most 8 MiB when plain."""

_NO: Final = frozenset({"", "0", "false"})


def is_on(parameters: Mapping[str, str], name: str) -> bool:
    """Return whether a request switches a parameter on."""
    return parameters.get(name, "").lower() not in _NO


def choose_encoding(parameters: Mapping[str, str], offered: str) -> str | None:
    """Return the Content-Encoding of the answer; None if the client asks for none.

    `offered` is the request's Accept-Encoding.
    """
    if not is_on(parameters, "enable_http_compression"):
        return None
    for part in offered.split(","):
        name, _, weight = part.replace(" ", "").lower().partition(";")
        if name in COMPRESSORS and weight not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}:
            return name
    return None


def encode_answer(
    body: bytes, parameters: Mapping[str, str], encoding: str | None, *, in_blocks: bool
) -> bytes:
    """Return the body of an answer: in ClickHouse's blocks if asked for, then in the encoding."""
    if in_blocks:
        method = native_blocks.choose_method(parameters.get("network_compression_method", ""))
        body = native_blocks.compress(body, method)
    return COMPRESSORS[encoding](body) if encoding else body


def decode_request(body: bytes, encoding: str, max_bytes: int, *, in_blocks: bool) -> bytes:
    """Return the plain body of a request.

    Raises RequestError if it cannot be read, or has more than `max_bytes`.
    """
    body = _inflate(body, encoding.strip().lower(), max_bytes)
    return native_blocks.decompress(body, max_bytes) if in_blocks else body


def _inflate(body: bytes, encoding: str, max_bytes: int) -> bytes:
    if encoding in {"", "identity"}:
        return body
    if encoding not in COMPRESSORS:
        known = ", ".join(COMPRESSORS)
        raise RequestError(
            48, f"Content-Encoding {encoding[:40]!r} is unknown; use {known}", "NOT_IMPLEMENTED"
        )
    try:
        return _inflate_frames(body, _DECOMPRESSORS[encoding], max_bytes)
    except (zlib.error, zstandard.ZstdError, RuntimeError, EOFError) as error:
        raise RequestError(
            117, f"The body is not in the encoding {encoding}: {error}", "INCORRECT_DATA"
        ) from None


def _inflate_frames(body: bytes, start: Callable[[], Any], max_bytes: int) -> bytes:
    """Return the plain bytes of one frame or more. Raises EOFError if the last one is cut."""
    plain = bytearray()
    position = 0
    while position < len(body):
        frame = start()
        while not frame.eof and position < len(body):
            piece = body[position : position + _STEP_BYTES]
            plain += frame.decompress(piece)
            position += len(piece) - len(frame.unused_data or b"")
            if len(plain) > max_bytes:
                raise RequestError(62, "Max query size exceeded: the body", "QUERY_IS_TOO_LARGE")
        if not frame.eof:
            raise EOFError("its end is missing")
    return bytes(plain)
