"""A table of trades by PyIceberg alone: nothing of the program under test."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog
from pyiceberg.io.pyarrow import parquet_file_to_data_file, schema_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import DayTransform, IdentityTransform
from pyiceberg.types import DecimalType, NestedField, StringType, TimestamptzType

NAME: Final = ("silver", "trades")
SCHEMA: Final = Schema(
    NestedField(1, "exchange", StringType(), required=True),
    NestedField(2, "timestamp", TimestamptzType(), required=True),
    NestedField(3, "price", DecimalType(38, 12), required=True),
)
SPEC: Final = PartitionSpec(
    PartitionField(2, 1000, DayTransform(), "timestamp_day"),
    PartitionField(1, 1001, IdentityTransform(), "exchange"),
)
NOON: Final = datetime(2026, 1, 2, 12, tzinfo=UTC)


def rows(exchange: str, count: int) -> list[dict[str, Any]]:
    """Trades of one exchange and one day, with prices of all twelve places."""
    return [
        {
            "exchange": exchange,
            "timestamp": NOON + timedelta(seconds=number, microseconds=1),
            "price": Decimal(number) + Decimal("0.000000000001"),
        }
        for number in range(count)
    ]


def create(catalog: Catalog) -> Table:
    """Create the table in an empty catalog."""
    catalog.create_namespace(NAME[0])
    properties = {"commit.retry.num-retries": "0"}
    return catalog.create_table(NAME, SCHEMA, partition_spec=SPEC, properties=properties)


def write(table: Table, content: Sequence[dict[str, Any]]) -> DataFile:
    """Write a Parquet file that no snapshot has yet; its rows lie in one partition."""
    schema = schema_to_pyarrow(table.schema(), include_field_ids=True)
    path = f"{table.location()}/data/{uuid4()}.parquet"
    with table.io.new_output(path).create() as out:
        pq.write_table(pa.Table.from_pylist(content, schema=schema), out, store_schema=False)
    return parquet_file_to_data_file(table.io, table.metadata, path)


def swap(table: Table, new: DataFile, old: Sequence[DataFile] = ()) -> None:
    """Commit a file, in place of old ones, as one snapshot.

    PyIceberg only knows the partition spec of files that a scan has planned: see `committed`.
    """
    with table.transaction() as change, change.update_snapshot().overwrite() as files:
        for file in old:
            files.delete_data_file(file)
        files.append_data_file(new)


def committed(table: Table) -> list[DataFile]:
    """Return the files of the current snapshot."""
    return [task.file for task in table.scan().plan_files()]
