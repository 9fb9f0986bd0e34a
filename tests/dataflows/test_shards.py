"""The whole pipeline with exchanges in shards: the same tables, and watermarks by shard."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bytewax.testing import TestingSource

from candlewax.clickhouse.client import Database
from candlewax.core.shards import ShardPlan
from candlewax.pipeline.process import ProcessContext
from candlewax.pipeline.recovery_store import drop_stale_states
from candlewax.runtime.counters import Counters
from candlewax.verification.verify import verify
from tests.support import oracle
from tests.support.crashing import stores
from tests.support.oracle import Fill
from tests.support.playing import (
    EPOCH_ZERO,
    INSTRUMENTS,
    Frame,
    all_fills,
    clear,
    play,
    received,
)
from tests.support.shard_frames import market_frames, shard_number
from tests.support.stored import expected_silver, gold, silver

pytestmark = pytest.mark.slow("each case runs the whole pipeline", seconds=10)


def event(kind: str, connection: str, seq: int, time: int, process: str) -> Frame:
    """An event of a connection."""
    content = {"candlewax": kind, "connection": connection, "process": process}
    return Frame("binance", connection, seq, time, json.dumps(content), ())


def gold_by_shard(fills: Sequence[Fill], count: int) -> dict[oracle.Window, dict[str, Any]]:
    """The candles of each shard, closed by its own time."""
    parts = [
        [fill for fill in fills if shard_number(fill.symbol, count) == n] for n in range(count)
    ]
    return {
        window: candle
        for part in parts
        for window, candle in oracle.candles(oracle.distinct(part), oracle.watermarks(part)).items()
    }


def frame_rows(tables: Database) -> list[tuple[Any, ...]]:
    return tables.query(
        "SELECT connection, source_offset, kind, trades, duplicates FROM bronze_frames FINAL"
        " ORDER BY ALL"
    ).rows()


def outage_rows(tables: Database) -> list[tuple[Any, ...]]:
    """The shards of each outage, and its microseconds."""
    return tables.query(
        "SELECT shards, shard, toUnixTimestamp64Micro(ended) - toUnixTimestamp64Micro(began) AS us"
        " FROM outages FINAL"
    ).rows()


@pytest.mark.parametrize("form", [0, 1, 2], ids=["mixed", "other cuts", "whole"])
def test_shards_give_the_candles_of_their_own_markets(tables: Database, form: int) -> None:
    """Frames of one connection to all markets are divided by market; its outage is one of all."""
    frames = market_frames(160, {0: "b0"})
    gap = frames[100].recv_us
    later = [replace(frame, recv_us=frame.recv_us + 50_000_000) for frame in frames[101:]]
    frames = [
        event("connected", "b0", 5_000, frames[0].recv_us - 1, "p"),
        *frames[:101],
        event("disconnected", "b0", 5_001, gap + 1, "p"),
        event("connected", "b0", 5_002, gap + 40_000_001, "p"),
        *later,
    ]
    cuts = ([7, 30, 31, 90], [1, 64, 120, 150], [])[form]
    play(received(frames, cuts), tables)
    whole = silver(tables), frame_rows(tables), outage_rows(tables)
    assert whole[2] == [(0, 0, 40_000_000)]
    clear(tables)
    play(received(frames, cuts), tables, shard_plan=ShardPlan({"binance": 3}))
    fills = all_fills(frames)
    assert (silver(tables), frame_rows(tables), outage_rows(tables)) == whole
    assert silver(tables) == expected_silver(fills)
    assert gold(tables) == gold_by_shard(fills, 3)
    assert verify(tables.client).equal


def test_connections_of_a_shard_pass_undivided(tables: Database) -> None:
    """Their frames stay rows, and an outage of one shard is none of another."""
    names = {n: f"binance-{n}of2-0" for n in range(2)}
    frames = market_frames(80, names)
    end = max(frame.recv_us for frame in frames)
    first = min(frame.recv_us for frame in frames) - 1
    frames = [event("connected", name, 5_000, first, "p") for name in names.values()] + frames
    frames += [
        event("disconnected", names[1], 5_001, end + 1, "p"),
        event("connected", names[1], 5_002, end + 4_000_001, "p"),
    ]
    items = [
        item
        for name in names.values()
        for item in received([frame for frame in frames if frame.connection == name], [20])
    ]
    play(items, tables, shard_plan=ShardPlan({"binance": 2}))
    fills = all_fills(frames)
    assert silver(tables) == expected_silver(fills)
    assert gold(tables) == gold_by_shard(fills, 2)
    assert outage_rows(tables) == [(2, 1, 4_000_000)]
    marks = tables.query("SELECT shards, shard FROM watermarks FINAL ORDER BY shard").rows()
    assert marks == [(2, 0), (2, 1)]
    assert verify(tables.client).equal


@pytest.mark.parametrize("counts", [(1, 4, 2), (3, 1, 3)])
@pytest.mark.parametrize("recovers", [True, False])
def test_other_numbers_of_shards_go_on_where_the_process_before_stopped(
    tables: Database,
    tmp_path_factory: pytest.TempPathFactory,
    counts: tuple[int, int, int],
    recovers: bool,
) -> None:
    """Nothing is lost, doubled or closed too late, with a recovery store or without."""
    frames = market_frames(150, {0: "b0"})
    folder: Path | None = stores(tmp_path_factory) if recovers else None
    items: list[Any] = list(received(frames, [20, 50, 70, 100, 130]))
    # Each run ends at a mark. With a recovery store the next one goes on behind it.
    marked = [*items[:2], TestingSource.EOF(), *items[2:4], TestingSource.EOF(), *items[4:]]
    for fed, count in zip((items[:2], items[1:4], items[3:]), counts, strict=True):
        plan = ShardPlan({"binance": count} if count > 1 else {})
        if folder:
            counters, exchanges = Counters(), INSTRUMENTS.exchanges
            process = ProcessContext(INSTRUMENTS, exchanges, counters, shard_plan=plan)
            drop_stale_states(folder, process.keys)
        play(marked if folder else fed, tables, folder, plan)
    assert silver(tables) == expected_silver(all_fills(frames))
    assert verify(tables.client).equal


def test_frame_of_markets_of_several_shards_becomes_a_dead_letter(tables: Database) -> None:
    """No shard could count its duplicates. Without shards it is read."""
    rows = [
        {"symbol": symbol, "side": "buy", "price": 1.5, "qty": 2.5, "ord_type": "limit",
         "trade_id": n, "timestamp": "2025-06-15T15:06:40.000001Z"}
        for n, symbol in enumerate(("BTC/USD", "ETH/USD", "SOL/USD", "XRP/USD"), 1)
    ]  # fmt: skip
    assert len({shard_number(str(row["symbol"]), 2) for row in rows}) == 2
    text = json.dumps({"channel": "trade", "type": "update", "data": rows})
    frame = Frame("kraken", "k0", 1, EPOCH_ZERO + 10, text, ())
    play(received([frame]), tables, shard_plan=ShardPlan({"kraken": 2}))
    letters = tables.query("SELECT toString(scope), reason, detail FROM dead_letters").rows()
    markets = "BTC/USD, ETH/USD, SOL/USD, XRP/USD"
    assert letters == [("frame", "several_shards", f"{markets} are in several of 2 shards")]
    assert silver(tables) == {}
    clear(tables)
    play(received([frame]), tables)
    assert len(silver(tables)) == 4
