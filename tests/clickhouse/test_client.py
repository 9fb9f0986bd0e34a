"""Queries over a database connection."""

import pytest

from candlewax.clickhouse.client import Database, QueryError

FAILS_LATE = "SELECT throwIf(number = 100000, 'late') AS n, number FROM numbers(200000)"


def test_query_after_a_failed_one_has_its_own_answer(tables: Database) -> None:
    """The engine has written the begin of an answer before it fails."""
    for _ in range(3):
        with pytest.raises(QueryError, match="late"):
            tables.query(FAILS_LATE)
        assert tables.query("SELECT 7 AS n").rows() == [(7,)]
