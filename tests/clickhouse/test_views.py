"""Tables and views, on the embedded engine."""

from decimal import Decimal

import pytest

from candlewax.clickhouse import ddl
from candlewax.clickhouse.client import Database
from tests.exchanges import test_binance, test_coinbase, test_kraken
from tests.exchanges.test_coinbase import ADVANCED
from tests.support.decoding import read
from tests.support.oracle import Fill
from tests.support.playing import EPOCH_ZERO, binance, kraken_v1, play, received

BASE = Fill("binance", "BTC/USDT", "1", 1, EPOCH_ZERO, True, Decimal(10), Decimal(3))


def store_frames(tables: Database, exchange: str, *texts: str) -> None:
    """Store decoded frames."""
    bronze = read(exchange, *texts).bronze.with_columns(kind=1)
    rows = [
        [row[n] for n in ("exchange", "connection", "source", "source_offset", "received_at",
                          "frame", "kind", "trades")]
        for row in bronze.rows(named=True)
    ]  # fmt: skip
    tables.client.insert(
        "bronze_frames",
        [[*row[:6], "trade", row[7]] for row in rows],
        column_names=["exchange", "connection", "source", "source_offset", "received_at",
                      "frame", "kind", "trades"],
    )  # fmt: skip


def test_applying_the_ddl_again_changes_nothing(tables: Database) -> None:
    """All tables and views exist already."""
    sql = (
        "SELECT name, create_table_query, metadata_modification_time FROM system.tables "
        "WHERE database = currentDatabase() AND NOT startsWith(name, '.')"
    )
    before = sorted(tables.query(sql).rows())
    ddl.apply(tables.client)
    assert sorted(tables.query(sql).rows()) == before
    assert len(before) > 20


def test_applying_the_ddl_restores_changed_objects(tables: Database) -> None:
    """Changed by hand or by an older release."""
    sql = "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase()"
    sql += " AND NOT startsWith(name, '.')"
    before = sorted(tables.query(sql).rows())
    for change in (
        "DROP VIEW ohlcv_1m",
        "CREATE OR REPLACE VIEW ohlcv_5m AS SELECT 1",
        "ALTER TABLE ohlcv DROP INDEX by_update",
    ):
        tables.client.command(change)
        assert sorted(tables.query(sql).rows()) != before
        ddl.apply(tables.client)
        assert sorted(tables.query(sql).rows()) == before


def test_statement_ends_with_a_semicolon_at_the_end_of_a_line() -> None:
    """Comments alone are no statement."""
    sql = "-- a; b\nCREATE x;\n\nCREATE y -- c\n;\n-- the end\n"
    assert list(ddl.split_statements(sql)) == ["-- a; b\nCREATE x", "CREATE y -- c"]


@pytest.mark.parametrize("frame", [test_binance.BARE, test_binance.OLD, test_binance.ENVELOPE])
def test_view_shows_binance_trades_of_stored_frames(tables: Database, frame: str) -> None:
    """With native names, and amounts as text."""
    store_frames(tables, "binance", frame)
    (row,) = tables.query("SELECT s, t, p, q, T, m FROM bronze_trades_binance").rows()
    assert row == ("BNBBTC", 12345, "0.00100000", "100.00000000", 1672515782134, True)


def test_view_shows_kraken_trades_of_both_protocols(tables: Database) -> None:
    """Each trade with its place in the frame."""
    store_frames(tables, "kraken", test_kraken.V2, test_kraken.V1)
    rows = tables.query(
        "SELECT protocol, source_index, symbol, side, price, qty, trade_id, timestamp "
        "FROM bronze_trades_kraken ORDER BY source_offset, source_index"
    ).rows()
    assert rows == [
        ("v2", 0, "MATIC/USD", "sell", "0.5117", "40.0", 4665906, "2023-09-25T07:49:37.708706Z"),
        ("v2", 1, "MATIC/USD", "buy", "0.5118", "0.00000001", 4665907,
         "2023-09-25T07:49:37.708706Z"),
        ("v1", 0, "XBT/USD", "s", "5541.20000", "0.15850568", 0, "1534614057.321597"),
        ("v1", 1, "XBT/USD", "b", "6060.00000", "0.02455000", 0, "1534614057.324998"),
    ]  # fmt: skip


def test_view_shows_coinbase_trades_of_both_protocols(tables: Database) -> None:
    """With the side of the maker, as the exchange sends it."""
    store_frames(tables, "coinbase", ADVANCED, test_coinbase.MATCH)
    rows = tables.query(
        "SELECT protocol, source_index, product_id, trade_id, price, size, side, time "
        "FROM bronze_trades_coinbase ORDER BY source_offset, source_index"
    ).rows()
    assert rows == [
        ("advanced", 0, "ETH-USD", "000000002", "1260.01", "0.3", "BUY",
         "2019-08-14T20:42:27.265999999Z"),
        ("advanced", 1, "ETH-USD", "1", "1260", "0.1", "SELL", "2019-08-14T20:42:27Z"),
        ("exchange", 0, "BTC-USD", "10", "400.23", "5.23512", "sell",
         "2014-11-07T08:19:27.028459Z"),
    ]  # fmt: skip


