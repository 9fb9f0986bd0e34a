"""Trades as Avro, read by another library."""

import io
import json
from collections.abc import Iterator
from decimal import Decimal

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
    """Exact decimals, microseconds, numbers of 64 bits."""
    trades = read("binance", *TEXTS).trades.with_columns(via=pl.Series([1, 2, 3], dtype=pl.Int8))
    avro = Avro(schemas.url)
    found = avro.decode(avro.encode(trades))
    assert found.faults.is_empty()
    assert found.trades.equals(trades.select(found.trades.columns))


def test_decoded_outages_equal_the_encoded_ones(schemas: Registry) -> None:
    """By the message that tells of them."""
    told = pl.Series("outages", [None, [[1, 2], [5, 9]], None], pl.List(pl.List(pl.Int64)))
    avro = Avro(schemas.url)
    found = avro.decode(avro.encode(read("binance", *TEXTS).trades.with_columns(told)))
    assert found.faults.is_empty()
    assert found.outages.rows() == [("binance", 1, 2), ("binance", 5, 9)]


OLDER = {"via", "numbering", "outages", "kind"}
"""Fields that came later."""


def test_older_messages_are_read(schemas: Registry) -> None:
    """The trade came over a websocket, and nothing is told of outages."""
    schema = json.loads(SCHEMA)
    schema["fields"] = [field for field in schema["fields"] if field["name"] not in OLDER]
    avro = Avro(schemas.url)
    (message,) = avro.encode(read("binance", TEXTS[0]).trades)
    newer = fastavro.parse_schema(json.loads(SCHEMA))
    record = fastavro.schemaless_reader(io.BytesIO(message[5:]), newer, newer)
    assert isinstance(record, dict)
    schemas.schemas.append(json.dumps(schema))
    older = io.BytesIO()
    fastavro.schemaless_writer(older, fastavro.parse_schema(schema), record)
    found = avro.decode([b"\0\0\0\0" + bytes([len(schemas.schemas)]) + older.getvalue()])
    assert found.faults.is_empty()
    assert found.trades["via"].to_list() == [1]
    assert found.outages.is_empty()


def test_another_reader_finds_every_field(schemas: Registry) -> None:
    """In Confluent framing: a zero, the schema's id, the record."""
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


def test_the_schema_is_registered_once_for_the_topic(schemas: Registry) -> None:
    """And newer readers must understand older messages."""
    for _ in range(2):
        Avro(schemas.url)
    assert schemas.subjects == {SUBJECT}
    assert len(schemas.schemas) == 1
    assert json.loads(schemas.schemas[0]) == json.loads(SCHEMA)
    assert schemas.levels == {SUBJECT: "BACKWARD"}


def test_message_without_a_trade_becomes_a_fault(schemas: Registry) -> None:
    """And takes no good one with it."""
    avro = Avro(schemas.url)
    (good,) = avro.encode(read("binance", TEXTS[0]).trades)
    unknown = b"\0\0\0\0\x07" + good[5:]
    found = avro.decode([b"", b"{}", good[:-4], unknown, good])
    assert found.trades["row"].to_list() == [4]
    assert found.faults["row"].to_list() == [0, 1, 2, 3]
    assert set(found.faults["reason"]) == {"bad_message"}


def test_start_fails_if_the_registry_refuses_or_is_away(schemas: Registry) -> None:
    """With a message that says so."""
    schemas.refuses = True
    with pytest.raises(BrokerError, match=r"refuses market\.crypto.trades\.normalized-value"):
        Avro(schemas.url)
    with pytest.raises(BrokerError, match="does not answer"):
        Avro("http://127.0.0.1:1")
