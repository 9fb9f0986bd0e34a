"""Merging of sorted files: all rows in order, whatever the files hold."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.io.pyarrow import PyArrowFileIO

from candlewax.cold.maintenance import merged_rows
from candlewax.cold.maintenance.merged_rows import read_in_order
from candlewax.cold.parquet_files import ArchiveError

SCHEMA = pa.schema(
    {
        "market": pa.string(),
        "time": pa.timestamp("us", "UTC"),
        "number": pa.int64(),
        "tags": pa.list_(pa.string()),
    }
)
Row = tuple[str, datetime, int]


def write(folder: Path, files: list[list[Row]]) -> list[str]:
    paths = []
    for place, rows in enumerate(files):
        path = folder / f"{place}.parquet"
        table = pa.Table.from_pylist(
            [
                {"market": market, "time": time, "number": number, "tags": [market]}
                for market, time, number in sorted(rows)
            ],
            schema=SCHEMA,
        )
        pq.write_table(table, path, row_group_size=7, write_page_checksum=True)
        paths.append(str(path))
    return paths


def read(paths: list[str], schema: pa.Schema = SCHEMA) -> pa.Table:
    batches = read_in_order(PyArrowFileIO(), paths, schema, ("market", "time", "number"))
    return pa.Table.from_batches(batches, schema)


def moment(second: int) -> datetime:
    return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=second)


@pytest.mark.parametrize("seed", range(10))
def test_rows_of_any_files_come_in_order(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small batches; files of one hour, of several, with equal keys, or empty."""
    monkeypatch.setattr(merged_rows, "BATCH_ROWS", 5)
    random = Random(seed)
    files: list[list[Row]] = [
        [
            (random.choice("aäzZ€"), moment(random.randrange(spread)), random.randrange(3))
            for _ in range(random.randrange(40))
        ]
        for spread in (1, 10, 10, 1000, 1000)
    ]
    found = read(write(tmp_path, files))
    rows = [(row["market"], row["time"], row["number"]) for row in found.to_pylist()]
    assert rows == sorted(row for file in files for row in file)
    assert all(row["tags"] == [row["market"]] for row in found.to_pylist())


def test_hours_one_after_the_other_are_passed_on_in_long_runs(tmp_path: Path) -> None:
    files = [
        [(market, moment(hour * 3600 + n), n) for market in "ab" for n in range(100)]
        for hour in range(4)
    ]
    paths = write(tmp_path, files)
    batches = read_in_order(PyArrowFileIO(), paths, SCHEMA, ("market", "time", "number"))
    # Each market of each file.
    assert [batch.num_rows for batch in batches if batch.num_rows] == [100] * 8


def test_column_that_a_file_lacks_is_null(tmp_path: Path) -> None:
    paths = write(tmp_path, [[("a", moment(0), 1)]])
    schema = SCHEMA.append(pa.field("later", pa.decimal128(38, 12)))
    assert read(paths, schema)["later"].to_pylist() == [None]


def test_damaged_page_is_an_error(tmp_path: Path) -> None:
    (path,) = write(tmp_path, [[("a", moment(n), n) for n in range(5)]])
    chunk = pq.read_metadata(path).row_group(0).column(2)
    content = bytearray(Path(path).read_bytes())
    content[chunk.data_page_offset + chunk.total_compressed_size - 60] ^= 0xFF
    Path(path).write_bytes(content)
    with pytest.raises(ArchiveError, match="cannot be read"):
        read([path])


def test_no_files_have_no_rows() -> None:
    assert read([]).num_rows == 0