def fills(*seconds: int) -> list[Fill]:
    return [
        Fill("binance", "BTC/USDT", str(n), n, EPOCH_ZERO + second * 1_000_000, True,
             Decimal(10 + n), Decimal(3))
        for n, second in enumerate(seconds, 1)
    ]  # fmt: skip


def test_view_of_candles_has_their_end_and_average_price(tables: Database) -> None:
    """In each timeframe."""
    frames = [binance(n, f.time, f) for n, f in enumerate(fills(0, 1))]
    play(received(frames), tables)
    row = tables.query(
        "SELECT toUnixTimestamp(window_start) AS start, toUnixTimestamp(window_end) AS end, vwap "
        "FROM ohlcv_5m"
    ).row(0, named=True)
    assert (row["end"] - row["start"], row["start"] % 300) == (300, 0)
    assert row["vwap"] == Decimal("11.5")
    for name in ("1m", "15m", "30m", "1h", "1d"):
        assert tables.query(f"SELECT count() FROM ohlcv_{name}").item() == 1


def test_filled_view_shows_windows_without_trades(tables: Database) -> None:
    """At the last close, between the first and last candle of a market; they are not stored."""
    frames = [binance(n, f.time, f) for n, f in enumerate(fills(0, 185))]
    play(received(frames), tables)
    rows = tables.query(
        "SELECT filled, open, close, volume, trade_count, vwap FROM ohlcv_1m_filled "
        "WHERE symbol = 'BTC/USDT' ORDER BY window_start"
    ).rows()
    assert rows == [
        (False, Decimal(11), Decimal(11), Decimal(3), 1, Decimal(11)),
        (True, Decimal(11), Decimal(11), Decimal(0), 0, None),
        (True, Decimal(11), Decimal(11), Decimal(0), 0, None),
        (False, Decimal(12), Decimal(12), Decimal(3), 1, Decimal(12)),
    ]
    assert tables.query("SELECT count() FROM ohlcv_1m").item() == 2


def test_retention_counts_from_the_insert_of_a_row(tables: Database) -> None:
    """Replayed history is kept, however old its trades are."""
    old = Fill("binance", "BTC/USDT", "1", 1, 1_000_000_000_000_000, True, Decimal(1), Decimal(1))
    play(received([binance(0, old.time, old)]), tables)
    for table in ("bronze_frames", "silver_trades", "ohlcv"):
        tables.client.command(f"OPTIMIZE TABLE {table} FINAL")
        assert tables.query(f"SELECT count() FROM {table}").item() > 0


def test_candle_is_not_replaced_by_one_of_fewer_trades(tables: Database) -> None:
    """A process that knows fewer trades writes a lower version."""
    frames = [binance(n, f.time, f) for n, f in enumerate(fills(0, 1, 2))]
    play(received(frames), tables)
    tables.client.command(
        "INSERT INTO ohlcv "
        "SELECT * REPLACE (1 AS trade_count, 2 AS version, 99 AS close) FROM ohlcv FINAL"
    )
    rows = tables.query("SELECT DISTINCT trade_count, close FROM ohlcv FINAL").rows()
    assert rows == [(3, Decimal(13))]


CERTIFICATE = ("repaired", "revision", "missing", "status", "feed_down_ms")


def test_candle_of_an_older_release_is_unverified(tables: Database) -> None:
    """Its table gets the columns of certificates when the DDL is applied."""
    for view in tables.query(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%View'"
    )["name"]:
        tables.client.command(f"DROP TABLE {view}")
    drops = ", ".join(f"DROP COLUMN {name}" for name in CERTIFICATE)
    tables.client.command(f"ALTER TABLE ohlcv {drops}")
    tables.client.command(
        "INSERT INTO ohlcv (timeframe, exchange, symbol, window_start, volume, closed) "
        "VALUES ('1m', 'x', 'A/B', 0, 1, true), ('1m', 'x', 'A/B', 60, 1, false)"
    )
    ddl.apply(tables.client)
    rows = tables.query(
        "SELECT toString(status) AS status, missing, feed_down_ms, repaired, revision "
        "FROM ohlcv_1m ORDER BY window_start"
    ).rows()
    assert rows == [("unverified", 0, 0, 0, 0), ("forming", 0, 0, 0, 0)]


FUTURE = 1_900_000_000
"""A second after which no row is deleted by age."""


