"""Databases for one test after the other."""

import pytest

from candlewax.verification.verify import verify
from tests.support.databases import Databases


@pytest.mark.parametrize(
    ("statement", "is_used_again"),
    [
        ("SYSTEM WAIT VIEW ohlcv_check_mv", True),
        ("INSERT INTO market_outages (exchange) VALUES ('kraken')", True),
        ("ALTER TABLE ohlcv ADD COLUMN colour String", False),
        ("DROP VIEW ohlcv_1m", False),
        ("CREATE TABLE other (n UInt8) ENGINE = MergeTree ORDER BY n", False),
    ],
)
def test_database_is_used_again_unless_its_definitions_changed(
    databases: Databases, statement: str, is_used_again: bool
) -> None:
    """It is empty then; to make one costs a hundred times as much."""
    with databases.one() as tables:
        name = tables.client.database
        verify(tables.client)
        tables.command(statement)
    with databases.one() as tables:
        assert (tables.client.database == name) == is_used_again
        assert tables.query("SELECT count() FROM market_outages").item() == 0
