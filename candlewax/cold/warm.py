"""Warm tables of ClickHouse: which units changed, their measures, and their rows."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import polars as pl
import pyarrow as pa

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.record_stream import RecordReader
from candlewax.cold import relations
from candlewax.cold.layers import HOUR, LAYERS, Layer
from candlewax.cold.units import EPOCH, FAR, NOTHING, Measure, Unit

_WATERMARKS: Final = """
SELECT exchange, max(watermark) AS watermark
FROM
(
    SELECT exchange, shards, min(watermark) AS watermark, count() AS known
    FROM watermarks FINAL
    GROUP BY exchange, shards
)
WHERE known >= shards
GROUP BY exchange
"""

_OPEN_GAPS: Final = """
SELECT exchange, toDateTime64(before, 6, 'UTC') AS begin, toDateTime64(after, 6, 'UTC') AS end
FROM gaps FINAL
WHERE state IN ('open', 'repairing') AND exchange IN {exchanges:Array(String)}
    AND before < {end:DateTime('UTC')} AND after >= {begin:DateTime('UTC')}
"""


class ChangedUnit(NamedTuple):
    """A unit with rows stored since the mark, and when the first and last were stored."""

    unit: Unit
    first_stored: datetime
    last_stored: datetime


class WarmTables:
    """Reader of the warm tables of a database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reader = RecordReader(database)
        self._types: dict[str, relations.Types] = {}

    def close(self) -> None:
        """Close the connection over which rows are streamed."""
        self._reader.close()

    def types(self, layer: Layer) -> relations.Types:
        """Return the ClickHouse types of the columns of a layer's warm table."""
        if layer.name not in self._types:
            self._types[layer.name] = relations.read_types(self._database, layer)
        return self._types[layer.name]

    def now(self) -> datetime:
        """Return the time of the clock by which rows are stored."""
        return _in_utc(self._database.query("SELECT now64(6, 'UTC') AS now")["now"][0])

    def watermarks(self) -> dict[str, datetime]:
        """Return the watermark of each exchange; of several shards the earliest."""
        return {
            str(exchange): _in_utc(watermark)
            for exchange, watermark in self._database.query(_WATERMARKS).iter_rows()
        }

    def prepare(self, layer: Layer) -> None:
        """Add the index that finds recently stored rows without reading the whole table."""
        if layer.source != layer.changed_in or not layer.changed:
            return
        known = self._database.query(
            "SELECT name FROM system.data_skipping_indices WHERE database = currentDatabase() "
            "AND table = {table:String} AND expr = {column:String}",
            {"table": layer.source, "column": layer.changed},
        )
        if known.is_empty():
            self._database.command(
                f"ALTER TABLE {layer.source} ADD INDEX IF NOT EXISTS by_{layer.changed} "
                f"{layer.changed} TYPE minmax GRANULARITY 1"
            )
            self._database.command(
                f"ALTER TABLE {layer.source} MATERIALIZE INDEX by_{layer.changed}"
            )

    def changed_units(self, layer: Layer, mark: datetime) -> list[ChangedUnit]:
        """Return the units of a layer with rows stored at or after the mark.

        All units of a layer whose rows show no time of storing.
        """
        if layer.changed is None:
            exchanges = self._database.query(f"SELECT DISTINCT exchange FROM {layer.source}")
            return [
                ChangedUnit(Unit(layer.name, str(exchange), EPOCH), EPOCH, FAR)
                for exchange in sorted(exchanges["exchange"])
            ]
        start = "toStartOfHour" if layer.span == HOUR else "toStartOfDay"
        condition = layer.condition if layer.source == layer.changed_in else "kind = 'trade'"
        if layer.exchanges:
            condition += " AND exchange IN {exchanges:Array(String)}"
        rows = self._database.query(
            f"SELECT toString(exchange) AS exchange, "
            f"toUnixTimestamp({start}({layer.time})) AS begin, "
            f"toDateTime64(min({layer.changed}), 6, 'UTC') AS first_stored, "
            f"toDateTime64(max({layer.changed}), 6, 'UTC') AS last_stored FROM {layer.changed_in} "
            f"WHERE {layer.changed} >= {{mark:DateTime64(6, 'UTC')}} AND {condition} "
            "GROUP BY exchange, begin ORDER BY begin, exchange",
            {"mark": f"{mark:%Y-%m-%d %H:%M:%S.%f}", "exchanges": list(layer.exchanges)},
        )
        return [
            ChangedUnit(
                Unit(layer.name, exchange, _from_seconds(begin)), _in_utc(first), _in_utc(last)
            )
            for exchange, begin, first, last in rows.iter_rows()
        ]

    def measure(self, units: Iterable[Unit], rows: str | None = None) -> dict[Unit, Measure]:
        """Return the measures of units of one layer; of absent ones NOTHING.

        `rows` is the SELECT of their rows; the warm rows by default.
        """
        chosen = list(units)
        layer = LAYERS[chosen[0].layer]
        found = measure(self._database, layer, chosen, rows or relations.warm_rows(layer))
        return {unit: found.get(unit, NOTHING) for unit in chosen}

    def stream(self, unit: Unit, rows: str | None = None) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a unit in the order of its layer."""
        layer = LAYERS[unit.layer]
        sql = relations.stream_sql(layer, rows or relations.warm_rows(layer))
        found = relations.parameters([unit])
        return self._reader.stream(sql, found)

    def unsettled(self, units: Iterable[Unit]) -> set[Unit]:
        """Return the units in which a gap is open or being repaired."""
        chosen = [unit for unit in units if LAYERS[unit.layer].namespace in {"silver", "gold"}]
        if not chosen:
            return set()
        gaps = self._database.query(_OPEN_GAPS, relations.parameters(chosen)).rows()
        return {
            unit
            for unit in chosen
            if any(
                exchange == unit.exchange
                and _in_utc(begin) < unit.end
                and _in_utc(end) >= unit.begin
                for exchange, begin, end in gaps
            )
        }


def measure(
    database: Database, layer: Layer, units: Iterable[Unit], rows: str
) -> dict[Unit, Measure]:
    """Return the measures of the rows of a SELECT in the span and exchanges of the units."""
    found: pl.DataFrame = database.query(
        relations.measure_sql(layer, rows), relations.parameters(units)
    )
    return {
        Unit(layer.name, exchange, _from_seconds(begin)): Measure(count, content, int(clocks))
        for exchange, begin, count, content, clocks in found.iter_rows()
    }


def _from_seconds(seconds: int) -> datetime:
    return EPOCH + timedelta(seconds=int(seconds))


def _in_utc(time: datetime) -> datetime:
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
