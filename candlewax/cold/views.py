"""Views that span warm and cold rows: `trades`, `candles` and `frames`.

Such a view is all warm rows, and the cold rows whose keys are not warm, up to a cut: the end of the
last released unit. Days before the cut whose warm rows are complete are read warm only. The cold
side is pinned to the metadata file that the catalog named as committed, so each view shows one
snapshot; it is replaced after each change. A catalog keeps the last 20 metadata files of a table:
refresh the views at least once in 10 commits.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from clickhouse_connect.driver.binding import format_str

from candlewax.clickhouse import ddl
from candlewax.cold import relations
from candlewax.cold.layers import LAYERS, Layer
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import UnitState
from candlewax.cold.units import EPOCH, Unit

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


def refresh(tier: ColdTier, layer: Layer, leaving: Leaving | None = None) -> bool:
    """Make the view of a layer show what is released, as it is committed now.

    Return True if the view was replaced. Layers without a view are left alone. Raises what the
    catalog raises if it is away.
    """
    name = VIEWS.get(layer.name)
    if name is None:
        return False
    comment = "".join(tier.database.query(_COMMENT, {"name": name})["comment"])
    states = tier.unit_table.states(layer)
    cut = max((unit.end for unit, state in states.items() if state.released), default=None)
    if cut is None:
        if not comment:
            return False
        tier.database.command(warm_view(name))
        return True
    table = tier.warehouse.load(layer)
    types = tier.warm.types(layer)
    iceberg = tier.archive.table_function(table)
    rows = _spanning_rows(layer, types, iceberg, cut, _warm_days(states, cut), leaving)
    facts = {"cut": cut.isoformat(), "text": hashlib.sha256(rows.encode()).hexdigest()}
    new_comment = json.dumps(facts)
    if comment == new_comment:
        return False
    tier.database.command(
        f"CREATE OR REPLACE VIEW {name} AS {rows} COMMENT {format_str(new_comment)}"
    )
    return True


def refresh_all(tier: ColdTier) -> None:
    """Make all views show what is released, as it is committed now."""
    for layer in VIEWS:
        refresh(tier, LAYERS[layer])


def warm_view(name: str) -> str:
    """Return the statement that makes a view as the DDL files have it: of warm rows only."""
    begin = f"CREATE VIEW IF NOT EXISTS {name} AS"
    texts = (path.read_text("utf-8") for path in sorted(ddl.FOLDER.glob("*_cold.sql")))
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
    warm_key, cold_key = (", ".join(f"{row}.{name}" for name in layer.key) for row in "wr")
    warm, warm_keys = [], []
    for table, condition in _warm_tables(layer, leaving):
        warm.append(f"SELECT {names} FROM {table} AS w FINAL WHERE {condition}")
        warm_keys.append(
            f"SELECT {warm_key} FROM {table} AS w FINAL "
            f"WHERE {is_archived.format('w')} AND {condition}"
        )
    cold = (
        f"SELECT {relations.cold_columns(types)} FROM {iceberg} AS r "
        f"WHERE {is_archived.format('r')} AND ({cold_key}) NOT IN ({' UNION ALL '.join(warm_keys)})"
    )
    return " UNION ALL ".join([*warm, cold])


def _warm_tables(layer: Layer, leaving: Leaving | None) -> Iterable[tuple[str, str]]:
    """Yield the tables with warm rows, and the condition of those that are read."""
    if leaving is None:
        yield layer.source, "1"
        return
    newest = (leaving.newest - EPOCH) // timedelta(microseconds=1)
    is_newer = f"w.{layer.changed} > fromUnixTimestamp64Micro({newest}, 'UTC')"
    span = _within(layer, "w", leaving.begin, leaving.end)
    yield layer.source, f"(NOT ({span}) OR {is_newer})"
    yield leaving.table, is_newer


def _within(layer: Layer, row: str, begin: datetime, end: datetime) -> str:
    time = f"{row}.{layer.time}"
    return f"{time} >= {_time_sql(layer, begin)} AND {time} < {_time_sql(layer, end)}"


def _time_sql(layer: Layer, time: datetime) -> str:
    kind = "toDateTime" if layer.name == "gold.ohlcv" else "toDateTime64"
    digits = "" if layer.name == "gold.ohlcv" else "6, "
    return f"{kind}('{time:%Y-%m-%d %H:%M:%S}', {digits}'UTC')"


def _warm_days(states: Mapping[Unit, UnitState], cut: datetime) -> list[tuple[datetime, datetime]]:
    """Return the ranges of days before the cut with units of which none was released."""
    released = {unit.day for unit, state in states.items() if state.released}
    days = sorted({unit.day for unit in states if unit.begin < cut} - released)
    ranges: list[tuple[datetime, datetime]] = []
    for day in days:
        end = day + timedelta(days=1)
        if ranges and ranges[-1][1] == day:
            ranges[-1] = ranges[-1][0], end
        else:
            ranges.append((day, end))
    return ranges
