"""Compressed bodies of ClickHouse's HTTP interface."""

import gzip
import io
import zlib
from importlib import import_module
from typing import Any, Final

import zstandard

from candlewax.web.sql import http_protocol
from candlewax.web.sql.http_protocol import RequestError

_lz4: Any
try:
    _lz4 = import_module("lz4.frame")
except ImportError:
    _lz4 = None


def inflate(data: bytes, encoding: str) -> bytes:
    if encoding not in _DECOMPRESSORS:
        raise RequestError(48, f"Unknown compression method: {encoding}", "NOT_IMPLEMENTED")
    return _DECOMPRESSORS[encoding](data)


def _decode_zstd(data: bytes) -> bytes:
    # Each block of a client is a frame of its own; the same for LZ4.
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        return reader.read()


def _decode_lz4(data: bytes) -> bytes:
    with _lz4.open(io.BytesIO(data), "rb") as reader:
        return bytes(reader.read())


def _encode_lz4(data: bytes) -> bytes:
    return bytes(_lz4.compress(data))


_DECOMPRESSORS: Final[dict[str, http_protocol.Compress]] = {
    "identity": bytes,
    "zstd": _decode_zstd,
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
}
COMPRESSORS: Final = dict(http_protocol.COMPRESSORS)
if _lz4:
    _DECOMPRESSORS["lz4"], COMPRESSORS["lz4"] = _decode_lz4, _encode_lz4
