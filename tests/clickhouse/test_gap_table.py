"""The table of gaps merges rows in any order, and repeated ones."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from candlewax.clickhouse.client import Database

BEGIN = datetime(2026, 9, 14, tzinfo=UTC)

ROWS: list[dict[str, Any]] = [
    {"missing": 3, "state": "open", "attempts": 0, "at": 1, "before": 2, "after": 5},
    {"missing": 1, "state": "repairing", "attempts": 2, "at": 3, "before": 3, "after": 4},
    {"missing": 2, "state": "unrepairable", "attempts": 1, "at": 2, "before": 2, "after": 6},
]
"""Rows of one gap, in seconds from BEGIN, as different processes may write them."""


def at(second: int) -> datetime:
    return BEGIN + timedelta(seconds=second)


def store(tables: Database, row: dict[str, Any]) -> None:
    """Store a row by an insert of its own."""
    values = {
        "exchange": "x", "symbol": "A/B", "first_sequence": 5, "last_sequence": 7,
        "missing": row["missing"], "before": at(row["before"]), "after": at(row["after"]),
        "connection": f"c{row['at']}", "detected_at": at(row["at"]), "state": row["state"],
        "attempts": row["attempts"], "updated_at": at(row["at"]),
    }  # fmt: skip
    tables.client.insert("gaps", [list(values.values())], column_names=list(values))


@pytest.mark.parametrize("order", list(permutations(range(3))), ids=str)
def test_merged_gap_does_not_depend_on_the_order_of_its_rows(
    tables: Database, order: Sequence[int]
) -> None:
    """The count of missing trades only shrinks; state and attempts only advance."""
    for place in (*order, order[0]):
        store(tables, ROWS[place])
    sql = (
        "SELECT count, missing, toString(state), attempts, connection, "
        "arrayMap(time -> toUnixTimestamp(time) - {begin:UInt32}, "
        "[before, after, detected_at, updated_at]) FROM gaps FINAL"
    )
    rows = tables.query(sql, {"begin": int(BEGIN.timestamp())}).rows()
    assert rows == [(3, 1, "unrepairable", 2, "c3", [2, 6, 1, 3])]
