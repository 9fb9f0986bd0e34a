"""Migrations of filled databases from the schemas of older releases to today's."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Final, cast

import pytest
from clickhouse_connect.driver.client import Client

from candlewax import __version__
from candlewax.clickhouse import ddl
from candlewax.clickhouse.client import Database, DatabaseError, connect, open_tables
from candlewax.core.kind_marks import SIMULATED
from candlewax.data import DDL
from candlewax.pipeline import data_kind
from candlewax.runtime.keep_settings import Retention
from candlewax.verification.verify import verify
from tests.support import cold_tables
from tests.support.databases import Databases

SCHEMAS: Final = Path(__file__).parent / "schemas"
MIGRATIONS: Final = sorted((DDL / "migrations").glob("*.sql"))
LAST: Final = int(MIGRATIONS[-1].name[:4])

Old = Callable[[str], Database]


@pytest.fixture(scope="module")
def filled(databases: Databases) -> Iterator[Database]:
    """A database of today with trades, gaps and candles."""
    with databases.one() as opened:
        frames = cold_tables.two_hours()
        cold_tables.play(opened, [frame for n, frame in enumerate(frames) if n % 17 != 8])
        yield opened


@pytest.fixture
def old(engine: Database, filled: Database, engine_path: Path) -> Iterator[Old]:
    """Make databases with the tables of an older schema, and today's rows in them."""
    with ExitStack() as stack:

        def make(schema: str) -> Database:
            return stack.enter_context(old_database(engine, filled, engine_path, schema))

        yield make


@contextmanager
def old_database(
    engine: Database, filled: Database, engine_path: Path, schema: str
) -> Iterator[Database]:
    name = f"old_{schema}"
    engine.command(f"CREATE DATABASE {name}")
    with closing(connect(engine_path, name)) as opened:
        for statement in ddl.split_statements((SCHEMAS / f"{schema}.sql").read_text("utf-8")):
            opened.command(statement)
        for table, columns in stored_columns(opened).items():
            opened.command(
                f"INSERT INTO {table} ({columns}) "
                f"SELECT {columns} FROM {filled.client.database}.{table}"
            )
        yield opened
    engine.command(f"DROP DATABASE {name} SYNC")


def stored_columns(database: Database) -> dict[str, str]:
    """Return the columns of each table, without those that are computed, comma-separated."""
    found = database.query(
        "SELECT table, arrayStringConcat(groupArray(name), ', ') AS names FROM system.columns "
        "WHERE database = currentDatabase() AND default_kind != 'MATERIALIZED' AND table IN "
        "(SELECT name FROM system.tables WHERE database = currentDatabase() "
        "AND engine LIKE '%MergeTree') GROUP BY table"
    )
    return dict(found.iter_rows())


def contents(database: Database, columns: dict[str, str]) -> dict[str, tuple[int, str]]:
    """Return the number of rows of each table, and a hash of these columns."""
    return {
        table: database.query(
            f"SELECT count(), toString(sum(reinterpretAsUInt128(sipHash128({names})))) "
            f"FROM {table} "
            f"{'' if table.endswith('_check') else 'FINAL'}"
        ).row(0)
        for table, names in columns.items()
    }


def content_hash(database: Database, view: str) -> object:
    """Return the rows of a content view and their hash."""
    return database.query(f"SELECT count(), toString(sum(content)) FROM {view}").row(0)


def definitions(database: Database) -> dict[str, str]:
    """Return how each table and view is made; without the name of its database, the order of its
    settings, and the partitions of candles, which cannot be changed.
    """
    found = database.query(
        "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase() "
        "AND NOT startsWith(name, '.inner') AND name NOT IN ('schema_version', 'retention')"
    )
    texts = {}
    for table, text in found.iter_rows():
        head, mark, settings = text.replace(f"{database.client.database}.", "").rpartition(
            " SETTINGS "
        )
        if table == "ohlcv":
            head = re.sub(r"\(timeframe = '1d', (toYYYYMM\(window_start\))\)", r"\1", head)
            settings = settings.replace("ttl_only_drop_parts = 1, ", "")
        texts[table] = head + mark + ", ".join(sorted(settings.split(", ")))
    return texts


def migrate(database: Database, engine_path: Path) -> None:
    open_tables(engine_path, str(database.client.database), Retention()).close()


def version(database: Database) -> tuple[int, str]:
    row = database.query("SELECT version, program FROM schema_version").row(0)
    return cast(tuple[int, str], row)


@pytest.mark.parametrize("schema", ["first", "before_versions"])
def test_old_database_becomes_todays_and_keeps_every_value(
    schema: str, old: Old, filled: Database, engine_path: Path
) -> None:
    """Its tables and views are then those of a new database."""
    database = old(schema)
    columns = stored_columns(database)
    before = contents(database, columns)
    assert before["silver_trades"][0] > 70
    assert before["ohlcv"][0] > 70
    migrate(database, engine_path)
    assert contents(database, columns) == before
    assert definitions(database) == definitions(filled)
    assert version(database) == (LAST, __version__)
    assert content_hash(database, "silver_content") == content_hash(filled, "silver_content")


def test_database_from_just_before_versions_has_the_same_content_hashes(
    old: Old, filled: Database, engine_path: Path
) -> None:
    """Its candles too, and every check finds them right."""
    database = old("before_versions")
    migrate(database, engine_path)
    assert database.query("SELECT count() FROM gaps FINAL").item() > 0
    assert content_hash(database, "ohlcv_content") == content_hash(filled, "ohlcv_content")
    assert verify(database.client).equal


