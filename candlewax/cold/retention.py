"""Retention of the warm tables: with a cold tier rows go once they are archived, not by TTL."""

import re
from collections.abc import Mapping
from typing import Final

from candlewax.clickhouse import ddl
from candlewax.clickhouse.client import Database
from candlewax.data import DDL

TABLES: Final = ("bronze_frames", "silver_trades", "dead_letters", "ohlcv", "ohlcv_revisions")
"""Tables with a TTL."""

_WITH_TTL: Final = """
SELECT name FROM system.tables
WHERE database = currentDatabase() AND name IN {names:Array(String)}
    AND position(engine_full, ' TTL ') > 0
ORDER BY name
"""

_TTL: Final = re.compile(
    r"CREATE TABLE IF NOT EXISTS (\w+)\b.*?^TTL (.*?)\s*(?:^SETTINGS|\Z)", re.DOTALL | re.MULTILINE
)


def remove_ttl(database: Database) -> tuple[str, ...]:
    """Remove the TTL of the warm tables, so that they keep rows. Return the changed tables."""
    return _remove_ttl(database, TABLES)


def remove_ttl_of(database: Database, table: str) -> None:
    """Remove the TTL of a table if it has one."""
    _remove_ttl(database, (table,))


def _remove_ttl(database: Database, tables: tuple[str, ...]) -> tuple[str, ...]:
    found = database.query(_WITH_TTL, {"names": list(tables)})
    names = tuple(map(str, found["name"]))
    for name in names:
        database.command(f"ALTER TABLE {name} REMOVE TTL")
    return names


def restore_ttl(database: Database) -> tuple[str, ...]:
    """Set the TTL of the DDL files again where it is missing. Return the changed tables.

    ClickHouse then drops rows past their age, in the archive or not.
    """
    present = set(database.query(_WITH_TTL, {"names": list(TABLES)})["name"])
    names = tuple(name for name in TABLES if name not in present)
    texts = ttl_texts()
    for name in names:
        database.command(f"ALTER TABLE {name} MODIFY TTL {texts[name]}")
    return names


def ttl_texts() -> Mapping[str, str]:
    """Return the TTL of each table as the DDL files have it."""
    found = {}
    for path in sorted(DDL.glob("[0-9][0-9]_*.sql")):
        for statement in ddl.split_statements(path.read_text("utf-8")):
            if match := _TTL.search(statement):
                found[match[1]] = match[2]
    return found
