"""Columns of the archive and of ClickHouse: one added to one and not to the other fails here."""

import re

import pytest

from candlewax.clickhouse.client import Database
from candlewax.cold import relations, schemas
from candlewax.cold.layers import LAYERS, Layer

TYPES = {
    "String": "string", "Bool": "boolean", "UInt8": "boolean", "UInt16": "int", "UInt32": "long",
    "UInt64": "long", "DateTime": "timestamptz", "DateTime64": "timestamptz",
    "Array(String)": "list<string>", "Map(String, String)": "map<string,string>",
    "Nullable(String)": "string", "Decimal(38, 12)": "decimal(38,12)",
    "Decimal(38, 18)": "decimal(38,18)", "Enum8": "string",
}  # fmt: skip
"""Iceberg types by the ClickHouse types that they hold without loss."""

FRAMES = {"frame": "binary"}
"""Columns that hold bytes as they were received, which need not be UTF-8."""


def iceberg_type(name: str, clickhouse: str) -> str:
    plain = re.sub(r"LowCardinality\((\w+)\)", r"\1", clickhouse)
    short = (
        plain
        if plain.startswith(("Decimal", "Array", "Map", "Nullable"))
        else plain.partition("(")[0]
    )
    return FRAMES.get(name) or TYPES[short]


@pytest.mark.parametrize("layer", LAYERS.values(), ids=list(LAYERS))
def test_layer_has_the_columns_of_its_warm_table(tables: Database, layer: Layer) -> None:
    types = relations.read_types(tables, layer)
    assert [(column.name, column.type, column.is_required) for column in layer.columns] == [
        (name, iceberg_type(name, kind), not kind.startswith("Nullable"))
        for name, kind in types.items()
    ]


def test_every_table_of_the_pipeline_has_a_layer(tables: Database) -> None:
    stored = tables.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() "
        "AND engine LIKE '%MergeTree' AND name NOT LIKE '.%' AND name NOT LIKE 'cold\\_%'"
    )["name"]
    own = {
        "database_kind", "cross_checks", "reconciliations", "ohlcv_check", "missing_range_check",
        "bars", "instruments", "subscriptions",
    }  # fmt: skip
    """The mark of the database, results of checks, bars, and the markets' facts."""
    assert set(stored) - own == {layer.source for layer in LAYERS.values() if layer.is_table}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=list(LAYERS))
def test_ddl_names_every_column(layer: Layer) -> None:
    text = schemas.ddl_text()
    table = text[text.index(f"CREATE TABLE {layer.name} (") :].partition("USING iceberg")[0]
    assert [line.split()[0] for line in table.splitlines()[1:-1]] == list(layer.column_names)
