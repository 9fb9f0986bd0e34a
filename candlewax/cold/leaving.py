"""Partitions of warm tables, and the table through which a partition leaves.

A partition is moved at once into a table of its own, `..._leaving`. Rows that arrive a moment later
land in the warm table.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.retention import remove_ttl
from candlewax.cold.layers import Layer
from candlewax.cold.units import EPOCH, Unit
from candlewax.runtime.times import parse_time_or_utc


class Partition(NamedTuple):
    """Partition of a warm table, a day or a month, and its size in bytes."""

    id: str
    begin: datetime
    end: datetime
    bytes: int


class LeavingTable:
    """Warm table of a layer, and the table through which its partitions leave."""

    def __init__(self, database: Database, layer: Layer) -> None:
        self._database = database
        self._layer = layer
        self._table = layer.source
        self.name = f"{layer.source}_leaving"

    @property
    def layer(self) -> Layer:
        """The layer with the leaving rows as its source."""
        return replace(self._layer, source=self.name)

    def warm_partitions(self) -> list[Partition]:
        """Return the partitions of the warm table, the oldest first."""
        return self._partitions(self._table)

    def leaving_partitions(self) -> list[Partition]:
        """Return the partitions that are leaving, the oldest first."""
        return self._partitions(self.name)

    def _partitions(self, table: str) -> list[Partition]:
        rows = self._database.query(
            "SELECT partition_id, sum(bytes_on_disk) AS bytes FROM system.parts "
            "WHERE database = currentDatabase() AND table = {table:String} AND active AND rows > 0 "
            "GROUP BY partition_id ORDER BY partition_id",
            {"table": table},
        )
        return [_parse_partition(str(name), size) for name, size in rows.iter_rows()]

    def newest(self, partition: Partition, *, is_leaving: bool = False) -> datetime:
        """Return when the last row of a partition was stored; 1970 if it has none."""
        table = self.name if is_leaving else self._table
        (newest,) = self._database.query(
            f"SELECT toUnixTimestamp64Micro(max({self._layer.changed})) AS newest FROM {table} "
            f"WHERE _partition_id = {{id:String}}",
            {"id": partition.id},
        )["newest"]
        return EPOCH + timedelta(microseconds=newest)

    def units(self, partition: Partition, *, is_leaving: bool = False) -> set[Unit]:
        """Return the units with rows in a partition."""
        table = self.name if is_leaving else self._table
        rows = self._database.query(
            "SELECT DISTINCT toString(exchange) AS exchange, "
            f"toUnixTimestamp(toStartOfHour({self._layer.time})) AS begin FROM {table} "
            "WHERE _partition_id = {id:String}",
            {"id": partition.id},
        )
        return {
            Unit(self._layer.name, exchange, EPOCH + timedelta(seconds=int(begin)))
            for exchange, begin in rows.iter_rows()
        }

    def create(self) -> None:
        """Create the table of leaving rows: the same as the warm table, without TTL."""
        self._database.command(f"CREATE TABLE IF NOT EXISTS {self.name} AS {self._table}")
        remove_ttl(self._database, (self.name,))

    def move_out(self, partition: Partition) -> None:
        """Move a partition out of the warm table, at once."""
        self._move(partition, self._table, self.name)

    def move_back(self, partition: Partition) -> None:
        """Move a partition back into the warm table. Rows that came since stay the newest."""
        newest = self.newest(partition, is_leaving=True)
        # Of equal keys the row that was stored last counts, and a moved part counts as stored now.
        self._database.command(
            f"INSERT INTO {self.name} SELECT * FROM {self._table} "
            f"WHERE _partition_id = '{partition.id}' AND {self._layer.changed} > "
            f"fromUnixTimestamp64Micro({(newest - EPOCH) // timedelta(microseconds=1)}, 'UTC')"
        )
        self._move(partition, self.name, self._table)

    def _move(self, partition: Partition, source: str, target: str) -> None:
        self._database.command(
            f"ALTER TABLE {source} MOVE PARTITION ID '{partition.id}' TO TABLE {target}"
        )

    def drop(self, partition: Partition) -> None:
        """Drop the rows of a partition that left."""
        self._database.command(f"ALTER TABLE {self.name} DROP PARTITION ID '{partition.id}'")

    def remove(self) -> None:
        """Drop the table of leaving rows. It must be empty."""
        self._database.command(f"DROP TABLE IF EXISTS {self.name} SYNC")


def _parse_partition(name: str, size: int) -> Partition:
    if len(name) == len("20260101"):
        begin = parse_time_or_utc(f"{name[:4]}-{name[4:6]}-{name[6:]}")
        return Partition(name, begin, begin + timedelta(days=1), size)
    begin = parse_time_or_utc(f"{name[:4]}-{name[4:]}-01")
    return Partition(name, begin, (begin + timedelta(days=32)).replace(day=1), size)
