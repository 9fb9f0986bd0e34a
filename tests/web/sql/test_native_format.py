"""FORMAT Native for clients that name a protocol version."""

import pytest
from clickhouse_connect.driver.client import Client

from candlewax.clickhouse.client import Database
from candlewax.web.sql.http_protocol import RequestError
from candlewax.web.sql.native_format import add_protocol_bytes

BLOCK_INFO = bytes([1, 0, 2, 255, 255, 255, 255, 0])
"""Field 1: no overflow row; field 2: bucket -1; end of the fields."""

COLUMNS = [
    "toUInt8(7)", "toInt256(7)", "toFloat32(0.5)", "true", "toUUID('{0}')", "toIPv4('1.2.3.4')",
    "toIPv6('::1')", "toDate('2026-01-01')", "toDate32('2026-01-01')", "toDateTime(1, 'UTC')",
    "toDateTime64(1, 6, 'Asia/Tokyo')", "toFixedString('abc', 5)", "repeat('é', 70)", "''",
    "toDecimal32(1, 2)", "toDecimal64(1, 12)", "toDecimal128(1, 12)", "toDecimal256(1, 12)",
    "CAST('a(,', 'Enum8(\\'a(,\\' = 1, \\'it\\\\\\'s)\\' = 2)')",
    "CAST('b', 'Enum16(\\'b\\' = 300)')",
    "NULL", "[]", "toNullable('x')", "CAST(NULL, 'Nullable(Decimal(38, 12))')", "toIntervalDay(3)",
    "toLowCardinality('x')", "CAST(NULL, 'LowCardinality(Nullable(String))')",
    "[toLowCardinality('a'), toLowCardinality('b')]", "CAST([], 'Array(LowCardinality(String))')",
    "[['a', NULL], [], ['b']]", "map('k', [1, 2])", "map(toLowCardinality('k'), toUInt16(1))",
    "(1, 'a', [toLowCardinality('x')])", "CAST((1, 'a'), 'Tuple(`a b)` UInt8, c String)')",
    "CAST([(1, 'a')], 'Nested(a UInt8, b String)')", "(1.5, 2.5)::Point",
    "[[(1.5, 2.5), (2, 3)]]::Polygon", "CAST(5, 'SimpleAggregateFunction(sum, UInt64)')",
    "toTime64(1, 3)", "CAST('{\"a\": [1]}', 'JSON')",
]  # fmt: skip


def _native(client: Client, columns: str, rows: str) -> bytes:
    settings = {"output_format_native_write_json_as_string": 1}
    query = f"SELECT {columns} FROM {rows}"
    return bytes(client.raw_query(query, fmt="Native", settings=settings))


@pytest.mark.parametrize("column", COLUMNS)
def test_each_column_gets_its_byte_behind_its_type(engine: Database, column: str) -> None:
    """The engine writes the column alone as well: so its length is known without the types."""
    column = column.replace("{0}", "61f0c404-5cb3-11e7-907b-a6006ad3dba0")
    client = engine.client
    rows = "numbers(3)"
    alone = _native(client, f"{column} AS x", rows)[2:]
    head = 2 + 1 + alone[2] + (alone[2] >= 128)
    first = alone[:head] + b"\0" + alone[head:]
    last = b"\x01y\x06String\0" + b"\x03end" * 3
    data = _native(client, f"{column} AS x, materialize('end') AS y", rows)
    assert add_protocol_bytes(data) == BLOCK_INFO + b"\x02\x03" + first + last
    assert add_protocol_bytes(data * 2) == add_protocol_bytes(data) * 2


def test_no_block_stays_none() -> None:
    assert add_protocol_bytes(b"") == b""


def test_type_of_unknown_length_is_an_error(engine: Database) -> None:
    """The error names the column and what to use."""
    data = _native(engine.client, "sumState(number) AS states", "numbers(3)")
    with pytest.raises(RequestError, match=r"'states'.*AggregateFunction.*finalizeAggregation"):
        add_protocol_bytes(data)
