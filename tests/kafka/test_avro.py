"""Trades as Avro, also read by another library."""

import io
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import fastavro
import polars as pl
import pytest

from candlewax.kafka.avro import SCHEMA, SUBJECT, Avro
from candlewax.kafka.client import BrokerError
from tests.support.decoding import read
from tests.support.kafka import registry
from tests.support.kafka.registry import Registry

FRAME = (
    '{"e":"trade","E":1790000000001,"s":"BTCUSDT","t":%d,"p":"71240.55000000","q":"0.00000001",'
    '"T":1790000000000,"m":true%s}'
)
TEXTS = [FRAME % (1, ',"M":true'), FRAME % (2, ""), FRAME % (2**64 - 1, ',"x":"ä\\"\\n"')]


@pytest.fixture
def schemas() -> Iterator[Registry]:
    """A registry without schemas."""
    with registry.serving() as serving:
        yield serving


def test_decoded_trades_equal_the_encoded_ones(schemas: Registry) -> None:
    """With exact decimals, microseconds and 64-bit numbers."""
    trades = read("binance", *TEXTS).trades.with_columns(via=pl.Series([1, 2, 3], dtype=pl.Int8))
    avro = Avro(schemas.url)
    decoded = avro.decode(avro.encode(trades))
    assert decoded.faults.is_empty()
    assert decoded.trades.equals(trades.select(decoded.trades.columns))


def test_decoded_outages_equal_the_encoded_ones(schemas: Registry) -> None:
    """They are carried by a trade's message."""
    outages = pl.Series("outages", [None, [[1, 2], [5, 9]], None], pl.List(pl.List(pl.Int64)))
    avro = Avro(schemas.url)
    decoded = avro.decode(avro.encode(read("binance", *TEXTS).trades.with_columns(outages)))
    assert decoded.faults.is_empty()
    assert decoded.outages.rows() == [("binance", 1, 2), ("binance", 5, 9)]


ADDED = {"via", "numbering", "outages", "kind", "shards"}
"""Fields that later releases added."""


def test_message_of_an_older_release_is_read(schemas: Registry) -> None:
    """Its trade counts as received by websocket, without outages."""
    schema = json.loads(SCHEMA)
    schema["fields"] = [field for field in schema["fields"] if field["name"] not in ADDED]
    avro = Avro(schemas.url)
    (message,) = avro.encode(read("binance", TEXTS[0]).trades)
    newer = fastavro.parse_schema(json.loads(SCHEMA))
    record = fastavro.schemaless_reader(io.BytesIO(message[5:]), newer, newer)
    assert isinstance(record, dict)
    schemas.schemas.append(json.dumps(schema))
    older = io.BytesIO()
    fastavro.schemaless_writer(older, fastavro.parse_schema(schema), record)
    decoded = avro.decode([b"\0\0\0\0" + bytes([len(schemas.schemas)]) + older.getvalue()])
    assert decoded.faults.is_empty()
    assert decoded.trades["via"].to_list() == [1]
    assert decoded.outages.is_empty()
    assert decoded.shard_counts == {}


def test_another_library_reads_every_field(schemas: Registry) -> None:
    """In Confluent's framing: a zero byte, the schema id, the record."""
    trades = read("binance", *TEXTS).trades
    first, _, last = Avro(schemas.url).encode(trades)
    assert first[:5] == b"\0\0\0\0\1"
    parsed = fastavro.parse_schema(json.loads(SCHEMA))
    record = fastavro.schemaless_reader(io.BytesIO(first[5:]), parsed, parsed)
    assert isinstance(record, dict)
    assert record["price"] == Decimal("71240.55")
    assert record["quantity"] == Decimal("0.00000001")
    assert record["quote_volume"] == Decimal("0.0007124055")
    assert (record["symbol"], record["side"], record["conditions"]) == ("BTC/USDT", "SELL", [])
    assert record["timestamp"].timestamp() == 1790000000
    assert record["vendor_data"] == {"E": "1790000000001", "M": "true"}
    record = fastavro.schemaless_reader(io.BytesIO(last[5:]), parsed, parsed)
    assert isinstance(record, dict)
    assert record["sequence"] == 2**64 - 1
    assert record["vendor_data"]["x"] == 'ä"\n'


def test_schema_is_registered_once(schemas: Registry) -> None:
    """With backward compatibility, so newer readers understand older messages."""
    for _ in range(2):
        Avro(schemas.url)
    assert schemas.subjects == {SUBJECT}
    assert len(schemas.schemas) == 1
    assert json.loads(schemas.schemas[0]) == json.loads(SCHEMA)
    assert schemas.levels == {SUBJECT: "BACKWARD"}


def test_message_without_a_trade_becomes_a_fault(schemas: Registry) -> None:
    """Valid messages beside it are decoded."""
    avro = Avro(schemas.url)
    (good,) = avro.encode(read("binance", TEXTS[0]).trades)
    unknown = b"\0\0\0\0\x07" + good[5:]
    decoded = avro.decode([b"", b"{}", good[:-4], unknown, good])
    assert decoded.trades["row"].to_list() == [4]
    assert decoded.faults["row"].to_list() == [0, 1, 2, 3]
    assert set(decoded.faults["reason"]) == {"bad_message"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sequence", Decimal(-5)),
        ("source_offset", -1),
        ("source_partition", -1),
        ("source_index", 2**16),
        ("numbering", -1),
        ("shards", 0),
    ],
)
def test_count_that_no_trade_can_have_is_a_fault(
    schemas: Registry, name: str, value: object
) -> None:
    """The schema allows it, so another producer may send it; by rows and by columns."""
    avro = Avro(schemas.url)
    (good,) = avro.encode(read("binance", TEXTS[0]).trades)
    schema = fastavro.parse_schema(json.loads(SCHEMA))
    record: Any = fastavro.schemaless_reader(io.BytesIO(good[5:]), schema, None)
    changed = io.BytesIO()
    fastavro.schemaless_writer(changed, schema, record | {name: value})
    messages = [good[:5] + changed.getvalue(), good]
    columns, rows = avro.decode(messages), avro.decode_rows(messages)
    assert columns.faults["row"].to_list() == [fault.row for fault in rows.faults] == [0]
    assert columns.trades["row"].to_list() == [trade.row for trade in rows.trades["binance"]] == [1]


def test_start_fails_if_the_registry_refuses_or_is_away(schemas: Registry) -> None:
    """With a message for each case."""
    schemas.refuses = True
    with pytest.raises(BrokerError, match=r"refuses market\.crypto.trades\.normalized-value"):
        Avro(schemas.url)
    with pytest.raises(BrokerError, match="does not answer"):
        Avro("http://127.0.0.1:1")
