"""SQL of the rows of units, warm and cold, in the same types, and of their measures.

Every statement takes the parameters `exchanges`, `begin` and `end`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from clickhouse_connect.driver.binding import format_str

from candlewax.clickhouse.client import Database
from candlewax.cold.columns import Column
from candlewax.cold.layers import HOUR, Layer
from candlewax.cold.units import EPOCH, FAR, Unit

Types = Mapping[str, str]
"""ClickHouse types of the columns of a warm table, by name."""

_TYPES: Final = """
SELECT name, type FROM system.columns
WHERE database = currentDatabase() AND table = {table:String} AND default_kind != 'MATERIALIZED'
ORDER BY position
"""


def read_types(database: Database, layer: Layer) -> Types:
    """Return the types of the columns of a layer's warm table or view."""
    rows = database.query(_TYPES, {"table": layer.source})
    return {
        name: re.sub(r"^SimpleAggregateFunction\(\w+, (.*)\)$", r"\1", kind)
        for name, kind in rows.iter_rows()
    }


def parameters(units: Iterable[Unit]) -> dict[str, Any]:
    """Return the parameters that select the units, and rows between them, of their exchanges."""
    chosen = list(units)
    return {
        "exchanges": sorted({unit.exchange for unit in chosen}),
        "begin": f"{min((unit.begin for unit in chosen), default=EPOCH):%Y-%m-%d %H:%M:%S}",
        "end": f"{max((unit.end for unit in chosen), default=FAR):%Y-%m-%d %H:%M:%S}",
    }


def warm_rows(layer: Layer) -> str:
    """Return the SELECT of warm rows."""
    columns = ", ".join(f"r.{name} AS {name}" for name in layer.column_names)
    final = " FINAL" if layer.is_table else ""
    return (
        f"SELECT {columns} FROM {layer.source} AS r{final} "
        f"WHERE {_selection(layer)} AND {layer.condition}"
    )


def cold_rows(layer: Layer, types: Types, iceberg: str) -> str:
    """Return the SELECT of the rows of an Iceberg table, in the types of the warm table."""
    return f"SELECT {cold_columns(types)} FROM {iceberg} AS r WHERE {_selection(layer)}"


def cold_columns(types: Types) -> str:
    """Return the columns of an Iceberg table `r`, cast to the types of the warm table.

    ClickHouse leaves out files by their partitions and bounds through these casts.
    """
    return ", ".join(f"CAST(r.{name}, {format_str(types[name])}) AS {name}" for name in types)


def merged_rows(layer: Layer, types: Types, iceberg: str) -> str:
    """Return the SELECT of warm and cold rows, of each key the one that counts."""
    key = ", ".join(layer.key)
    names = ", ".join(layer.column_names)
    warm, cold = warm_rows(layer), cold_rows(layer, types, iceberg)
    is_not_outranked = is_outranked = ""
    if layer.rank:
        outranked = outranked_keys(layer, warm, cold)
        is_not_outranked = f" WHERE ({key}) NOT IN ({outranked})"
        is_outranked = f" OR ({key}) IN ({outranked})"
    return (
        f"SELECT {names} FROM ({warm}){is_not_outranked} UNION ALL "
        f"SELECT {names} FROM ({cold}) "
        f"WHERE ({key}) NOT IN (SELECT {key} FROM ({warm})){is_outranked}"
    )


def outranked_keys(layer: Layer, warm: str, cold: str) -> str:
    """Return the SELECT of the keys of warm rows that give way to the cold ones."""
    key = ", ".join(layer.key)
    return (
        f"SELECT {key} FROM ("
        f"SELECT {key}, {layer.rank} AS place, 0 AS is_cold FROM ({warm}) UNION ALL "
        f"SELECT {key}, {layer.rank} AS place, 1 AS is_cold FROM ({cold}) "
        f"WHERE ({key}) IN (SELECT {key} FROM ({warm}))) GROUP BY {key} "
        "HAVING max(is_cold) = 1 AND maxIf(place, is_cold = 1) > maxIf(place, is_cold = 0)"
    )


