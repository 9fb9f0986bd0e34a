"""Views that span warm and cold rows: `trades`, `candles` and `frames`.

Such a view is all warm rows, and the cold rows whose keys are not warm, up to a cut: the end of the
last released unit. Of a warm and a cold row of one key it shows the one that ClickHouse would keep.
Days before the cut whose warm rows are complete are read warm only. The cold side is pinned to the
metadata file that the catalog named as committed, so each view shows one snapshot; it is replaced
after each change. A catalog keeps the last 20 metadata files of a table: refresh the views at least
once in 10 commits.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from clickhouse_connect.driver.binding import format_str

from candlewax.clickhouse import ddl
from candlewax.clickhouse.client import Database
from candlewax.cold import relations
from candlewax.cold.archive import Archive
from candlewax.cold.layers import LAYERS, Layer
from candlewax.cold.unit_table import Day, UnitTable
from candlewax.cold.units import EPOCH
from candlewax.cold.warehouse import Warehouse
from candlewax.cold.warm import WarmTables
from candlewax.data import DDL

VIEWS: Final[Mapping[str, str]] = {
    "raw.frames": "frames",
    "silver.trades": "trades",
    "gold.ohlcv": "candles",
}
"""Names of the views by layer."""

_COMMENT: Final = """
SELECT comment FROM system.tables WHERE database = currentDatabase() AND name = {name:String}
"""


@dataclass(frozen=True)
class Leaving:
    """Rows of a time range that leave the warm table for `table`: those stored until `newest`.

    A view reads them cold, wherever they are, and rows stored later warm, from both tables.
    """

    table: str
    begin: datetime
    end: datetime
    newest: datetime


class Views:
    """The views of a database."""

    def __init__(
        self,
        database: Database,
        warm: WarmTables,
        warehouse: Warehouse,
        archive: Archive,
        unit_table: UnitTable,
    ) -> None:
        self._database = database
        self._warm = warm
        self._warehouse = warehouse
        self._archive = archive
        self._unit_table = unit_table

    def refresh(self, layer: Layer, leaving: Leaving | None = None) -> bool:
        """Make the view of a layer show what is released, as it is committed now.

        Return True if the view was replaced. Layers without a view are left alone. Raises what the
        catalog raises if it is away.
        """
        name = VIEWS.get(layer.name)
        if name is None:
            return False
        comment = "".join(self._database.query(_COMMENT, {"name": name})["comment"])
        days = self._unit_table.days(layer)
        cut = max((day.released_until for day in days if day.released_until), default=None)
        if cut is None:
            if comment:
                self._database.command(warm_view(name))
            return bool(comment)
        iceberg = self._archive.table_function(self._warehouse.load(layer))
        rows = _spanning_rows(
            layer, self._warm.types(layer), iceberg, cut, _warm_days(days, cut), leaving
        )
        facts = {"cut": cut.isoformat(), "text": hashlib.sha256(rows.encode()).hexdigest()}
        new_comment = json.dumps(facts)
        if comment == new_comment:
            return False
        self._database.command(
            f"CREATE OR REPLACE VIEW {name} AS {rows} COMMENT {format_str(new_comment)}"
        )
        return True

    def refresh_all(self) -> None:
        """Make all views show what is released, as it is committed now."""
        for layer in VIEWS:
            self.refresh(LAYERS[layer])


def warm_view(name: str) -> str:
    """Return the statement that makes a view as the DDL files have it: of warm rows only."""
    begin = f"CREATE VIEW IF NOT EXISTS {name} AS"
    texts = (path.read_text("utf-8") for path in sorted(DDL.glob("*_cold.sql")))
    statements = (statement for text in texts for statement in ddl.split_statements(text))
    (found,) = (one[one.index(begin) :] for one in statements if begin in one)
    return found.replace(begin, f"CREATE OR REPLACE VIEW {name} AS")


def _spanning_rows(
    layer: Layer,
    types: relations.Types,
    iceberg: str,
    cut: datetime,
    warm_days: Iterable[tuple[datetime, datetime]],
    leaving: Leaving | None,
) -> str:
    archived = [f"{{0}}.{layer.time} < {_time_sql(layer, cut)}"]
    archived += [f"NOT ({_within(layer, '{0}', *days)})" for days in warm_days]
    is_archived = " AND ".join(archived)
    names = ", ".join(f"w.{name} AS {name}" for name in types)
    tables = list(_warm_tables(layer, leaving))
    shared = " UNION ALL ".join(
        f"SELECT {names} FROM {table} AS w FINAL WHERE {is_archived.format('w')} AND {condition}"
        for table, condition in tables
    )
    cold = (
        f"SELECT {relations.cold_columns(types)} FROM {iceberg} AS r "
        f"WHERE {is_archived.format('r')}"
    )
    warm_key, cold_key = (_key(layer, row) for row in "wr")
    is_counting = is_outranked = ""
    if layer.rank:
        # Bounded by times, so that ClickHouse leaves out the files that no warm row is in.
        near = (
            f"r.{layer.time} >= (SELECT min({layer.time}) FROM ({shared})) "
            f"AND r.{layer.time} <= (SELECT max({layer.time}) FROM ({shared}))"
        )
        outranked = relations.outranked_keys(layer, shared, f"{cold} AND {near}")
        is_counting = f" AND (NOT ({is_archived.format('w')}) OR ({warm_key}) NOT IN ({outranked}))"
        is_outranked = f" OR ({cold_key}) IN ({outranked})"
    warm = [
        f"SELECT {names} FROM {table} AS w FINAL WHERE {condition}{is_counting}"
        for table, condition in tables
    ]
    keys = f"SELECT {', '.join(layer.key)} FROM ({shared})"
    return " UNION ALL ".join([*warm, f"{cold} AND (({cold_key}) NOT IN ({keys}){is_outranked})"])


def _key(layer: Layer, row: str) -> str:
    return ", ".join(f"{row}.{name}" for name in layer.key)


def _warm_tables(layer: Layer, leaving: Leaving | None) -> Iterable[tuple[str, str]]:
    """Yield the tables with warm rows, and the condition of those that are read."""
    if leaving is None:
        yield layer.source, "1"
        return
    newest = (leaving.newest - EPOCH) // timedelta(microseconds=1)
    is_newer = f"{{0}}.{layer.changed} > fromUnixTimestamp64Micro({newest}, 'UTC')"
    span = _within(layer, "{0}", leaving.begin, leaving.end)
    yield layer.source, f"(NOT ({span}) OR {is_newer})".format("w")
    # A row may be stored again just after the move, and then is in both.
    again = f"SELECT {_key(layer, 'n')} FROM {layer.source} AS n FINAL WHERE {span} AND {is_newer}"
    yield (
        leaving.table,
        f"{is_newer} AND ({_key(layer, '{0}')}) NOT IN ({{again}})".format(
            "w", again=again.format("n")
        ),
    )


def _within(layer: Layer, row: str, begin: datetime, end: datetime) -> str:
    time = f"{row}.{layer.time}"
    return f"{time} >= {_time_sql(layer, begin)} AND {time} < {_time_sql(layer, end)}"


def _time_sql(layer: Layer, time: datetime) -> str:
    kind = "toDateTime" if layer.name == "gold.ohlcv" else "toDateTime64"
    digits = "" if layer.name == "gold.ohlcv" else "6, "
    return f"{kind}('{time:%Y-%m-%d %H:%M:%S}', {digits}'UTC')"


def _warm_days(days: Iterable[Day], cut: datetime) -> list[tuple[datetime, datetime]]:
    """Return the ranges of days before the cut with units of which none was released."""
    ranges: list[tuple[datetime, datetime]] = []
    for day in sorted(one.begin for one in days if not one.released_until and one.begin < cut):
        end = day + timedelta(days=1)
        if ranges and ranges[-1][1] == day:
            ranges[-1] = ranges[-1][0], end
        else:
            ranges.append((day, end))
    return ranges