def test_closed_candles_of_the_first_release_are_unverified(old: Old, engine_path: Path) -> None:
    """They have no certificate; forming ones may still get one."""
    database = old("first")
    migrate(database, engine_path)
    found = database.query("SELECT DISTINCT closed, toString(status) FROM ohlcv FINAL ORDER BY 1")
    assert found.rows() == [(False, "forming"), (True, "unverified")]


class KilledError(Exception):
    """The process is gone."""


class Mortal:
    """Client of a process that is killed before one of its statements."""

    def __init__(self, client: Client, statements: int) -> None:
        self._client = client
        self._left = statements

    def query(self, sql: str) -> Any:
        return self._client.query(sql)

    def command(self, sql: str) -> None:
        if not self._left:
            raise KilledError
        self._left -= 1
        self._client.command(sql)


def test_migration_that_was_cut_off_goes_on_at_the_next_start(
    old: Old, filled: Database, engine_path: Path
) -> None:
    """Before whichever statement of a migration, or some of the views, the process was killed."""
    database = old("first")
    columns = stored_columns(database)
    before = contents(database, columns)
    tables = sum(1 for path in DDL.glob("*.sql") for _ in created_tables(path))
    altering = sum(len(list(ddl.split_statements(path.read_text("utf-8")))) for path in MIGRATIONS)
    for statements in [0, 3, *range(tables, tables + altering + 1), tables + altering + 20]:
        with pytest.raises(KilledError):
            ddl.apply(cast(Client, Mortal(database.client, statements)))
        assert not database.query("SELECT name FROM system.tables WHERE name = 'schema_version' "
                                  "AND database = currentDatabase()").height  # fmt: skip
    migrate(database, engine_path)
    assert contents(database, columns) == before
    assert definitions(database) == definitions(filled)


def created_tables(path: Path) -> list[str]:
    return re.findall(r"^CREATE TABLE ", path.read_text("utf-8"), re.MULTILINE)


def test_processes_that_start_at_once_migrate_together(
    old: Old, filled: Database, engine_path: Path
) -> None:
    """Each runs all statements, in whatever order they meet."""
    database = old("first")
    columns = stored_columns(database)
    before = contents(database, columns)
    begin = threading.Barrier(3)
    errors: list[Exception] = []

    def start() -> None:
        begin.wait()
        try:
            migrate(database, engine_path)
        except Exception as error:  # noqa: BLE001 - the thread hands it over
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert contents(database, columns) == before
    assert definitions(database) == definitions(filled)


def test_migrations_change_nothing_of_new_tables(filled: Database) -> None:
    """So they may run again."""
    before = definitions(filled)
    for path in MIGRATIONS:
        for statement in ddl.split_statements(path.read_text("utf-8")):
            filled.command(statement)
    assert definitions(filled) == before
    assert [int(path.name[:4]) for path in MIGRATIONS] == list(range(1, LAST + 1))


def test_older_program_refuses_newer_tables(tables: Database, engine_path: Path) -> None:
    """For reading and for writing; both versions are named, and nothing is changed."""
    name = str(tables.client.database)
    tables.command(
        "CREATE OR REPLACE VIEW schema_version AS SELECT '' AS statements, '' AS tables, "
        f"{LAST + 1} AS version, '9.8.7' AS program"
    )
    before = definitions(tables)
    for start in (open_tables, connect):
        with pytest.raises(DatabaseError) as caught:
            start(engine_path, name)
        assert str(caught.value) == (
            f"{engine_path}, database {name}: its tables have version {LAST + 1}, written by "
            f"Candlewax 9.8.7; this is Candlewax {__version__}, which knows versions up to "
            f"{LAST}. Start Candlewax 9.8.7 or newer, or restore a backup that was made before"
        )
    assert definitions(tables) == before
    assert version(tables) == (LAST + 1, "9.8.7")


def test_views_are_replaced_when_their_text_or_their_tables_change(
    tables: Database, engine_path: Path
) -> None:
    """Keep the definitions that belong to the cold tier or to settings."""
    before = definitions(tables)
    tables.command("CREATE OR REPLACE VIEW ohlcv_1m AS SELECT 1 AS x")
    tables.command("CREATE OR REPLACE VIEW trades AS SELECT trade_id FROM silver_trades")
    tables.command("DROP VIEW ohlcv_check_mv")
    tables.command("CREATE OR REPLACE VIEW candles AS SELECT 1 AS x COMMENT 'of the cold tier'")
    migrate(tables, engine_path)
    after = definitions(tables)
    assert "of the cold tier" in after.pop("candles")
    before.pop("candles")
    assert after == before


def test_next_start_after_a_claim_replaces_no_view(tables: Database, engine_path: Path) -> None:
    """The claim of a kind of data is a view, but none of the schema."""
    of_views = (
        "SELECT name, uuid FROM system.tables "
        "WHERE database = currentDatabase() AND engine = 'View' ORDER BY name"
    )
    data_kind.claim(tables, engine_path, str(tables.client.database), SIMULATED)
    before = tables.query(of_views).rows()
    assert "database_claim" in dict(before)
    migrate(tables, engine_path)
    assert tables.query(of_views).rows() == before
