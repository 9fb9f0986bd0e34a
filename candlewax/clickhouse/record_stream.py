"""Results of large queries as a stream of Arrow record batches, whatever their size."""

from collections.abc import Iterator, Mapping
from pathlib import Path
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


class RecordReader:
    """Reader of large results from one database.

    An embedded database is read over a connection of its own, so that others may go on using
    `database` meanwhile. One thread at a time.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: Any = None

    def stream(self, sql: str, parameters: Mapping[str, Any]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a query. Strings are binary columns.

        Raises the DatabaseError of clickhouse-connect.
        """
        clause = ", ".join(f"{name} = '{value}'" for name, value in _SETTINGS.items())
        statement = f"{sql} SETTINGS {clause}"
        if self._database.folder is None:
            yield from self._from_server(statement, parameters)
            return
        try:
            result = self._open(self._database.folder).send_query(
                statement, "Arrow", params=_as_texts(parameters)
            )
            yield from result.record_batch(rows_per_batch=BATCH_ROWS)
        except RuntimeError as error:
            # After an error the connection is not used again: its query may not have ended.
            self.close()
            raise ClientError(str(error)) from error

    def _open(self, folder: Path) -> Any:  # noqa: ANN401 - chDB has no types
        if self._connection is None:
            self._connection = engine.connect(str(folder.resolve()))
            self._connection.query(f"USE {self._database.client.database}")
        return self._connection

    def _from_server(
        self, statement: str, parameters: Mapping[str, Any]
    ) -> Iterator[pa.RecordBatch]:
        client = self._database.client
        with client.query_arrow_stream(statement, dict(parameters), use_strings=False) as tables:
            for table in tables:
                yield from table.to_batches() if isinstance(table, pa.Table) else [table]

    def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _as_texts(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return parameters as the engine parses them: a list as an array of strings."""
    return {
        name: f"[{', '.join(map(format_str, value))}]" if isinstance(value, list) else str(value)
        for name, value in parameters.items()
    }
