"""Tables and views: the files of `clickhouse/ddl`, applied in order."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from clickhouse_connect.driver.client import Client

FOLDER: Final = Path(__file__).parents[2] / "clickhouse" / "ddl"

_END: Final = re.compile(r";[ \t]*(?:\n|$)")
"""A semicolon ends a statement where it ends a line; comments hold none there."""

# What there is, and what was there when the statements were applied last. The tables behind
# materialized views come and go.
_FOUND: Final = """
SELECT hex(sipHash128(groupArrayIf((name, create_table_query), name != 'schema_version'))) AS found,
    anyIf(create_table_query, name = 'schema_version') AS applied
FROM (
    SELECT name, create_table_query FROM system.tables
    WHERE database = currentDatabase() AND NOT startsWith(name, '.')
    ORDER BY name
)
"""

_APPLIED: Final = (
    "CREATE OR REPLACE VIEW schema_version AS SELECT '{}' AS statements, '{}' AS tables"
)


def apply(client: Client, folder: Path = FOLDER) -> None:
    """Create what the files `NN_name.sql` of a folder name, where it is absent.

    They are applied in the order of their names to the client's own database; where the
    same were applied and nobody has changed a table since, nothing is written.
    """
    texts = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("[0-9][0-9]_*.sql"))]
    wanted = [statement for text in texts for statement in statements(text)]
    version = hashlib.sha256(";\n".join(wanted).encode()).hexdigest()
    ((found, applied),) = client.query(_FOUND).result_rows
    if f"'{version}'" in applied and f"'{found}'" in applied:
        return
    for statement in wanted:
        client.command(statement)
    ((found, _),) = client.query(_FOUND).result_rows
    client.command(_APPLIED.format(version, found))


def statements(sql: str) -> Iterator[str]:
    """The statements of a file."""
    for part in _END.split(sql):
        if any(line.strip() and not line.lstrip().startswith("--") for line in part.splitlines()):
            yield part.strip()
