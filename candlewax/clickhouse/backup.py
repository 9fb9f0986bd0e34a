"""Backup and restore of a database by ClickHouse's own BACKUP and RESTORE.

A backup is made of a copy of the tables that shares their files, so the pipeline may go on. The
copy holds the hash of each table, by which a restore is compared, and no TTL, so that nothing old
is dropped before that.
"""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from clickhouse_connect.driver.binding import format_str, quote_identifier

from candlewax.clickhouse import ddl
from candlewax.clickhouse.block_store import ORDER
from candlewax.clickhouse.client import (
    Database,
    QueryError,
    open_default,
    open_tables,
    short_message,
)
from candlewax.clickhouse.table_content import Content, OnStep, Step, hash_tables
from candlewax.runtime.keep_settings import Retention
from candlewax.runtime.setting_parsers import Server

_COPY: Final = "candlewax_backup"
_RESTORED: Final = "candlewax_restore"
"""Databases that exist while a backup is made or restored."""

STORED: Final = (*ORDER[: ORDER.index("ohlcv")], "ohlcv_revisions", *ORDER[ORDER.index("ohlcv") :])
"""Tables in the order in which the pipeline stores rows of one batch."""

_VIEWS: Final = ("schema_version", "retention", "database_claim")
"""Views that hold facts of the database; the others are made anew."""

_TABLES: Final = """
SELECT name, position(engine_full, ' TTL ') > 0 AS has_ttl FROM system.tables
WHERE database = {database:String} AND endsWith(engine, 'MergeTree') AND NOT startsWith(name, '.')
    AND name NOT IN ('ohlcv_check', 'missing_range_check')
ORDER BY name
"""

_DEFINITIONS: Final = """
SELECT name, create_table_query FROM system.tables
WHERE database = {database:String} AND name IN {names:Array(String)}
"""

_STATUS: Final = """
SELECT toString(status) AS status, error, toInt64(total_size) AS total,
    toInt64(if(startsWith(status, 'RESTOR'), bytes_read, uncompressed_size)) AS done
FROM system.backups WHERE id = {id:String}
"""

_POLL_S: Final = 0.1


class BackupError(RuntimeError):
    """A backup or restore that cannot be done; the message says why."""


@dataclass(frozen=True)
class Saved:
    """Tables of a backup, and its size in bytes."""

    contents: tuple[Content, ...]
    bytes: int

    @property
    def rows(self) -> int:
        """Number of rows of all tables."""
        return sum(content.rows for content in self.contents)


def new_target(place: Path | Server, text: str) -> str:
    """Return where ClickHouse writes a new backup. Raises BackupError, also if something is there.

    A server finds out by itself whether there is a backup.
    """
    target = backup_target(place, text)
    if isinstance(place, Path) and Path(text).exists():
        raise BackupError(f"{text}: there is something already, and a backup overwrites nothing")
    return target


def backup_target(place: Path | Server, text: str) -> str:
    """Return where ClickHouse reads or writes a backup, as its SQL names it.

    `text` is a path of the machine of the database, or `disk:NAME/PATH` of a server. A relative
    path is below the working directory, or that which a server allows. Raises BackupError.
    """
    if text.startswith("disk:") and isinstance(place, Server):
        name, _, path = text.removeprefix("disk:").partition("/")
        if not name or not path:
            raise BackupError(f"{text}: takes a disk of the server and a path, disk:NAME/PATH")
        return f"Disk({format_str(name)}, {format_str(path)})"
    if ":" in text:
        raise BackupError(f"{text}: takes a path, or disk:NAME/PATH with a ClickHouse server")
    path_text = str(Path(text).absolute()) if isinstance(place, Path) else text
    return f"File({format_str(path_text)})"


def make_backup(database: Database, target: str, on_step: OnStep = lambda _: None) -> Saved:
    """Write all tables of a database to a target that holds nothing yet.

    Returns what was saved. Raises BackupError.
    """
    with _temporary(database, _COPY):
        database.command(f"CREATE DATABASE {_COPY}")
        names = _copy_tables(database)
        contents = hash_tables(database, _COPY, names, on_step)
        _write_manifest(database, contents)
        size = _run(database, f"BACKUP DATABASE {_COPY} TO", target, "writing", on_step)
    return Saved(tuple(contents), size)


def restore_backup(
    place: Path | Server,
    name: str,
    source: str,
    retention: Retention,
    on_step: OnStep = lambda _: None,
) -> Saved:
    """Read a backup into a new database, compare it, and make the tables as they are today.

    The database appears once it was found equal. Raises BackupError if there are tables already, if
    a newer program made the backup, or if the rows differ.
    """
    database = open_default(place)
    try:
        if database.query(_TABLES, {"database": name}).height:
            raise BackupError(
                f"{place}: the database {name} has tables, and a restore overwrites nothing; "
                "CANDLEWAX_DATABASE or CANDLEWAX_CLICKHOUSE name another place"
            )
        with _temporary(database, _RESTORED):
            saved = _restore(database, source, on_step)
            database.command(f"DROP DATABASE IF EXISTS {quote_identifier(name)} SYNC")
            database.command(f"RENAME DATABASE {_RESTORED} TO {quote_identifier(name)}")
    finally:
        database.close()
    open_tables(place, name, retention).close()
    return saved