def measure_sql(layer: Layer, rows: str) -> str:
    """Return the statement that measures units.

    Its columns: exchange, begin (seconds since 1970), rows, content, clocks.
    """
    low, high = content_hashes(layer)
    return (
        f"SELECT toString(exchange) AS exchange, {_bucket(layer)} AS begin, count() AS rows, "
        "lower(concat(leftPad(hex(sum(content_high)), 16, '0'), "
        "leftPad(hex(sum(content_low)), 16, '0'))) AS content, toString(sum(clocks)) AS clocks "
        f"FROM (SELECT exchange, {layer.time or '0'} AS at, "
        f"{low} AS content_low, {high} AS content_high, {_clocks(layer)} AS clocks "
        f"FROM ({rows})) GROUP BY exchange, begin"
    )


def cold_only_sql(layer: Layer, types: Types, iceberg: str) -> str:
    """Return the statement that counts cold rows whose keys are not warm.

    Its columns: exchange, begin (seconds since 1970), rows.
    """
    key = ", ".join(layer.key)
    return (
        f"SELECT toString(exchange) AS exchange, {_bucket(layer)} AS begin, count() AS rows "
        f"FROM (SELECT exchange, {layer.time or '0'} AS at "
        f"FROM ({cold_rows(layer, types, iceberg)}) "
        f"WHERE ({key}) NOT IN (SELECT {key} FROM ({warm_rows(layer)}))) GROUP BY exchange, begin"
    )


def bind(sql: str, units: Iterable[Unit]) -> str:
    """Return a statement with the parameters of the units as text."""
    found = parameters(units)
    names = ", ".join(map(format_str, found["exchanges"]))
    return (
        sql.replace("{exchanges:Array(String)}", f"[{names}]")
        .replace("{begin:DateTime('UTC')}", f"toDateTime({format_str(found['begin'])}, 'UTC')")
        .replace("{end:DateTime('UTC')}", f"toDateTime({format_str(found['end'])}, 'UTC')")
    )


MEASURED: Final = ("content_low", "content_high", "clocks_sum")
"""Columns behind those of the layer in a stream: both hashes of the row, and its clocks."""


def stream_sql(layer: Layer, rows: str) -> str:
    """Return the statement that yields rows for Arrow, and MEASURED, in the order of the layer."""
    columns = [f"{_for_arrow(column)} AS {column.name}" for column in layer.columns]
    measured = (*content_hashes(layer, "s."), f"toUInt64({_clocks(layer, 's.')})")
    columns += [f"{text} AS {name}" for text, name in zip(measured, MEASURED, strict=True)]
    order = ", ".join(f"s.{name}" for name in layer.sort)
    return f"SELECT {', '.join(columns)} FROM ({rows}) AS s ORDER BY {order}"


def content_hashes(layer: Layer, prefix: str = "") -> tuple[str, str]:
    """Return two independent hashes of 64 bits of a row's content, without our clocks."""
    columns = (column for column in layer.columns if column.name not in layer.clocks)
    arguments = ", ".join(_hashed(column, prefix) for column in columns)
    return f"cityHash64({arguments})", f"xxh3({arguments})"


def _clocks(layer: Layer, prefix: str = "") -> str:
    times = (f"toInt128(toUnixTimestamp64Micro({prefix}{name}))" for name in layer.clocks)
    return " + ".join(times) or "toInt128(0)"


def _selection(layer: Layer) -> str:
    selection = "r.exchange IN {exchanges:Array(String)}"
    if layer.time:
        selection += (
            f" AND r.{layer.time} >= {{begin:DateTime('UTC')}}"
            f" AND r.{layer.time} < {{end:DateTime('UTC')}}"
        )
    return selection


def _bucket(layer: Layer) -> str:
    if layer.span is None:
        return "toUInt32(0)"
    start = "toStartOfHour" if layer.span == HOUR else "toStartOfDay"
    return f"toUnixTimestamp({start}(at))"


def _hashed(column: Column, prefix: str) -> str:
    name = prefix + column.name
    if column.type.startswith("map"):
        return f"mapSort({name})"
    return name if column.is_required else f"ifNull({name}, '\\0')"


def _for_arrow(column: Column) -> str:
    name = f"s.{column.name}"
    casts = {
        "string": "String" if column.is_required else "Nullable(String)",
        "list<string>": "Array(String)",
        "map<string,string>": "Map(String, String)",
    }
    if column.type == "timestamptz":
        return f"toDateTime64({name}, 6, 'UTC')"
    return f"CAST({name}, '{casts[column.type]}')" if column.type in casts else name
