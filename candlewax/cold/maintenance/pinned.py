"""Metadata files that views name: what they read must stay."""

import re
from collections.abc import Iterable
from typing import Final

from pyiceberg.serializers import FromInputFile
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata

from candlewax.clickhouse.client import Database

_VIEWS: Final = """
SELECT create_table_query AS text FROM system.tables
WHERE database = currentDatabase()
    AND position(create_table_query, 'iceberg_metadata_file_path') > 0
"""

_PINNED: Final = re.compile(r"iceberg_metadata_file_path = '([^']+)'")


def pinned_names(database: Database) -> frozenset[str]:
    """Return the metadata files that views of a database name, as paths within their tables."""
    texts = database.query(_VIEWS)["text"]
    return frozenset(name for text in texts for name in _PINNED.findall(text))


def pinned_metadata(table: Table, names: Iterable[str]) -> dict[str, TableMetadata]:
    """Return the metadata of a table that views name and that is not the committed one, by path."""
    found = {}
    for name in names:
        path = f"{table.location()}/{name}"
        file = table.io.new_input(path)
        # The names are unique, and those of other tables are not here.
        if path != table.metadata_location and file.exists():
            found[path] = FromInputFile.table_metadata(file)
    return found
