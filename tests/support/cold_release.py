"""Archives whose units are sealed, and the views over warm and cold rows."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import polars as pl
import pyarrow.parquet as pq

from candlewax.clickhouse.client import Database
from candlewax.cold import views
from candlewax.cold.layers import LAYERS
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import SEALED, VERIFIED
from candlewax.cold.units import Unit

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


def offload_and_seal(tier: ColdTier, *names: str) -> None:
    """Offload the units of some layers, by default of all, that are due. Mark them as sealed."""
    layers = [LAYERS[name] for name in names or LAYERS]
    assert tier.offloader.run_round(layers=layers).errors == ()
    seal(tier)


def rows(database: Database, view: str) -> pl.DataFrame:
    """All rows of a view without our clock, in the order of their keys."""
    clock = "updated_at" if view == "candles" else "inserted_at"
    key = _KEYS["trades" if view.startswith("silver_trades") else view]
    return database.query(f"SELECT * EXCEPT {clock} FROM {view} ORDER BY {key}")


def all_rows(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all views."""
    return {view: rows(database, view).rows() for view in VIEWS}


def warm_count(database: Database, table: str) -> int:
    """Number of warm rows of a table."""
    return int(database.query(f"SELECT count() AS rows FROM {table}")["rows"][0])


def move_offload(tier: ColdTier, by: timedelta) -> None:
    """Let all units have been measured later, or earlier, than they were."""
    states = tier.unit_table.states().values()
    tier.unit_table.store(replace(one, measured_at=one.measured_at + by) for one in states)


def store_late_trade(database: Database, trade_id: str) -> None:
    """Store a trade of the first hour that nobody has seen, as a late one is stored."""
    database.command(
        f"INSERT INTO silver_trades SELECT * REPLACE ('{trade_id}' AS trade_id, "
        "now64(6) AS inserted_at) FROM trades AS t "
        "WHERE exchange = 'binance' AND t.trade_id = '101'"
    )


def archive_late_trade(tier: ColdTier, trade_id: str = "late") -> None:
    """Store a late trade, offload and seal it."""
    store_late_trade(tier.database, trade_id)
    offload_and_seal(tier, "silver.trades")


def warm_bytes(database: Database) -> int:
    """Bytes of the warm tables whose rows leave."""
    rows = database.query(
        "SELECT sum(bytes_on_disk) AS bytes FROM system.parts WHERE active AND rows > 0 "
        "AND database = currentDatabase() "
        "AND table IN ('bronze_frames', 'silver_trades', 'dead_letters')"
    )
    return int(rows["bytes"][0])


def spoil(tier: ColdTier, unit: Unit) -> Path:
    """Change a byte in the middle of the first page of a unit's file. Return its path."""
    layer = LAYERS[unit.layer]
    (file,) = tier.unit_table.states(layer)[unit].files
    path = Path(tier.warehouse.load(layer).location().removeprefix("file://")) / file
    content = bytearray(path.read_bytes())
    column = pq.read_metadata(path).row_group(0).column(layer.column_names.index("price"))
    content[column.data_page_offset + column.total_compressed_size // 2] ^= 0xFF
    path.write_bytes(content)
    return path


def text_of(database: Database, view: str) -> str:
    """The statement that makes a view."""
    found = database.query(
        "SELECT create_table_query FROM system.tables "
        "WHERE database = currentDatabase() AND name = {view:String}",
        {"view": view},
    )
    return str(found["create_table_query"][0])


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
