"""Databases with all tables and views, and without a row, for one test after the other."""

import itertools
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from candlewax.clickhouse.client import Database, connect, open_tables
from candlewax.runtime.setting_parsers import Server


class Databases:
    """Those of an engine. One is emptied and used again, which takes a hundredth of the time
    to make one, unless a test has changed what it is made of.
    """

    def __init__(self, engine: Database, place: Path | Server) -> None:
        self._engine = engine
        self._place = place
        self._numbers = itertools.count()
        self._used: dict[str, object] = {}
        """Definitions by name."""

    @contextmanager
    def one(self, way: Server | None = None) -> Iterator[Database]:
        """A database, seen another `way` than that of its engine, if there is one."""
        if self._used:
            name, definitions = self._used.popitem()
        else:
            name = f"test_{next(self._numbers)}"
            open_tables(self._place, name).close()
            definitions = self._definitions(name)
        versions = self._versions(name)
        with closing(connect(way or self._place, name)) as opened:
            yield opened
        # A view's refresh replaces its table by another one of the same definition.
        if self._versions(name) == versions or self._definitions(name) == definitions:
            self._empty(name)
            self._used[name] = definitions
        else:
            self._engine.client.command(f"DROP DATABASE {name} SYNC")

    def _versions(self, name: str) -> object:
        return self._columns_of_tables(
            "name, uuid, metadata_version, metadata_modification_time", name
        )

    def _definitions(self, name: str) -> object:
        """Return how the tables are made, which takes several times as long to read."""
        return self._columns_of_tables("name, create_table_query", name)

    def _columns_of_tables(self, columns: str, name: str) -> object:
        of_tables = (
            f"SELECT {columns} FROM system.tables WHERE database = {{name:String}} ORDER BY ALL"
        )
        return self._engine.query(of_tables, {"name": name}).rows()

    def _empty(self, name: str) -> None:
        filled = "SELECT DISTINCT table FROM system.parts WHERE database = {name:String}"
        for (table,) in self._engine.query(filled, {"name": name}).rows():
            self._engine.client.command(f"TRUNCATE TABLE {name}.{table} SYNC")
