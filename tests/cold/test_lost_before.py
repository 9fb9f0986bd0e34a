"""Rows that simpler archives lose, freeze or double."""

import json

import polars as pl

from candlewax.cold.layers import LAYERS
from candlewax.cold.tier import ColdTier
from candlewax.cold.unit_table import VERIFIED
from candlewax.cold.units import Unit
from tests.support import cold_tables
from tests.support.cold_tables import FIRST_HOUR, hour
from tests.support.playing import Frame, binance
from tests.support.rebuilding import BEGIN, HOUR, SECOND, fill

DAY = 24 * HOUR
MIDNIGHT = BEGIN // DAY * DAY
CANDLES = Unit("gold.ohlcv", "binance", FIRST_HOUR.replace(hour=0))


def frames_at(*seconds: float, first: int = 1, symbol: str = "BTC/USDT") -> list[Frame]:
    """Frames of a trade each, at seconds after midnight."""
    times = [MIDNIGHT + int(second * SECOND) for second in seconds]
    trades = [fill(100 + n, time, symbol=symbol) for n, time in enumerate(times, first)]
    return [binance(n, one.time + 50_000, one) for n, one in enumerate(trades, first)]


def cold(tier: ColdTier, layer: str) -> pl.DataFrame:
    """The committed rows, as Polars reads them."""
    table = tier.warehouse.load(LAYERS[layer])
    return pl.scan_iceberg(table, reader_override="native").collect()


def candles(tier: ColdTier, timeframe: str) -> list[tuple[int, int]]:
    """Opening second of each cold candle of the day, and its number of trades."""
    rows = cold(tier, "gold.ohlcv").filter(pl.col("timeframe") == timeframe).sort("window_start")
    return [
        (int(row["window_start"].timestamp()) - MIDNIGHT // SECOND, row["trade_count"])
        for row in rows.iter_rows(named=True)
    ]


def test_open_candle_of_a_day_is_not_archived_before_it_closes(tier: ColdTier) -> None:
    """An archive that copies each hour once keeps it as it was in the first hour."""
    cold_tables.play(tier.database, frames_at(10, 20, 3600, 7300))
    tier.writer.offload([CANDLES])
    assert candles(tier, "1d") == []
    assert candles(tier, "1h") == [(0, 2), (3600, 1)]
    cold_tables.play(tier.database, frames_at(20 * 3600, 24 * 3600 + 5, first=5))
    tier.writer.offload([CANDLES])
    assert candles(tier, "1d") == [(0, 5)]
    assert tier.unit_table.states(LAYERS["gold.ohlcv"])[CANDLES].state == VERIFIED


def test_hour_of_a_quiet_market_is_archived_though_nothing_came_since(tier: ColdTier) -> None:
    """An archive that takes the rows stored in the last hour skips it."""
    cold_tables.play(tier.database, frames_at(10 * 3600 + 60, symbol="ETH/USDT"))
    layers = [LAYERS["silver.trades"]]
    first = list(tier.offloader.items(layers=layers))
    # A day later by the clock, or once another market moves the watermark on.
    cold_tables.play(tier.database, frames_at(13 * 3600, first=2))
    tier.offloader.run_round(layers=layers)
    assert first
    rows = cold(tier, "silver.trades").filter(pl.col("symbol") == "ETH/USDT")
    assert rows["trade_id"].to_list() == ["101"]


def test_unit_committed_before_a_crash_is_not_added_again(filled_tier: ColdTier) -> None:
    """An archive that appends after an unknown outcome doubles it."""
    unit = hour("silver.trades", "binance")
    staged = filled_tier.writer.stage([unit])
    assert staged.plan is not None
    filled_tier.writer.commit(staged, staged.plan)
    filled_tier.database.command("TRUNCATE TABLE cold_units")
    filled_tier.writer.offload([unit])
    assert len(cold(filled_tier, "silver.trades")) == 20
    assert filled_tier.unit_table.states(LAYERS["silver.trades"])[unit].state == VERIFIED


def test_fields_that_only_one_exchange_has_are_archived(tier: ColdTier) -> None:
    """Conditions and vendor data: an archive of fixed columns leaves out lists and maps."""
    trade = {
        "e": "trade", "E": BEGIN // 1000, "T": BEGIN // 1000, "s": "BTCUSDT", "t": 1, "p": "7",
        "q": "2", "X": "INSURANCE_FUND", "m": False, "zz": "kept",
    }  # fmt: skip
    text = json.dumps(trade)
    cold_tables.play(tier.database, [Frame("binance_usdm", "u0", 1, BEGIN + 5, text, ())])
    tier.writer.offload([hour("silver.trades", "binance_usdm")])
    row = cold(tier, "silver.trades").row(0, named=True)
    assert row["conditions"] == ["INSURANCE_FUND"]
    assert dict(row["vendor_data"])["zz"] == "kept"


def test_frame_is_archived_byte_for_byte(offloaded: ColdTier) -> None:
    """Also one that is a dead letter."""
    texts = sorted(frame.text.encode() for frame in cold_tables.two_hours())
    assert sorted(cold(offloaded, "raw.frames")["frame"]) == texts
    assert cold(offloaded, "raw.dead_letters")["frame"].to_list() == [b"{not JSON"]


def test_commit_forestalled_by_another_is_planned_again(filled_tier: ColdTier) -> None:
    """Two who add the same hour at once: the second finds it there."""
    unit = hour("silver.trades", "binance")
    mine, other = filled_tier.writer.stage([unit]), filled_tier.writer.stage([unit])
    filled_tier.writer.complete(other)
    assert filled_tier.writer.complete(mine) == {}
    assert len(cold(filled_tier, "silver.trades")) == 20


def test_number_beyond_the_range_of_iceberg_is_refused_by_name(filled_tier: ColdTier) -> None:
    """Iceberg has no unsigned numbers: it must not become another one. All other units are cold."""
    filled_tier.database.command(
        "INSERT INTO silver_trades SELECT * REPLACE (toUInt64(9223372036854775808) AS sequence, "
        "'big' AS trade_id) FROM silver_trades WHERE exchange = 'binance' LIMIT 1"
    )
    layers = [LAYERS["silver.trades"]]
    result = filled_tier.offloader.run_round(layers=layers)
    (error,) = result.errors
    assert error.startswith("silver.trades binance 2025-06-15 10:00: a value does not fit")
    assert cold(filled_tier, "silver.trades").height == 82 - 20
    assert filled_tier.offloader.run_round(layers=layers).errors == result.errors
