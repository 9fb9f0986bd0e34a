"""Trades as Avro in Confluent framing, with their schema in a registry."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import polars as pl
from confluent_kafka.schema_registry import (
    Schema,
    SchemaRegistryClient,
    SchemaRegistryError,
    topic_subject_name_strategy,
)
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.serialization import MessageField, SerializationContext, SerializationError

from candlewax.core.rows.amounts import DECIMALS, QUOTE_DECIMALS, to_decimal
from candlewax.core.rows.messages import (
    Outage,
    ParsedRows,
    TradeContent,
    side_name,
    to_rows,
    trade_contents,
)
from candlewax.core.rows.records import Fault, Trade
from candlewax.core.schema import VENDOR
from candlewax.core.trades.messages import (
    KIND_COLUMN,
    OUTAGES_COLUMN,
    SHARDS_COLUMN,
    ParsedMessages,
    add_faults,
    to_trades,
)
from candlewax.core.trades.trade_message import (
    DECODE_ERRORS,
    VIA,
    VIA_NAMES,
    TradeMessage,
    check_message,
)
from candlewax.kafka import topics
from candlewax.kafka.client import BrokerError


def _decimal(precision: int, scale: int) -> dict[str, Any]:
    return {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}


_TIME: Final = {"type": "long", "logicalType": "timestamp-micros"}
_SIDE: Final = {"type": "enum", "name": "Side", "symbols": ["BUY", "SELL"]}
_TYPES: Final[dict[str, Any]] = {
    "exchange": "string",
    "symbol": "string",
    "native_symbol": "string",
    "base": "string",
    "quote": "string",
    "trade_id": "string",
    # An unsigned 64-bit number does not fit into a long.
    "sequence": _decimal(20, 0),
    "timestamp": _TIME,
    "side": _SIDE,
    "price": _decimal(38, 12),
    "quantity": _decimal(38, 12),
    "quote_volume": _decimal(38, 18),
    "conditions": {"type": "array", "items": "string"},
    "received_at": _TIME,
    "source": "string",
    "source_partition": "long",
    "source_offset": "long",
    "source_index": "int",
    "vendor_data": {"type": "map", "values": "string"},
    "via": {"type": "enum", "name": "Via", "symbols": list(VIA)},
    "numbering": "long",
    OUTAGES_COLUMN: ["null", {"type": "array", "items": {"type": "array", "items": "long"}}],
    KIND_COLUMN: ["null", "string"],
    SHARDS_COLUMN: ["null", "int"],
}
_DEFAULTS: Final[dict[str, Any]] = {
    "via": "websocket",
    "numbering": 0,
    OUTAGES_COLUMN: None,
    KIND_COLUMN: None,
    SHARDS_COLUMN: None,
}
"""Values of fields that older messages lack."""

SCHEMA: Final = json.dumps(
    {
        "type": "record",
        "name": "Trade",
        "namespace": "candlewax",
        "fields": [
            {"name": name, "type": kind}
            | ({"default": _DEFAULTS[name]} if name in _DEFAULTS else {})
            for name, kind in _TYPES.items()
        ],
    }
)

SUBJECT: Final = f"{topics.NORMALIZED}-value"

_NOT_FOUND: Final = 404

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_CONTEXT: Final = SerializationContext(topics.NORMALIZED, MessageField.VALUE)


class Avro:
    """TradeCodec of values in Avro."""

    def __init__(self, registry: str) -> None:
        """Register the schema with the compatibility BACKWARD: new readers read old messages.

        Raises BrokerError if the registry does not answer or refuses the schema.
        """
        client = SchemaRegistryClient({"url": registry})
        # Not every registry supports the other strategies.
        names = {"subject.name.strategy": topic_subject_name_strategy}
        self._serialize = AvroSerializer(client, SCHEMA, conf=names)
        self._deserialize = AvroDeserializer(client, SCHEMA, conf=names)
        try:
            client.set_compatibility(SUBJECT, "BACKWARD")
            client.register_schema(SUBJECT, Schema(SCHEMA, "AVRO"))
        except SchemaRegistryError as error:
            raise BrokerError(f"the schema registry refuses {SUBJECT}: {error}") from error
        except Exception as error:  # its HTTP client raises errors of several libraries
            raise BrokerError(f"the schema registry does not answer: {error}") from error

    def encode(self, trades: pl.DataFrame) -> list[bytes]:
        """Return messages in the order of the trades.

        Input: TRADES with vendor columns, OUTAGES_COLUMN, KIND_COLUMN and SHARDS_COLUMN.
        """
        vendor = [name for name in trades.columns if name.startswith(VENDOR)]
        times = pl.col("timestamp", "received_at").cast(pl.Int64)
        rows = trades.with_columns(times).iter_rows(named=True)
        return [self._serialize(_record(row, vendor), _CONTEXT) for row in rows]

    def encode_rows(
        self,
        exchange: str,
        trades: Sequence[Trade],
        outages: Iterable[Outage],
        kind: str,
        shards: int,
    ) -> list[bytes]:
        """As `encode`, from the trades of a batch of rows and what comes with them."""
        return [
            self._serialize(_row_record(exchange, content, kind, shards), _CONTEXT)
            for content in trade_contents(trades, outages)
        ]

    def decode(self, values: Sequence[bytes]) -> ParsedMessages:
        """Parse messages into trades; a message without one becomes a fault."""
        messages, faults = self._read(values)
        good, rows = [message for _, message in messages], [row for row, _ in messages]
        return add_faults(to_trades(good, rows), faults)

    def decode_rows(self, values: Sequence[bytes]) -> ParsedRows:
        """As `decode`, trade by trade."""
        messages, faults = self._read(values)
        return to_rows(messages, faults)

    def _read(self, values: Sequence[bytes]) -> tuple[list[tuple[int, TradeMessage]], list[Fault]]:
        messages: list[tuple[int, TradeMessage]] = []
        faults: list[Fault] = []
        for row, value in enumerate(values):
            try:
                messages.append((row, _message(self._deserialize(value, _CONTEXT))))
            except (*DECODE_ERRORS, SerializationError, ValueError, EOFError, TypeError) as error:
                faults.append(Fault(row, 0, "bad_message", str(error)[:1000]))
            except SchemaRegistryError as error:
                if error.http_status_code != _NOT_FOUND:
                    raise
                faults.append(Fault(row, 0, "bad_message", str(error)[:1000]))
        return messages, faults


def _row_record(exchange: str, content: TradeContent, kind: str, shards: int) -> dict[str, Any]:
    trade = content.trade
    return trade._asdict() | {
        "exchange": exchange,
        "sequence": Decimal(trade.sequence),
        "side": side_name(trade.side),
        "price": to_decimal(trade.price, DECIMALS),
        "quantity": to_decimal(trade.quantity, DECIMALS),
        "quote_volume": to_decimal(trade.quote_volume, QUOTE_DECIMALS),
        "conditions": [] if trade.condition is None else [trade.condition],
        "vendor_data": content.vendor,
        "via": VIA_NAMES[trade.via],
        OUTAGES_COLUMN: content.outages or None,
        KIND_COLUMN: kind or None,
        SHARDS_COLUMN: shards or None,
    }


def _record(row: dict[str, Any], vendor: Sequence[str]) -> dict[str, Any]:
    vendor_data = {name.removeprefix(VENDOR): row[name] for name in vendor if row[name] is not None}
    condition = row["condition"]
    return row | {
        "sequence": Decimal(row["sequence"]),
        "side": side_name(row["side"]),
        "conditions": [] if condition is None else [condition],
        "vendor_data": vendor_data,
        "via": VIA_NAMES[row["via"]],
        OUTAGES_COLUMN: row.get(OUTAGES_COLUMN),
        KIND_COLUMN: row.get(KIND_COLUMN),
        SHARDS_COLUMN: row.get(SHARDS_COLUMN),
    }


def _message(record: Any) -> TradeMessage:  # noqa: ANN401 - its type is the writer's schema
    if not isinstance(record, dict):
        raise TypeError("the message holds no record")
    amounts = {name: f"{record[name]:f}" for name in ("price", "quantity", "quote_volume")}
    times = {
        name: (record[name] - _EPOCH) // timedelta(microseconds=1)
        for name in ("timestamp", "received_at")
    }
    sequence = {"sequence": int(record["sequence"])}
    outages = {OUTAGES_COLUMN: [(began, ended) for began, ended in record[OUTAGES_COLUMN] or ()]}
    fields = record | amounts | times | sequence | outages
    return check_message(fields)
