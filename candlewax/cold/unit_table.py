"""Table `cold_units`: what is known of each unit. It only remembers, the archive is the truth."""

import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import pyarrow as pa

from candlewax.clickhouse.client import Database
from candlewax.cold.layers import Layer
from candlewax.cold.units import EPOCH, Measure, Unit

WRITTEN: Final = "written"
COMMITTED: Final = "committed"
VERIFIED: Final = "verified"
SEALED: Final = "sealed"
RELEASED: Final = "released"
STATES: Final = (WRITTEN, COMMITTED, VERIFIED, SEALED, RELEASED)

_STATES: Final = """
SELECT layer, exchange, toUnixTimestamp(begin) AS begin_s, toString(cold_units.state) AS state,
    rows, content, clocks, settled, files, snapshot, measured_at, version,
    (layer, exchange, begin) IN (
        SELECT layer, exchange, begin FROM cold_releases FINAL
        WHERE released AND ({layer:String} = '' OR layer = {layer:String})
            AND begin >= {begin:DateTime('UTC')} AND begin < {end:DateTime('UTC')}
    ) AS released
FROM cold_units FINAL
WHERE ({layer:String} = '' OR layer = {layer:String})
    AND begin >= {begin:DateTime('UTC')} AND begin < {end:DateTime('UTC')}
ORDER BY layer, begin, exchange
"""

_DAYS: Final = """
SELECT toUnixTimestamp(toStartOfDay(begin)) AS day,
    toUnixTimestamp(maxIf(begin, (exchange, begin) IN (
        SELECT exchange, begin FROM cold_releases FINAL
        WHERE layer = {layer:String} AND released
    ))) AS last_released
FROM cold_units FINAL
WHERE layer = {layer:String}
GROUP BY day
ORDER BY day
"""

_SCHEMA: Final = pa.schema(
    {
        "layer": pa.string(), "exchange": pa.string(), "begin": pa.timestamp("s", "UTC"),
        "state": pa.string(), "rows": pa.uint64(), "content": pa.string(), "clocks": pa.string(),
        "settled": pa.bool_(), "files": pa.list_(pa.string()), "snapshot": pa.int64(),
        "measured_at": pa.timestamp("us", "UTC"), "version": pa.uint64(),
    }
)  # fmt: skip


@dataclass(frozen=True)
class UnitState:
    """Row of `cold_units`: state, measure of the cold rows, files and Iceberg snapshot of a unit.

    `released`: its warm rows were dropped once, so warm rows of it are only what came later. Only
    `store_released` takes it back.
    """

    unit: Unit
    state: str
    measure: Measure
    settled: bool
    files: tuple[str, ...]
    snapshot: int
    measured_at: datetime
    released: bool = False
    version: int = 0

    def advance(self, state: str) -> "UnitState":
        """Return the same unit in another state."""
        return replace(self, state=state)

    @property
    def is_verified(self) -> bool:
        """True if ClickHouse has read these rows back from the archive and found them equal."""
        return STATES.index(self.state) >= STATES.index(VERIFIED)


class Day(NamedTuple):
    """A day with known units, and the end of the last one that was released, if any was."""

    begin: datetime
    released_until: datetime | None


