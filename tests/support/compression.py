"""Compressed bodies of ClickHouse's HTTP interface."""

import gzip
import io
import zlib
from typing import Final

import lz4.frame
import zstandard

from candlewax.web.sql.compression import Compress
from candlewax.web.sql.http_protocol import RequestError


def inflate(data: bytes, encoding: str) -> bytes:
    if encoding not in _DECOMPRESSORS:
        raise RequestError(48, f"Unknown compression method: {encoding}", "NOT_IMPLEMENTED")
    return _DECOMPRESSORS[encoding](data)


def _decode_zstd(data: bytes) -> bytes:
    # Each block of a client is a frame of its own; the same for LZ4.
    with zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True) as reader:
        return reader.read()


def _decode_lz4(data: bytes) -> bytes:
    with lz4.frame.open(io.BytesIO(data), "rb") as reader:
        return bytes(reader.read())


_DECOMPRESSORS: Final[dict[str, Compress]] = {
    "identity": bytes,
    "zstd": _decode_zstd,
    "gzip": gzip.decompress,
    "deflate": zlib.decompress,
    "lz4": _decode_lz4,
}
