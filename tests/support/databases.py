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

    @contextmanager
    def one(self, way: Server | None = None) -> Iterator[Database]:
        """A database, seen another `way` than that of its engine, if there is one."""
        if self._used:
            name, made = self._used.popitem()
        else:
            name = f"test_{next(self._numbers)}"
            open_tables(self._place, name).close()
            made = self._made_of(name)
        with closing(connect(way or self._place, name)) as opened:
            yield opened
        if self._made_of(name) == made:
            self._empty(name)
            self._used[name] = made
        else:
            self._engine.client.command(f"DROP DATABASE {name} SYNC")

    def _made_of(self, name: str) -> object:
        """Return the definitions of the tables: a view's refresh replaces its table by one that is
        made of the same.
        """
        of_tables = """
        SELECT name, create_table_query FROM system.tables
        WHERE database = {name:String} ORDER BY ALL
        """
        return self._engine.query(of_tables, {"name": name}).rows()

    def _empty(self, name: str) -> None:
        filled = "SELECT DISTINCT table FROM system.parts WHERE database = {name:String}"
        for (table,) in self._engine.query(filled, {"name": name}).rows():
            self._engine.client.command(f"TRUNCATE TABLE {name}.{table} SYNC")
