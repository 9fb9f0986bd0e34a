"""The content hash of a day, by which a rebuild is compared."""

import re

import pytest

from candlewax.clickhouse.client import Database
from tests.support.playing import play, received
from tests.support.rebuilding import Rebuild, minutely


def test_hash_equals_the_documented_query_in_any_order(
    tables: Database, rebuild_tables: Rebuild
) -> None:
    """Users can compute it. It depends on no order of rows, parts, or clock of ours."""
    play(received(minutely(30)), tables)
    query = """
        SELECT count() AS rows, lower(leftPad(hex(sum(content)), 32, '0')) AS hash
        FROM silver_content WHERE toDate(timestamp) = '2025-06-15'
    """
    before = tables.query(query).row(0)
    (day,) = [day for day in rebuild_tables().days if day.table == "silver_trades"]
    assert (day.stored.rows, day.stored.hash) == before
    tables.client.command("CREATE TABLE kept AS silver_trades")
    tables.client.command("INSERT INTO kept SELECT * FROM silver_trades")
    tables.client.command("TRUNCATE TABLE silver_trades")
    for odd in (1, 0):
        tables.client.command(
            "INSERT INTO silver_trades SELECT * REPLACE (now64(6) + 1 AS inserted_at) FROM kept "
            f"WHERE sequence % 2 = {odd} ORDER BY sequence DESC"
        )
    assert tables.query(query).row(0) == before


@pytest.mark.parametrize(
    ("table", "view", "clocks"),
    [
        ("silver_trades", "silver_content", {"inserted_at"}),
        ("ohlcv", "ohlcv_content", {"updated_at", "revision"}),
    ],
)
def test_hash_covers_every_column_except_clocks(
    tables: Database, table: str, view: str, clocks: set[str]
) -> None:
    """A column added to a table must be added to the hash, unless it depends on our clock."""
    columns = tables.query(
        f"SELECT name FROM system.columns WHERE database = currentDatabase() AND table = '{table}'"
    )["name"]
    text = tables.query(f"SELECT create_table_query FROM system.tables WHERE name = '{view}'")
    hashed = re.search(r"sipHash128\((.*)\)\) AS content", text[-1].item(0, 0))
    assert hashed
    names = set(re.findall(r"\w+", hashed[1]))
    assert set(columns) - names == clocks
