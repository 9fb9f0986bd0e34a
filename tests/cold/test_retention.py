"""TTL of the warm tables, which is off while there is a cold tier."""

from candlewax.clickhouse import ddl
from candlewax.clickhouse.client import Database
from candlewax.cold import retention


def engines(database: Database) -> dict[str, str]:
    found = database.query(
        "SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() "
        "AND name IN {names:Array(String)} ORDER BY name",
        {"names": list(retention.TABLES)},
    )
    return dict(found.iter_rows())


def test_ttl_is_removed_until_it_is_restored(tables: Database) -> None:
    before = engines(tables)
    assert all(" TTL " in text for text in before.values())
    assert set(retention.ttl_texts()) >= set(retention.TABLES)
    assert set(retention.remove_ttl(tables)) == set(retention.TABLES)
    assert not any(" TTL " in text for text in engines(tables).values())
    assert retention.remove_ttl(tables) == ()
    ddl.apply(tables.client)
    assert not any(" TTL " in text for text in engines(tables).values())
    assert set(retention.restore_ttl(tables)) == set(retention.TABLES)
    assert engines(tables) == before
    assert retention.restore_ttl(tables) == ()