class UnitTable:
    """Reader and writer of `cold_units` and `cold_marks`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def states(
        self, layer: Layer | None = None, begin: datetime = EPOCH, end: datetime | None = None
    ) -> dict[Unit, UnitState]:
        """Return the known units of a layer, or of all, that begin in a time range."""
        rows = self._database.query(
            _STATES,
            {
                "layer": layer.name if layer else "",
                "begin": f"{begin:%Y-%m-%d %H:%M:%S}",
                "end": f"{end or datetime(2106, 1, 1, tzinfo=UTC):%Y-%m-%d %H:%M:%S}",
            },
        )
        found = {}
        for row in rows.iter_rows(named=True):
            begin_time = EPOCH + timedelta(seconds=int(row["begin_s"]))
            unit = Unit(str(row["layer"]), str(row["exchange"]), begin_time)
            found[unit] = UnitState(
                unit,
                str(row["state"]),
                Measure(row["rows"], row["content"], int(row["clocks"])),
                bool(row["settled"]),
                tuple(row["files"]),
                row["snapshot"],
                _in_utc(row["measured_at"]),
                bool(row["released"]),
                row["version"],
            )
        return found

    def newest_verified(self) -> list[tuple[Unit, datetime]]:
        """Return the newest verified unit of each layer and exchange, and its end."""
        rows = self._database.query(
            "SELECT layer, exchange, toUnixTimestamp(max(begin)) AS newest FROM cold_units FINAL "
            "WHERE state >= 'verified' AND begin > 0 GROUP BY layer, exchange"
        )
        units = (
            Unit(str(layer), str(exchange), EPOCH + timedelta(seconds=int(newest)))
            for layer, exchange, newest in rows.iter_rows()
        )
        return [(unit, unit.end) for unit in units]

    def days(self, layer: Layer) -> list[Day]:
        """Return the days with known units of a layer that has units of time."""
        found = []
        for day, last in self._database.query(_DAYS, {"layer": layer.name}).iter_rows():
            until = EPOCH + timedelta(seconds=int(last)) + (layer.span or timedelta())
            found.append(Day(EPOCH + timedelta(seconds=int(day)), until if last else None))
        return found

    def store(self, states: Iterable[UnitState]) -> None:
        """Store states. Each replaces what was known of its unit.

        `released` is stored if it is true: what a process knew of a unit before another released it
        must not take that back.
        """
        states = list(states)
        rows = [
            {
                "layer": one.unit.layer, "exchange": one.unit.exchange, "begin": one.unit.begin,
                "state": one.state, "rows": one.measure.rows, "content": one.measure.content,
                "clocks": str(one.measure.clocks), "settled": one.settled,
                "files": list(one.files), "snapshot": one.snapshot,
                "measured_at": one.measured_at, "version": _next_version(one.version),
            }
            for one in states
        ]  # fmt: skip
        if rows:
            self._insert("cold_units", rows, _SCHEMA)
        self.store_released([one.unit for one in states if one.released], released=True)

    def store_released(self, units: Iterable[Unit], *, released: bool) -> None:
        """Store that the warm rows of units were dropped, or that they are back."""
        schema = pa.schema(
            {
                "layer": pa.string(), "exchange": pa.string(), "begin": pa.timestamp("s", "UTC"),
                "released": pa.bool_(), "version": pa.uint64(),
            }
        )  # fmt: skip
        rows = [
            {**unit._asdict(), "released": released, "version": _next_version(0)} for unit in units
        ]
        if rows:
            self._insert("cold_releases", rows, schema)

    def mark(self, layer: Layer) -> datetime:
        """Return the time up to which stored rows of a layer are offloaded; 1970 at first."""
        rows = self._database.query(
            "SELECT mark FROM cold_marks FINAL WHERE layer = {layer:String}", {"layer": layer.name}
        )
        return _in_utc(rows["mark"][0]) if len(rows) else EPOCH

    def store_mark(self, layer: Layer, mark: datetime) -> None:
        """Store the time up to which stored rows of a layer are offloaded."""
        schema = pa.schema(
            {"layer": pa.string(), "mark": pa.timestamp("us", "UTC"), "version": pa.uint64()}
        )
        row = {"layer": layer.name, "mark": mark, "version": _next_version(0)}
        self._insert("cold_marks", [row], schema)

    def _insert(self, table: str, rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> None:
        block = pa.Table.from_pylist(list(rows), schema=schema)
        self._database.insert(table, block, uuid.uuid4().hex)


def _next_version(version: int) -> int:
    """Return a greater version, even if the clock was set back."""
    return max(time.time_ns() // 1000, version + 1)


def _in_utc(time: datetime) -> datetime:
    return time if time.tzinfo else time.replace(tzinfo=UTC)
