"""Tables and views, created from the files of `clickhouse/ddl`, and migrations of older databases.

The files `NN_name.sql` hold the tables and views as they are now. The migrations, files with
numbers of four digits in a folder of their own, make today's tables of older ones. The database
remembers the number of its last migration, the version of its schema.

A migration runs on tables of any older version, on new ones, beside another process that runs it,
and again from its begin if the process was killed. So each of its statements changes nothing the
second time.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from clickhouse_connect.driver.client import Client

from candlewax import __version__
from candlewax.data import DDL

_END: Final = re.compile(r";[ \t]*(?:\n|$)")
"""End of a statement: a semicolon at the end of a line. No comment line ends in one."""

_COMMENT: Final = re.compile(r"^\s*--.*$", re.MULTILINE)
_RECORDED: Final = re.compile(r"(\d+) AS version, '([^']*)' AS program")
_REPLACEABLE: Final = re.compile(r"CREATE VIEW IF NOT EXISTS (\w+)")

# Hash of the schema as it is, and the view that holds the hash of when it was last applied.
# Names with a dot are inner tables of materialized views, which are created and dropped. The views
# that span the archive are replaced by the cold tier, `retention` by the settings, and the first
# process with data creates `database_claim`.
_SCHEMA_STATE: Final = """
SELECT
    hex(sipHash128(groupArrayIf((name, create_table_query), name != 'schema_version'))) AS tables,
    anyIf(create_table_query, name = 'schema_version') AS applied
FROM (
    SELECT name, create_table_query FROM system.tables
    WHERE database = currentDatabase() AND NOT startsWith(name, '.')
        AND name NOT IN ('trades', 'candles', 'frames', 'retention', 'database_claim')
    ORDER BY name
)
"""

_APPLIED: Final = """
SELECT create_table_query FROM system.tables
WHERE database = currentDatabase() AND name = 'schema_version'
"""

_OWNED_VIEWS: Final = """
SELECT name FROM system.tables
WHERE database = currentDatabase() AND engine = 'View' AND comment != ''
"""

_RECORD_APPLIED: Final = (
    "CREATE OR REPLACE VIEW schema_version AS "
    "SELECT '{}' AS statements, '{}' AS tables, {} AS version, '{}' AS program"
)


class SchemaVersionError(RuntimeError):
    """A database that a newer program has changed; the message names both versions. Or an
    installation that lacks its migrations.
    """


class _Schema(NamedTuple):
    """Statements of the files, in order; the migrations by number."""

    tables: list[str]
    migrations: dict[int, list[str]]
    views: list[str]

    @property
    def version(self) -> int:
        """Number of the last migration."""
        return max(self.migrations, default=0)

    @property
    def hash(self) -> str:
        """Hash of all statements."""
        migrations = (one for statements in self.migrations.values() for one in statements)
        text = ";\n".join([*self.tables, *migrations, *self.views])
        return hashlib.sha256(text.encode()).hexdigest()


def apply(client: Client, folder: Path = DDL) -> None:
    """Create absent tables in the client's database, migrate older ones, and replace the views.

    If the same statements were applied before and no table has changed since, nothing is written.
    Raises SchemaVersionError if a newer program has changed the database; nothing is written then.
    """
    schema = _read(folder)
    ((tables_hash, applied),) = client.query(_SCHEMA_STATE).result_rows
    require_known(applied, schema.version)
    if f"'{schema.hash}'" in applied and f"'{tables_hash}'" in applied:
        return
    # Tables that are absent are created as they are now, so migrations change nothing of them.
    _run(client, schema.tables)
    # If the tables are others than those that were recorded, every migration runs.
    is_recorded = f"'{tables_hash}'" in applied
    for number, statements in schema.migrations.items():
        if not is_recorded or number > _version(applied):
            _run(client, statements)
    _run(client, _replacing(client, schema.views))
    ((tables_hash, applied),) = client.query(_SCHEMA_STATE).result_rows
    # A newer program may have started meanwhile.
    require_known(applied, schema.version)
    client.command(_RECORD_APPLIED.format(schema.hash, tables_hash, schema.version, __version__))


def require_known_version(client: Client, folder: Path = DDL) -> None:
    """Raise SchemaVersionError if a newer program has changed the client's database."""
    applied = "".join(text for (text,) in client.query(_APPLIED).result_rows)
    require_known(applied, _read(folder).version)


def require_known(applied: str, version: int | None = None) -> None:
    """Raise SchemaVersionError if the text of `schema_version` names a version above `version`.

    Without one, above that of this program.
    """
    version = _read(DDL).version if version is None else version
    if _version(applied) > version:
        raise SchemaVersionError(
            f"its tables have version {_version(applied)}, written by Candlewax "
            f"{_program(applied)}; this is Candlewax {__version__}, which knows versions up to "
            f"{version}. Start Candlewax {_program(applied)} or newer, or restore a backup that "
            "was made before"
        )


def _version(applied: str) -> int:
    """Return the version in the text of `schema_version`; 0 of a database from before versions."""
    match = _RECORDED.search(applied)
    return int(match[1]) if match else 0


def _program(applied: str) -> str:
    match = _RECORDED.search(applied)
    return match[2] if match else ""


def _read(folder: Path) -> _Schema:
    statements = [one for _, texts in _read_files(folder, "[0-9][0-9]_*.sql") for one in texts]
    is_table = [_COMMENT.sub("", one).lstrip().startswith("CREATE TABLE ") for one in statements]
    migrations = dict(_read_files(folder / "migrations", "[0-9][0-9][0-9][0-9]_*.sql"))
    if folder == DDL and not migrations:
        # Without them every database would look newer than this program.
        raise SchemaVersionError(f"this installation lacks the files of {folder / 'migrations'}")
    return _Schema(
        [one for one, is_one in zip(statements, is_table, strict=True) if is_one],
        migrations,
        [one for one, is_one in zip(statements, is_table, strict=True) if not is_one],
    )


def _read_files(folder: Path, pattern: str) -> Iterator[tuple[int, list[str]]]:
    for path in sorted(folder.glob(pattern)):
        yield int(path.name.partition("_")[0]), list(split_statements(path.read_text("utf-8")))


def _run(client: Client, statements: Sequence[str]) -> None:
    for statement in statements:
        client.command(statement)


def _replacing(client: Client, statements: Sequence[str]) -> Sequence[str]:
    """Return statements that also replace a view whose columns may have changed.

    A view with a comment was replaced by its owner, the cold tier or the settings, and stays.
    """
    owned = {name for (name,) in client.query(_OWNED_VIEWS).result_rows}
    return [
        _REPLACEABLE.sub(
            lambda match: match[0] if match[1] in owned else f"CREATE OR REPLACE VIEW {match[1]}",
            statement,
        )
        for statement in statements
    ]


def split_statements(sql: str) -> Iterator[str]:
    """Yield the statements of a file, without parts that hold comments only."""
    for part in _END.split(sql):
        if any(line.strip() and not line.lstrip().startswith("--") for line in part.splitlines()):
            yield part.strip()
