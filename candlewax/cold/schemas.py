"""Iceberg schemas of the layers, their Arrow forms, and their DDL as text."""

from typing import Any, Final

import pyarrow as pa
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.sorting import SortField, SortOrder
from pyiceberg.transforms import DayTransform, IdentityTransform, MonthTransform, Transform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DecimalType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    MapType,
    NestedField,
    StringType,
    TimestamptzType,
)

from candlewax.cold.columns import Column
from candlewax.cold.layers import LAYERS, SCHEMA_VERSION, Layer

_PLAIN: Final[dict[str, IcebergType]] = {
    "string": StringType(),
    "binary": BinaryType(),
    "int": IntegerType(),
    "long": LongType(),
    "boolean": BooleanType(),
    "timestamptz": TimestamptzType(),
    "decimal(38,12)": DecimalType(38, 12),
    "decimal(38,18)": DecimalType(38, 18),
}

_FIRST_NESTED_ID: Final = 1001
"""Field id of the first element of a list or map. The catalog assigns ids of its own."""

_TRANSFORMS: Final[dict[str, Transform[Any, Any]]] = {
    "day": DayTransform(),
    "month": MonthTransform(),
}

PROPERTIES: Final = {
    "format-version": "2",
    # A conflict is planned again from the new state. A retry that merges adds rows twice.
    "commit.retry.num-retries": "0",
    "write.update.isolation-level": "serializable",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "candlewax.schema-version": str(SCHEMA_VERSION),
}
"""Properties of every table."""


def iceberg_schema(layer: Layer) -> Schema:
    """Return the schema of a layer, with field ids by position."""
    nested_ids = iter(range(_FIRST_NESTED_ID, _FIRST_NESTED_ID + 100))
    fields = []
    for place, column in enumerate(layer.columns, 1):
        kind: IcebergType
        if column.type == "list<string>":
            kind = ListType(next(nested_ids), StringType(), element_required=True)
        elif column.type == "map<string,string>":
            kind = MapType(
                next(nested_ids), StringType(), next(nested_ids), StringType(), value_required=True
            )
        else:
            kind = _PLAIN[column.type]
        fields.append(NestedField(place, column.name, kind, required=column.is_required))
    return Schema(*fields)


def partition_spec(layer: Layer, schema: Schema) -> PartitionSpec:
    """Return the partitions of a layer: by day or month of its time, and by exchange."""
    exchange = PartitionField(
        schema.find_field("exchange").field_id, 1001, IdentityTransform(), "exchange"
    )
    if layer.time is None or layer.partition is None:
        return PartitionSpec(exchange)
    time = PartitionField(
        schema.find_field(layer.time).field_id, 1000, _TRANSFORMS[layer.partition], layer.partition
    )
    return PartitionSpec(time, exchange)


def sort_order(layer: Layer, schema: Schema) -> SortOrder:
    """Return the order of the rows of each file of a layer."""
    return SortOrder(*(SortField(schema.find_field(name).field_id) for name in layer.sort))


def arrow_schema(schema: Schema) -> pa.Schema:
    """Return the Arrow schema of a table's files, with the field ids of the table."""
    return schema_to_pyarrow(schema, include_field_ids=True)


def leaf_path(column: Column) -> tuple[str, ...]:
    """Return the paths of a column's leaves in a Parquet file."""
    if column.type == "list<string>":
        return (f"{column.name}.list.element",)
    if column.type == "map<string,string>":
        return (f"{column.name}.key_value.key", f"{column.name}.key_value.value")
    return (column.name,)


def ddl_text() -> str:
    """Return the DDL of all layers, in the SQL of Spark."""
    return "\n\n".join(_table_ddl(layer) for layer in LAYERS.values())


def _table_ddl(layer: Layer) -> str:
    width = max(len(column.name) for column in layer.columns)
    columns = ",\n".join(
        f"    {column.name:<{width}} {_spark_type(column.type)}{' NOT NULL' * column.is_required}"
        for column in layer.columns
    )
    parts = [f"{layer.partition}s({layer.time})"] if layer.time and layer.partition else []
    properties = ",\n".join(f"    '{name}' = '{value}'" for name, value in PROPERTIES.items())
    return (
        f"-- From {layer.source}, each file sorted by {', '.join(layer.sort)}.\n"
        f"CREATE TABLE {layer.name} (\n{columns}\n)\nUSING iceberg\n"
        f"PARTITIONED BY ({', '.join([*parts, 'exchange'])})\n"
        f"TBLPROPERTIES (\n{properties}\n);"
    )


def _spark_type(text: str) -> str:
    names = {"long": "BIGINT", "timestamptz": "TIMESTAMP", "list<string>": "ARRAY<STRING>"}
    return names.get(text, text.upper())
