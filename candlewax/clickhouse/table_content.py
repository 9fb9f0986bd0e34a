"""Content of tables: their rows and a hash of all values, however the rows are merged."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from clickhouse_connect.driver.binding import quote_identifier

from candlewax.clickhouse.client import Database

_COLUMNS: Final = """
SELECT name, position(type, 'Nullable(') > 0 AS is_nullable FROM system.columns
WHERE database = {database:String} AND table = {table:String} AND default_kind != 'MATERIALIZED'
ORDER BY position
"""

_ENGINE: Final = """
SELECT engine FROM system.tables WHERE database = {database:String} AND name = {table:String}
"""

_BYTES: Final = """
SELECT toInt64(sum(bytes_on_disk)) AS bytes FROM system.parts
WHERE database = {database:String} AND table = {table:String} AND active
"""


class Content(NamedTuple):
    """Number of rows of a table, and the hash of their values, whatever their order."""

    table: str
    rows: int
    hash: str


class Step(NamedTuple):
    """Bytes of a task that are done."""

    task: str
    done: int
    total: int


OnStep = Callable[[Step], object]


def hash_tables(
    database: Database, name: str, tables: Sequence[str], on_step: OnStep
) -> list[Content]:
    """Return the content of tables; both of equal rows are equal, however they are merged."""
    sizes = {
        table: int(database.query(_BYTES, {"database": name, "table": table}).item())
        for table in tables
    }
    done, contents = 0, []
    for table in tables:
        on_step(Step("hashing", done, sum(sizes.values())))
        contents.append(_hash_table(database, name, table))
        done += sizes[table]
    on_step(Step("hashing", done, done))
    return contents


def _hash_table(database: Database, name: str, table: str) -> Content:
    place = {"database": name, "table": table}
    columns = ", ".join(
        # The hash of a row with a NULL would be NULL.
        f"isNull({column}), ifNull(toString({column}), '')" if is_nullable else column
        for column, is_nullable in (
            (quote_identifier(name), is_nullable)
            for name, is_nullable in database.query(_COLUMNS, place).iter_rows()
        )
    )
    final = "" if database.query(_ENGINE, place).item() == "MergeTree" else "FINAL"
    rows, content = database.query(
        f"SELECT toInt64(count()), toString(sum(reinterpretAsUInt128(sipHash128({columns})))) "
        f"FROM {name}.{quote_identifier(table)} {final}"
    ).row(0)
    return Content(table, rows, content)
