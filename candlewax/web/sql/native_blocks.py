"""ClickHouse's own compressed blocks, which `compress=1` and `decompress=1` ask for.

A block is a checksum, a method, two sizes and the packed bytes. The checksum is CityHash128, in
ClickHouse's version 1.0.2 of it, of all that follows. The packed size includes the nine bytes of
method and sizes.

Source: `src/Compression/CompressedReadBufferBase.cpp` of ClickHouse.
"""

import struct
from collections.abc import Callable
from typing import Final

import lz4.block
import zstandard
from clickhouse_cityhash.cityhash import CityHash128

from candlewax.web.sql.http_protocol import RequestError

BLOCK_BYTES: Final = 1 << 20
"""Plain bytes in one block, as in ClickHouse."""

_HEAD: Final = struct.Struct("<BII")
_CHECKSUM: Final = struct.Struct("<QQ")

_NONE: Final = 0x02
_LZ4: Final = 0x82
_ZSTD: Final = 0x90

_PACK: Final[dict[int, Callable[[bytes], bytes]]] = {
    _NONE: bytes,
    _LZ4: lambda plain: lz4.block.compress(plain, store_size=False),
    _ZSTD: lambda plain: zstandard.ZstdCompressor(level=1).compress(plain),
}

_METHODS: Final = {"LZ4": _LZ4, "ZSTD": _ZSTD, "NONE": _NONE}
"""Methods by the name that the setting `network_compression_method` gives them."""


def choose_method(requested: str) -> int:
    """Return the method byte for a value of `network_compression_method`, LZ4 if it is unknown.

    ClickHouse's own default is ZSTD since 26.8, but JDBC and Rust read LZ4 alone and name none.
    """
    return _METHODS.get(requested.upper(), _LZ4)


def compress(data: bytes, method: int = _LZ4) -> bytes:
    """Return data as compressed blocks; no data is no block."""
    pieces = []
    for begin in range(0, len(data), BLOCK_BYTES):
        plain = data[begin : begin + BLOCK_BYTES]
        packed = _PACK[method](plain)
        block = _HEAD.pack(method, _HEAD.size + len(packed), len(plain)) + packed
        pieces += [_checksum(block), block]
    return b"".join(pieces)


def decompress(data: bytes, max_bytes: int) -> bytes:
    """Return the plain bytes of blocks. Raises RequestError, also if they exceed `max_bytes`."""
    pieces = []
    position = 0
    while position < len(data):
        begin = position + _CHECKSUM.size
        if len(data) < begin + _HEAD.size:
            raise _unreadable("a block ends within its head")
        method, packed_bytes, plain_bytes = _HEAD.unpack_from(data, begin)
        if method not in _PACK:
            raise _unreadable(f"method 0x{method:02x}; LZ4, ZSTD and NONE are known")
        max_bytes -= plain_bytes
        if max_bytes < 0:
            raise RequestError(62, "Max query size exceeded: the body", "QUERY_IS_TOO_LARGE")
        position = begin + packed_bytes
        block = data[begin:position]
        if packed_bytes <= _HEAD.size or len(block) < packed_bytes:
            raise _unreadable("a block is shorter than its head says")
        if data[begin - _CHECKSUM.size : begin] != _checksum(block):
            raise RequestError(
                40, "Checksum doesn't match: corrupted data", "CHECKSUM_DOESNT_MATCH"
            )
        pieces.append(_unpack(method, block[_HEAD.size :], plain_bytes))
    return b"".join(pieces)


def _unpack(method: int, packed: bytes, plain_bytes: int) -> bytes:
    try:
        if method == _LZ4:
            plain = bytes(lz4.block.decompress(packed, uncompressed_size=plain_bytes))
        elif method == _ZSTD:
            decompressor = zstandard.ZstdDecompressor()
            with decompressor.stream_reader(packed) as reader:
                plain = reader.read(plain_bytes + 1)
        else:
            plain = packed
    except (lz4.block.LZ4BlockError, zstandard.ZstdError) as error:
        raise _unreadable(str(error)) from None
    if len(plain) != plain_bytes:
        raise _unreadable("a block is not as long as its head says")
    return plain


def _checksum(block: bytes) -> bytes:
    number = CityHash128(block)
    return _CHECKSUM.pack(number >> 64, number & 0xFFFF_FFFF_FFFF_FFFF)


def _unreadable(reason: str) -> RequestError:
    return RequestError(
        271,
        f"Cannot decompress: decompress=1 announces ClickHouse's compressed blocks, but {reason}",
        "CANNOT_DECOMPRESS",
    )