def revision(tables: Database, known_s: int, version: int, missing: int, cause: str) -> None:
    """Store a version of a closed candle, as known at a second."""
    tables.client.command(
        "INSERT INTO ohlcv_revisions "
        "(timeframe, exchange, symbol, window_start, volume, version, missing, status, cause, "
        "known_at) VALUES ('1m', 'x', 'A/B', 0, 1, {v:UInt64}, {m:UInt64}, {s:String}, {c:String}, "
        "fromUnixTimestamp64Micro({k:Int64}, 'UTC'))",
        parameters={
            "v": version,
            "m": missing,
            "s": "gaps" if missing else "complete",
            "c": cause,
            "k": (FUTURE + known_s) * 1_000_000,
        },
    )


def as_of(tables: Database, second: int) -> list[tuple[object, ...]]:
    """Return the candle as known at a second."""
    return tables.query(
        "SELECT version, missing FROM ohlcv_as_of(t = fromUnixTimestamp64Micro({t:Int64}, 'UTC'))",
        {"t": (FUTURE + second) * 1_000_000},
    ).rows()


def test_as_of_view_shows_the_latest_version_known_at_a_time(tables: Database) -> None:
    """A version that is stored again keeps its first time."""
    revision(tables, 10, 5, 0, "closed")
    revision(tables, 20, 5, 3, "late")
    revision(tables, 25, 5, 0, "recomputed")
    revision(tables, 30, 5, 0, "repaired")
    revision(tables, 40, 7, 0, "late")
    revision(tables, 50, 5, 3, "recomputed")
    assert [as_of(tables, second) for second in (9, 10, 20, 26, 30, 40, 60)] == [
        [], [(5, 0)], [(5, 3)], [(5, 3)], [(5, 0)], [(7, 0)], [(7, 0)]
    ]  # fmt: skip
    tables.client.command("OPTIMIZE TABLE ohlcv_revisions FINAL")
    times = tables.query("SELECT toUnixTimestamp(known_at) AS at FROM ohlcv_revisions ORDER BY at")
    assert [at - FUTURE for at in times["at"]] == [10, 20, 30, 40]


def test_as_of_query_of_one_market_reads_few_granules(tables: Database) -> None:
    """It reads at most a tenth of the granules of a hundred markets."""
    tables.client.command(
        "INSERT INTO ohlcv_revisions (timeframe, exchange, symbol, window_start, volume, version) "
        "SELECT '1m', 'x', concat('S', toString(number % 100)), intDiv(number, 100) * 60, 1, 5 "
        "FROM numbers(200000)"
    )
    plan = tables.query(
        "EXPLAIN indexes = 1 SELECT * FROM ohlcv_as_of(t = now64(6)) "
        "WHERE timeframe = '1m' AND exchange = 'x' AND symbol = 'S7'"
    ).to_series()
    granules = [line.split(": ")[1] for line in plan if "Granules: " in line and "/" in line]
    read, total = map(int, granules[-1].split("/"))
    assert read <= total // 10


def test_frame_that_is_stored_again_keeps_its_first_row(tables: Database) -> None:
    """In a replay its trades are duplicates; the counts of the first row are right."""
    frame = kraken_v1(0, EPOCH_ZERO, [Fill("kraken", "BTC/USD", "", 0, EPOCH_ZERO, True, Decimal(1),
                                          Decimal(1))])  # fmt: skip
    for _ in range(2):
        play(received([frame]), tables)
    rows = tables.query("SELECT trades, duplicates FROM bronze_frames FINAL").rows()
    assert rows == [(1, 0)]


def test_market_outage_of_an_older_release_has_its_begin_as_since(
    tables: Database,
) -> None:
    """By our clock, as no other time was stored."""
    tables.client.command("ALTER TABLE market_outages DROP COLUMN since")
    tables.client.command(
        "INSERT INTO market_outages (exchange, symbol, began) VALUES ('x', 'A/B', '2026-01-02')"
    )
    for _ in range(2):
        ddl.apply(tables.client)
    assert tables.query("SELECT since = began AS same FROM market_outages").item()


@pytest.mark.parametrize(
    ("table", "times", "key"),
    [("watermarks", ["watermark"], "exchange"), ("outages", ["began", "ended"], "exchange, began")],
)
def test_row_of_an_older_release_is_one_of_all_markets(
    tables: Database, table: str, times: list[str], key: str
) -> None:
    """Shards become part of the key."""
    columns = ", ".join(f"{name} DateTime64(6, 'UTC')" for name in times)
    tables.client.command(f"DROP TABLE {table}")
    tables.client.command(
        f"CREATE TABLE {table} (exchange LowCardinality(String), {columns})"
        f" ENGINE = ReplacingMergeTree ORDER BY ({key})"
    )
    tables.client.command(f"INSERT INTO {table} (exchange) VALUES ('x')")
    for _ in range(2):
        ddl.apply(tables.client)
    assert tables.query(f"SELECT shards, shard FROM {table}").rows() == [(0, 0)]
    sorting = "SELECT sorting_key FROM system.tables WHERE database = currentDatabase()"
    stored = tables.query(f"{sorting} AND name = {{t:String}}", {"t": table}).item()
    assert stored == f"{key}, shards, shard"
