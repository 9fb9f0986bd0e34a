"""Warm and cold rows of one key: the one counts that ClickHouse would keep in one table."""

from collections.abc import Iterable

import polars as pl
import pytest

from candlewax.cold.layers import LAYERS
from candlewax.cold.release import Releaser
from candlewax.cold.tier import ColdTier
from tests.support import cold_release, cold_tables
from tests.support.cold_release import past_keep

FRAMES = LAYERS["raw.frames"]
CANDLES = LAYERS["gold.ohlcv"]
REVISIONS = LAYERS["gold.ohlcv_revisions"]

ONE_CANDLE = "WHERE timeframe = '1h' AND exchange = 'binance' ORDER BY window_start, symbol LIMIT 1"


def lose_warm(tier: ColdTier, names: Iterable[str]) -> None:
    """Lose the warm rows of layers, as with a database that is new beside an old archive."""
    for name in names:
        layer = LAYERS[name]
        tier.unit_table.store_released(tier.unit_table.states(layer), released=True)
        tier.database.command(f"TRUNCATE TABLE {layer.source} SYNC")
    tier.views.refresh_all()


def counts(rows: pl.DataFrame) -> list[tuple[object, ...]]:
    names = ("exchange", "symbol", "version", "trade_count")
    return sorted(rows.select(pl.col(names).cast(pl.String)).rows())


@pytest.mark.parametrize("more", [-1, 1])
def test_candle_with_more_trades_counts(archived: ColdTier, more: int) -> None:
    """A process that begins in the middle of a candle stores it with fewer trades."""
    lose_warm(archived, ["gold.ohlcv"])
    before = cold_release.rows(archived.database, "candles")
    archived.database.command(
        f"INSERT INTO ohlcv SELECT * REPLACE (toUInt64(version + 2 * {more}) AS version, "
        f"toUInt64(trade_count + {more}) AS trade_count, now64(6) AS updated_at) "
        f"FROM candles {ONE_CANDLE}"
    )
    after = cold_release.rows(archived.database, "candles")
    changed = [pair for pair in zip(after.rows(), before.rows(), strict=True) if pair[0] != pair[1]]
    assert len(changed) == (1 if more > 0 else 0)
    assert sum(after["trade_count"]) - sum(before["trade_count"]) == max(more, 0)
    archived.writer.offload(archived.unit_table.states(CANDLES))
    assert counts(cold_tables.scan(archived, "gold.ohlcv")) == counts(after)


@pytest.mark.parametrize("more", [-1, 1])
def test_frame_with_more_new_trades_counts(archived: ColdTier, more: int) -> None:
    """A frame that is replayed has only duplicates."""
    Releaser(archived).run_layer(FRAMES, past_keep())
    before = cold_release.rows(archived.database, "frames")
    archived.database.command(
        f"INSERT INTO bronze_frames SELECT * REPLACE (toUInt16(trades + 1) AS trades, "
        f"toUInt16(duplicates + {1 - more}) AS duplicates, now64(6) AS inserted_at) "
        "FROM frames WHERE exchange = 'binance' AND kind = 'trade' ORDER BY received_at LIMIT 1"
    )
    after = cold_release.rows(archived.database, "frames")
    assert after.height == before.height
    assert sum(after["trades"]) - sum(before["trades"]) == max(more, 0)
    cold_release.offload_and_seal(archived, FRAMES.name)
    assert cold_tables.scan(archived, "raw.frames")["trades"].sum() == after["trades"].sum()
    assert Releaser(archived).run_layer(FRAMES, past_keep()).held == ()
    assert cold_release.rows(archived.database, "frames").equals(after)


@pytest.mark.parametrize("seconds", [-5, 5])
def test_revision_keeps_its_earliest_time(archived: ColdTier, seconds: int) -> None:
    archived.database.command("CREATE TABLE kept AS ohlcv_revisions")
    archived.database.command("INSERT INTO kept SELECT * FROM ohlcv_revisions FINAL")
    before = cold_tables.scan(archived, "gold.ohlcv_revisions")["known_at"]
    lose_warm(archived, ["gold.ohlcv_revisions"])
    archived.database.command(
        f"INSERT INTO ohlcv_revisions SELECT * REPLACE (known_at + {seconds} AS known_at) "
        f"FROM kept {ONE_CANDLE}"
    )
    archived.database.command("DROP TABLE kept SYNC")
    archived.writer.offload(archived.unit_table.states(REVISIONS))
    after = cold_tables.scan(archived, "gold.ohlcv_revisions")["known_at"]
    assert after.len() == before.len()
    earlier = sorted(set(after) - set(before))
    assert len(earlier) == (1 if seconds < 0 else 0)


def test_row_stored_before_and_after_its_day_moves_is_shown_once(archived: ColdTier) -> None:
    before = cold_release.rows(archived.database, "trades")
    shown: list[int] = []

    def after_step(step: str) -> None:
        if step in {"hidden", "moved"}:
            # From the first trade each time, so both are the same row.
            cold_release.store_late_trade(archived.database, "late")
            shown.append(cold_release.rows(archived.database, "trades").height)

    Releaser(archived, after_step).run_layer(LAYERS["silver.trades"], past_keep())
    assert shown == [before.height + 1] * 2
    assert cold_release.rows(archived.database, "trades").height == before.height + 1
