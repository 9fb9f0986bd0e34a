"""ClickHouse's compressed blocks."""

from pathlib import Path

import pytest
from clickhouse_cityhash.cityhash import CityHash128
from hypothesis import given
from hypothesis import strategies as st

from candlewax.clickhouse.client import Database
from candlewax.web.sql.http_protocol import RequestError
from candlewax.web.sql.native_blocks import BLOCK_BYTES, choose_method, compress, decompress

METHODS = ["LZ4", "ZSTD", "NONE"]


@pytest.mark.parametrize("codec", METHODS)
def test_blocks_that_the_engine_wrote_are_read(engine: Database, codec: str) -> None:
    """A column of bytes on the disk is such blocks; their checksums are the engine's."""
    name = f"blocks_{codec.lower()}"
    engine.client.command(
        f"CREATE TABLE {name} (byte UInt8 CODEC({codec})) ENGINE = MergeTree ORDER BY () "
        "SETTINGS min_bytes_for_wide_part = 0, ratio_of_defaults_for_sparse_serialization = 1"
    )
    engine.client.command(f"INSERT INTO {name} SELECT number % 251 FROM numbers(200000)")
    (part,) = engine.client.query(
        f"SELECT path FROM system.parts WHERE table = '{name}' AND active"
    ).result_columns[0]
    try:
        written = Path(part, "byte.bin").read_bytes()
    finally:
        engine.client.command(f"DROP TABLE {name} SYNC")
    assert decompress(written, 200_000) == bytes(number % 251 for number in range(200_000))


@given(data=st.binary(max_size=300), method=st.sampled_from(METHODS))
def test_blocks_are_read_back(data: bytes, method: str) -> None:
    assert decompress(compress(data, choose_method(method)), len(data)) == data


def test_long_data_is_several_blocks() -> None:
    data = bytes(range(256)) * (BLOCK_BYTES // 256) + b"end"
    assert decompress(compress(data), len(data)) == data
    with pytest.raises(RequestError, match="Code: 62"):
        decompress(compress(data), len(data) - 1)


@pytest.mark.parametrize("method", METHODS)
def test_no_changed_or_missing_byte_is_passed_over(method: str) -> None:
    packed = compress(b"SELECT 1, 2, 3, 'aaaaaaaaaaaaaaaaaaaaaaaa'", choose_method(method))
    for place in range(len(packed)):
        changed = bytearray(packed)
        changed[place] ^= 1
        with pytest.raises(RequestError):
            decompress(bytes(changed), 1 << 30)
        if place:
            with pytest.raises(RequestError):
                decompress(packed[:place], 1 << 30)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("said", [999, 1001])
def test_plain_size_in_the_head_is_not_believed(method: str, said: int) -> None:
    """The checksum is right, the block holds more or less than its head says."""
    packed = compress(b"x" * 1000, choose_method(method))[16:]
    block = packed[:5] + said.to_bytes(4, "little") + packed[9:]
    number = CityHash128(block)
    checksum = (number >> 64).to_bytes(8, "little") + (number % 2**64).to_bytes(8, "little")
    with pytest.raises(RequestError, match="decompress=1"):
        decompress(checksum + block, 10_000)


def test_plain_text_is_no_block() -> None:
    with pytest.raises(RequestError, match=r"Code: 271.*decompress=1"):
        decompress(b"SELECT 1 AS a_text_without_any_compression", 1 << 31)
