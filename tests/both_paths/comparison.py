"""Comparison of two ways of the same frames: state, counters and tables."""

import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import polars as pl

from candlewax.clickhouse.client import Database
from candlewax.core.snapshots import Snapshot
from tests.both_paths.path import FramePath

TABLES: Final = (
    "bronze_frames", "silver_trades", "dead_letters", "contradictions", "numberings", "gaps",
    "outages", "market_outages", "ohlcv", "ohlcv_revisions", "watermarks",
)  # fmt: skip
CUT_DEPENDENT: Final = frozenset({"ohlcv_revisions", "gaps"})
"""Tables of what was noticed, and when: with other cuts it is noticed at other times."""

ORDER_DEPENDENT: Final = frozenset({"revision"})
"""Columns that tell the order of processing. If the first trades of a process come in another order
than they were received, these may follow either."""

_OWN_CLOCK: Final = frozenset({"inserted_at", "updated_at", "known_at", "earliest"})
_COMPARED: Final = {
    "vendor_data": "mapSort(vendor_data) AS vendor_data",
    # The hash of a null is null, and so would be that of its whole row.
    "reason": "ifNull(reason, '') AS reason_text",
    # Windows end on whole minutes, so a watermark is exact to the minute only.
    "watermark": "toStartOfMinute(watermark) AS minute",
}
"""Expressions that are compared instead of a column."""

EXAMPLES: Final = 5

Differences = Iterator[str]


def find_state_differences(one: FramePath, other: FramePath) -> Differences:
    """Yield how the snapshots of two ways differ."""
    snapshots, others = one.snapshots(), other.snapshots()
    if snapshots.keys() != others.keys():
        yield f"exchanges: {sorted(snapshots)} and {sorted(others)}"
    for exchange in snapshots.keys() & others.keys():
        for step, saved, expected in zip(
            ("deduplicate", "candles"), snapshots[exchange], others[exchange], strict=True
        ):
            yield from _compare_values(f"{exchange} {step}", _plain(saved), _plain(expected))


def find_number_differences(one: FramePath, other: FramePath) -> Differences:
    """Yield how the known sequence numbers of two ways differ, whatever their cuts."""
    snapshots, others = one.snapshots(), other.snapshots()
    for exchange in snapshots.keys() | others.keys():
        found, expected = (_numbers(side.get(exchange)) for side in (snapshots, others))
        yield from _compare_values(f"{exchange} numbers", found, expected)


def _numbers(saved: tuple[Snapshot | None, Snapshot | None] | None) -> dict[str, Any]:
    deduplicator = saved[0] if saved else None
    return {
        series: (ranges["first"], ranges["last"])
        for series, ranges in (deduplicator["numbers"] if deduplicator else {}).items()
    }


def find_counter_differences(one: FramePath, other: FramePath) -> Differences:
    """Yield how counters and gauges differ.

    Forming candles and watermarks are stored more often as columns, so stored rows of them do not
    count.
    """
    sides = []
    for path in (one, other):
        counts = {
            name: count
            for name, count in path.counters.all_counts().items()
            if name not in {("stored", "ohlcv"), ("stored", "watermarks")}
        }
        sides.append((counts, path.counters.gauges()))
    for name, found, expected in zip(("count", "gauge"), *sides, strict=True):
        yield from _compare_values(name, found, expected)


def find_table_differences(
    one: Database,
    other: Database,
    tables: Sequence[str] = TABLES,
    ignored: frozenset[str] = frozenset(),
) -> Differences:
    """Yield how the tables of two databases of one engine differ, with some of their rows.

    Columns of our clock do not count, nor do the `ignored` ones.
    """
    for table in tables:
        columns = _columns(one, table, _OWN_CLOCK | ignored)
        hashed = f"SELECT count(), sum(sipHash64({columns})) FROM {table} FINAL"
        found, expected = (database.query(hashed).rows() for database in (one, other))
        if found != expected or found[0][1] is None:
            yield f"{table}: {found[0]} and {expected[0]}"
            yield from _list_rows(one, other, table, columns)


def _columns(database: Database, table: str, ignored: frozenset[str]) -> str:
    names = database.query(
        "SELECT name FROM system.columns WHERE database = currentDatabase()"
        " AND table = {table:String} ORDER BY position",
        {"table": table},
    )["name"]
    return ", ".join(_COMPARED.get(name, name) for name in names if name not in ignored)


def _list_rows(one: Database, other: Database, table: str, columns: str) -> Differences:
    for this, that in ((one, other), (other, one)):
        sides = (f"SELECT {columns} FROM {db.client.database}.{table} FINAL" for db in (this, that))
        query = f"SELECT * FROM ({' EXCEPT '.join(sides)}) LIMIT {EXAMPLES}"
        rows = one.query(query).rows(named=True)
        for row in rows:
            yield f"  only in {this.client.database}: {row}"


def _compare_values(name: str, found: Any, expected: Any) -> Differences:
    if isinstance(found, Mapping) and isinstance(expected, Mapping):
        for key in [*found, *(key for key in expected if key not in found)]:
            yield from _compare_values(f"{name} {key}", found.get(key), expected.get(key))
    elif found != expected:
        yield f"{name}: {str(found)[:2000]} and {str(expected)[:2000]}"


def _plain(value: Any) -> Any:
    """Return a snapshot with its frames as sorted rows."""
    if isinstance(value, bytes):
        return sorted(map(repr, pl.read_ipc(io.BytesIO(value)).rows()))
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list) and value and all(isinstance(inner, bytes) for inner in value):
        return sorted(row for inner in value for row in _plain(inner))
    return value
