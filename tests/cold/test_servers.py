"""The servers of the cold tier's tests, seen by plain PyIceberg, Polars and ClickHouse."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException, ValidationException
from pyiceberg.io.pyarrow import parquet_file_to_data_file, schema_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.transforms import DayTransform, IdentityTransform
from pyiceberg.types import DecimalType, NestedField, StringType, TimestamptzType

from tests.support.cold.object_store import ObjectStore
from tests.support.cold.places import Place
from tests.support.cold.rest_catalog import RestCatalogAddress

pytestmark = pytest.mark.slow("an object store, a REST catalog and Postgres", seconds=15)

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
    catalog.create_namespace(NAME[0])
    properties = {"commit.retry.num-retries": "0"}
    return catalog.create_table(NAME, SCHEMA, partition_spec=SPEC, properties=properties)


def write(table: Table, content: Sequence[dict[str, Any]]) -> DataFile:
    """Write a Parquet file that no snapshot has yet."""
    schema = schema_to_pyarrow(table.schema(), include_field_ids=True)
    path = f"{table.location()}/data/{uuid4()}.parquet"
    with table.io.new_output(path).create() as out:
        pq.write_table(pa.Table.from_pylist(content, schema=schema), out, store_schema=False)
    return parquet_file_to_data_file(table.io, table.metadata, path)


def swap(table: Table, new: DataFile, old: Sequence[DataFile] = ()) -> None:
    """Commit a file, in place of old ones, as one snapshot."""
    with table.transaction() as change, change.update_snapshot().overwrite() as files:
        for file in old:
            files.delete_data_file(file)
        files.append_data_file(new)


def committed(table: Table) -> list[DataFile]:
    return [task.file for task in table.scan().plan_files()]


def ask(statement: str, folder: Path, **environ: str) -> list[list[str]]:
    """Return what ClickHouse answers in a process of its own: it reads below its folder only."""
    program = "import sys, chdb; print(chdb.query(sys.argv[1], 'CSV'), end='')"
    answer = subprocess.run(
        [sys.executable, "-c", program, statement],
        cwd=folder,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    return list(csv.reader(answer.stdout.splitlines()))


def source(table: Table, place: Place) -> tuple[str, dict[str, str]]:
    """Return the committed table as a function of ClickHouse, and the environment for its keys."""
    location = table.location().removeprefix("file://")
    metadata = table.metadata_location.rpartition(table.location() + "/")[2]
    pinned = f"SETTINGS iceberg_metadata_file_path = '{metadata}'"
    if place.store is None:
        return f"icebergLocal('{location}/', {pinned})", {}
    address = f"{place.store.endpoint}/{location.removeprefix('s3://')}/"
    keys = {"AWS_ACCESS_KEY_ID": place.store.key, "AWS_SECRET_ACCESS_KEY": place.store.secret}
    return f"icebergS3('{address}', {pinned})", keys


def read_by_clickhouse(place: Place, table: Table, folder: Path) -> tuple[int, Decimal]:
    function, keys = source(table, place)
    ((count, total),) = ask(f"SELECT count(), toString(sum(price)) FROM {function}", folder, **keys)
    return int(count), Decimal(total)


def read_by_polars(place: Place, table: Table, _folder: Path) -> tuple[int, Decimal]:
    options = place.store.polars_options if place.store else None
    scan = pl.scan_iceberg(table, reader_override="native", storage_options=options)
    prices = scan.collect()["price"].to_list()
    return len(prices), sum(prices, Decimal())


READERS: Final = (read_by_polars, read_by_clickhouse)


@pytest.mark.parametrize("read", READERS)
def test_committed_rows_are_read_and_others_are_not(
    place: Place, tmp_path: Path, read: Callable[[Place, Table, Path], tuple[int, Decimal]]
) -> None:
    """By another reader than the one that wrote, through the catalog's metadata."""
    catalog = place.open()
    table = create(catalog)
    kraken, coinbase = rows("kraken", 100), rows("coinbase", 50)
    swap(table, write(table, kraken))
    swap(table, write(table, coinbase))
    write(table, rows("kraken", 7))
    again = place.open().load_table(NAME)
    expected = sum((row["price"] for row in kraken + coinbase), Decimal())
    assert read(place, again, tmp_path) == (150, expected)


def test_racer_with_the_same_base_is_refused(place: Place) -> None:
    """Whether it replaces the same file or only adds one to the same partition."""
    table = create(place.open())
    swap(table, write(table, rows("kraken", 10)))
    racer = place.open().load_table(NAME)
    content = rows("kraken", 20)
    swap(table, write(table, content), committed(table))
    for old in (committed(racer), []):
        with pytest.raises((CommitFailedException, ValidationException)):
            swap(racer, write(racer, rows("kraken", 30)), old)
    assert len(place.open().load_table(NAME).scan().to_arrow()) == len(content)


def test_store_refuses_a_wrong_secret(object_store: ObjectStore) -> None:
    """Signatures are checked."""
    with pytest.raises(OSError, match=r"(?i)access|denied|forbidden|signature"):
        ObjectStore(
            object_store.endpoint, object_store.key, "another", object_store.bucket
        ).open().open_output_stream(f"{object_store.bucket}/refused").close()


def test_addresses_of_outside_servers_are_read() -> None:
    """In the form that CANDLEWAX_TEST_S3 and CANDLEWAX_TEST_REST take."""
    store = ObjectStore("http://127.0.0.1:8333", "k/e:y", "s@cr/t?", "cold", "eu-west-3")
    assert ObjectStore.parse(store.address) == store
    assert RestCatalogAddress.parse(
        "http://k%2Fey:s%40cret@127.0.0.1:8181/catalog?warehouse=s3%3A%2F%2Fcold%2F&scope=all"
    ) == RestCatalogAddress(
        "http://127.0.0.1:8181/catalog", "k/ey:s@cret", "s3://cold/", {"scope": "all"}
    )
    for address in ("127.0.0.1:8333", "http://127.0.0.1:8333/cold", "http://k:s@127.0.0.1:8333"):
        with pytest.raises(ValueError, match="KEY:SECRET"):
            ObjectStore.parse(address)
