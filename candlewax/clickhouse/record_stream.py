"""Results of large queries as a stream of Arrow record batches, whatever their size."""

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any, Final

import pyarrow as pa
from clickhouse_connect.driver.binding import format_str
from clickhouse_connect.driver.exceptions import DatabaseError as ClientError

from candlewax.clickhouse import engine
from candlewax.clickhouse.client import Database

BATCH_ROWS: Final = 65_536

_SETTINGS: Final = {
    "output_format_arrow_string_as_string": 0,
    "output_format_arrow_low_cardinality_as_dictionary": 0,
    "output_format_arrow_compression_method": "none",
    "max_block_size": BATCH_ROWS,
    "max_bytes_before_external_sort": 200 << 20,
    "max_threads": 1,
}
"""Settings of a streamed query. Strings come as bytes, as frames need not be UTF-8."""


def stream_batches(
    database: Database, sql: str, parameters: Mapping[str, Any]
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a query. Strings are binary columns.

    An embedded database is read over a connection of its own, so that others may go on using
    `database` meanwhile. Raises the DatabaseError of clickhouse-connect.
    """
    clause = ", ".join(f"{name} = '{value}'" for name, value in _SETTINGS.items())
    if database.folder is None:
        with database.client.query_arrow_stream(
            f"{sql} SETTINGS {clause}", dict(parameters), use_strings=False
        ) as tables:
            for table in tables:
                yield from table.to_batches() if isinstance(table, pa.Table) else [table]
        return
    with closing(engine.connect(str(database.folder.resolve()))) as connection:
        try:
            connection.query(f"USE {database.client.database}")
            result = connection.send_query(
                f"{sql} SETTINGS {clause}", "Arrow", params=_as_texts(parameters)
            )
            yield from result.record_batch(rows_per_batch=BATCH_ROWS)
        except RuntimeError as error:
            raise ClientError(str(error)) from error


def _as_texts(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return parameters as the engine parses them: a list as an array of strings."""
    return {
        name: f"[{', '.join(map(format_str, value))}]" if isinstance(value, list) else str(value)
        for name, value in parameters.items()
    }
