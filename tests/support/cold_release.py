"""Archives whose units are sealed, and the views over warm and cold rows."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

from candlewax.clickhouse.client import Database
from candlewax.cold import views
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import SEALED, VERIFIED
from tests.support import cold_tables

VIEWS: Final = ("trades", "frames", "candles")

_KEYS: Final = {
    "trades": "exchange, symbol, timestamp, trade_id",
    "frames": "exchange, connection, received_at, source_offset",
    "candles": "timeframe, exchange, symbol, window_start",
}


def past_keep() -> datetime:
    """A time at which all rows stored now are past their keep."""
    return datetime.now(UTC) + timedelta(days=32)


def seal(tier: ColdTier) -> None:
    """Mark all verified units as sealed."""
    states = tier.unit_table.states().values()
    tier.unit_table.store(one.advance(SEALED) for one in states if one.state == VERIFIED)


def offload_and_seal(tier: ColdTier) -> None:
    """Offload all units that are due, and mark them as sealed."""
    assert tier.offloader.run_round().errors == ()
    seal(tier)


def archive(tier: ColdTier) -> None:
    """Play two hours, offload and seal them."""
    cold_tables.play(tier.database)
    offload_and_seal(tier)


def rows(database: Database, view: str) -> pl.DataFrame:
    """All rows of a view without our clock, in the order of their keys."""
    clock = "updated_at" if view == "candles" else "inserted_at"
    return database.query(f"SELECT * EXCEPT {clock} FROM {view} ORDER BY {_KEYS[view]}")


def all_rows(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all views."""
    return {view: rows(database, view).rows() for view in VIEWS}


def warm_count(database: Database, table: str) -> int:
    """Number of warm rows of a table."""
    return int(database.query(f"SELECT count() AS rows FROM {table}")["rows"][0])


def store_late_trade(database: Database) -> None:
    """Store a trade of the first hour that nobody has seen, as a late one is stored."""
    database.command(
        "INSERT INTO silver_trades SELECT * REPLACE ('late' AS trade_id, now64(6) AS inserted_at) "
        "FROM trades WHERE exchange = 'binance' AND trade_id = '100'"
    )


def make_warm(database: Database, names: Iterable[str] = VIEWS) -> None:
    """Make the views as they are without an archive, so that the next test can use the database."""
    comments = dict(
        database.query(
            "SELECT name, comment FROM system.tables WHERE database = currentDatabase() "
            "AND comment != ''"
        ).iter_rows()
    )
    for name in names:
        if name in comments:
            database.command(views.warm_view(name))
    for table in ("bronze_frames", "silver_trades", "dead_letters"):
        database.command(f"DROP TABLE IF EXISTS {table}_leaving SYNC")