def _restore(database: Database, source: str, on_step: OnStep) -> Saved:
    """Restore into a database of its own, and require that its rows are those of the backup."""
    size = _run(
        database, f"RESTORE DATABASE {_COPY} AS {_RESTORED} FROM", source, "reading", on_step
    )
    definitions = database.query(_DEFINITIONS, {"database": _RESTORED, "names": ["schema_version"]})
    try:
        ddl.require_known("".join(definitions["create_table_query"]))
    except ddl.SchemaVersionError as error:
        raise BackupError(f"this backup is of a newer program: {error}") from error
    saved = [
        Content(*row)
        for row in database.query(
            f"SELECT table, toInt64(rows), hash FROM {_RESTORED}.backup_manifest ORDER BY table"
        ).iter_rows()
    ]
    found = hash_tables(database, _RESTORED, [content.table for content in saved], on_step)
    other = [content.table for content, one in zip(saved, found, strict=True) if content != one]
    if other:
        raise BackupError(f"{', '.join(other)}: other rows than were saved; nothing was restored")
    database.command(f"DROP TABLE {_RESTORED}.backup_manifest SYNC")
    return Saved(tuple(found), size)


@contextmanager
def _temporary(database: Database, name: str) -> Iterator[None]:
    """Keep a name free for a database that exists within the block only.

    One that a killed process left is dropped from a directory, as no other process uses it.
    """
    if database.is_embedded:
        database.command(f"DROP DATABASE IF EXISTS {name} SYNC")
    elif database.query("SELECT name FROM system.databases WHERE name = {n:String}", {"n": name})[
        "name"
    ].len():
        raise BackupError(
            f"the server has a database {name}: another backup or restore runs, or one was cut "
            f"off. If none runs, DROP DATABASE {name}"
        )
    try:
        yield
    except QueryError as error:
        raise BackupError(_explain(error)) from error
    finally:
        with suppress(QueryError):
            database.command(f"DROP DATABASE IF EXISTS {name} SYNC")


def _copy_tables(database: Database) -> list[str]:
    """Copy the tables without their bytes, and the views with facts. Return the tables' names.

    They are copied in the reverse of the order in which rows are stored, so that no table of the
    copy claims more than those before it hold.
    """
    own = str(database.client.database)
    tables = dict(database.query(_TABLES, {"database": own}).iter_rows())
    if not tables:
        raise BackupError(f"the database {own} has no tables")
    for name in sorted(tables, key=_copy_place):
        table = quote_identifier(name)
        source, copy = (f"{quote_identifier(own)}.{table}", f"{_COPY}.{table}")
        database.command(f"CREATE TABLE {copy} AS {source}")
        if tables[name]:
            database.command(f"ALTER TABLE {copy} REMOVE TTL")
        database.command(f"ALTER TABLE {copy} ATTACH PARTITION ALL FROM {source}")
    views = database.query(_DEFINITIONS, {"database": own, "names": list(_VIEWS)})
    for name, text in views.iter_rows():
        database.command(re.sub(r"^CREATE VIEW \S+", f"CREATE VIEW {_COPY}.{name}", text))
    return sorted(tables)


def _copy_place(table: str) -> int:
    return -STORED.index(table) if table in STORED else -len(STORED)


def _write_manifest(database: Database, contents: Sequence[Content]) -> None:
    database.command(
        f"CREATE TABLE {_COPY}.backup_manifest (table String, rows UInt64, hash String, "
        "made_at DateTime64(6, 'UTC') DEFAULT now64(6)) ENGINE = MergeTree ORDER BY table"
    )
    rows = ", ".join(f"({format_str(one.table)}, {one.rows}, '{one.hash}')" for one in contents)
    database.command(f"INSERT INTO {_COPY}.backup_manifest (table, rows, hash) VALUES {rows}")


def _run(database: Database, statement: str, target: str, task: str, on_step: OnStep) -> int:
    """Run a BACKUP or RESTORE to its end. Return its size in bytes."""
    try:
        (name,) = database.query(f"{statement} {target} ASYNC")["id"]
    except QueryError as error:
        raise BackupError(f"{target}: {_explain(error)}") from error
    while True:
        status, reason, total, done = database.query(_STATUS, {"id": name}).row(0)
        if "FAILED" in status or "CANCELLED" in status:
            raise BackupError(f"{target}: {_explain_text(reason)}")
        on_step(Step(task, done, total))
        if status in {"BACKUP_CREATED", "RESTORED"}:
            return int(total)
        time.sleep(_POLL_S)


def _explain(error: QueryError) -> str:
    return _explain_text(short_message(error))


def _explain_text(text: str) -> str:
    """Return the reason of a failure in one sentence."""
    if "BACKUP_ALREADY_EXISTS" in text:
        return "there is a backup at the target already, and a backup overwrites nothing"
    if "BACKUP_NOT_FOUND" in text:
        return "there is no backup, or none that was finished"
    if "allowed_path" in text or "allowed_disk" in text or "is not allowed for backups" in text:
        return (
            "the server allows no backup there; backups.allowed_path and backups.allowed_disk in "
            "its configuration do"
        )
    if any(name in text for name in _DAMAGES):
        return f"the backup is damaged: {_shorten(text)}"
    return _shorten(text)


_DAMAGES: Final = (
    "BACKUP_DAMAGED", "BACKUP_ENTRY_NOT_FOUND", "BAD_SIZE_OF_FILE_IN_DATA_PART",
    "CANNOT_DECOMPRESS", "CANNOT_PARSE_BACKUP", "CANNOT_READ_ALL_DATA", "CHECKSUM_DOESNT_MATCH",
    "CORRUPTED_DATA", "FILE_DOESNT_EXIST", "UNKNOWN_FORMAT_VERSION", "WRONG_BASE_BACKUP",
    "filesystem error: in copy",
)  # fmt: skip
"""Errors of a restore from files that are not as they were written."""

_LONGEST: Final = 300
"""Characters of ClickHouse's own message that are shown: it may describe a whole table."""


def _shorten(text: str) -> str:
    line = text.partition(", Stack trace")[0].partition("\n")[0]
    # ClickHouse puts the type of the error and its code before it.
    line = line.partition("e.what() = ")[2] or line
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
