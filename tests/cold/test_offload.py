"""Offload: what is cold equals what is warm, and only what changed is written."""

import gc
import weakref
from decimal import Decimal

import polars as pl

from candlewax.cold.layers import LAYERS
from candlewax.cold.parquet_files import read_units
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import VERIFIED
from tests.support import cold_tables, playing
from tests.support.cold_tables import hour, scan

SILVER = LAYERS["silver.trades"]


def test_offloaded_trades_equal_those_of_the_frames_in_every_amount(traded: ColdTier) -> None:
    fills = playing.all_fills(cold_tables.two_hours())
    trades = scan(traded, "silver.trades").filter(pl.col("exchange") == "binance")
    of_binance = [fill for fill in fills if fill.exchange == "binance"]
    assert len(trades) == len(of_binance)
    assert trades["price"].sum() == sum(fill.price for fill in of_binance)
    assert sum(trades["quote_volume"].to_list(), Decimal()) == sum(
        fill.price * fill.quantity for fill in of_binance
    )
    assert set(trades["trade_id"]) == {fill.trade_id for fill in of_binance}


def test_every_offloaded_unit_is_verified(filled_tier: ColdTier) -> None:
    done = filled_tier.offloader.run_round()
    assert done.errors == ()
    states = filled_tier.unit_table.states()
    assert len(states) == done.offloaded > 0
    assert {state.state for state in states.values()} == {VERIFIED}
    assert {unit.layer for unit in states} >= {
        "raw.frames", "raw.dead_letters", "bronze.trades_binance", "bronze.trades_kraken",
        "silver.trades", "gold.ohlcv", "gold.ohlcv_revisions", "meta.watermarks",
    }  # fmt: skip


def test_second_round_writes_nothing(offloaded: ColdTier) -> None:
    before = offloaded.warehouse.load(SILVER).metadata_location
    assert offloaded.offloader.run_round(every_unit=True).offloaded == 0
    assert offloaded.warehouse.load(SILVER).metadata_location == before


def test_late_trade_changes_its_hour_only(tier: ColdTier) -> None:
    frames = cold_tables.two_hours()
    late = next(frame for frame in frames if frame.exchange == "binance" and frame.seq == 5)
    cold_tables.play(tier.database, [frame for frame in frames if frame is not late])
    tier.offloader.run_round(layers=[SILVER])
    before = tier.unit_table.states(SILVER)
    cold_tables.play(tier.database, [late])
    tier.offloader.run_round(layers=[SILVER])
    after = tier.unit_table.states(SILVER)
    changed = {unit for unit in after if after[unit].measure != before[unit].measure}
    assert changed == {hour("silver.trades", "binance")}
    assert after[hour("silver.trades", "binance")].measure.rows == 20
    assert len(scan(tier, "silver.trades")) == 82


def test_trade_stored_again_changes_nothing(offloaded: ColdTier) -> None:
    before = offloaded.unit_table.states(SILVER)
    offloaded.database.command(
        "INSERT INTO silver_trades SELECT * REPLACE (now64(6) AS inserted_at) FROM silver_trades"
    )
    done = offloaded.offloader.run_round(layers=[SILVER])
    assert (done.looked_at, done.offloaded) == (len(before), 0)
    after = offloaded.unit_table.states(SILVER)
    assert {unit: state.files for unit, state in after.items()} == {
        unit: state.files for unit, state in before.items()
    }


def test_footer_is_read_once_by_each_load_of_its_table_and_kept_no_longer(
    traded: ColdTier,
) -> None:
    """A load of a table brings its own access to the store, which a service must not collect."""
    table = traded.warehouse.load(SILVER)
    path = traded.warehouse.data_files(table)[0].file_path
    assert read_units(table.io, path) is read_units(table.io, path)
    io = weakref.ref(table.io)
    del table
    gc.collect()
    assert io() is None
