"""Compressed bodies of ClickHouse's HTTP interface, of requests and of answers."""

import gzip
import zlib
from collections.abc import Callable, Mapping
from typing import Final

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
        plain = _first_bytes(body, encoding, max_bytes + 1)
    except (zlib.error, zstandard.ZstdError, RuntimeError, EOFError) as error:
        raise RequestError(
            117, f"The body is not in the encoding {encoding}: {error}", "INCORRECT_DATA"
        ) from None
    if len(plain) > max_bytes:
        raise RequestError(62, "Max query size exceeded: the body", "QUERY_IS_TOO_LARGE")
    return plain


def _first_bytes(body: bytes, encoding: str, count: int) -> bytes:
    """Return at most so many plain bytes."""
    if encoding == "zstd":
        with zstandard.ZstdDecompressor().stream_reader(body, read_across_frames=True) as reader:
            return reader.read(count)
    if encoding == "lz4":
        return bytes(lz4.frame.LZ4FrameDecompressor().decompress(body, max_length=count))
    # 32 more bits of window: the head tells gzip from zlib.
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(body, count)
