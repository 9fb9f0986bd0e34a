"""Tables and views, created from the files of `clickhouse/ddl` in order."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from clickhouse_connect.driver.client import Client

from candlewax.data import DDL

_END: Final = re.compile(r";[ \t]*(?:\n|$)")
"""End of a statement: a semicolon at the end of a line. No comment line ends in one."""

# Hash of the schema as it is, and the view that holds the hash of when it was last applied.
# Names with a dot are inner tables of materialized views, which are created and dropped. The views
# that span the archive are replaced by the cold tier.
_SCHEMA_STATE: Final = """
SELECT
    hex(sipHash128(groupArrayIf((name, create_table_query), name != 'schema_version'))) AS tables,
    anyIf(create_table_query, name = 'schema_version') AS applied
FROM (
    SELECT name, create_table_query FROM system.tables
    WHERE database = currentDatabase() AND NOT startsWith(name, '.')
        AND name NOT IN ('trades', 'candles', 'frames')
    ORDER BY name
)
"""

_RECORD_APPLIED: Final = (
    "CREATE OR REPLACE VIEW schema_version AS SELECT '{}' AS statements, '{}' AS tables"
)


def apply(client: Client, folder: Path = DDL) -> None:
    """Create absent tables and views in the client's database from the files `NN_name.sql`.

    The files of the folder are applied in the order of their names. If the same statements
    were applied before and no table has changed since, nothing is written.
    """
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("[0-9][0-9]_*.sql"))]
    statements = [statement for text in texts for statement in split_statements(text)]
    version = hashlib.sha256(";\n".join(statements).encode()).hexdigest()
    ((tables_hash, applied),) = client.query(_SCHEMA_STATE).result_rows
    if f"'{version}'" in applied and f"'{tables_hash}'" in applied:
        return
    for statement in statements:
        client.command(statement)
    ((tables_hash, _),) = client.query(_SCHEMA_STATE).result_rows
    client.command(_RECORD_APPLIED.format(version, tables_hash))


def split_statements(sql: str) -> Iterator[str]:
    """Yield the statements of a file, without parts that hold comments only."""
    for part in _END.split(sql):
        if any(line.strip() and not line.lstrip().startswith("--") for line in part.splitlines()):
            yield part.strip()
