"""Frames of two exchanges, and their way through the whole pipeline into a real database."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from unittest import mock

import polars as pl
from bytewax.recovery import RecoveryConfig
from bytewax.testing import TestingSource, run_main

from candlewax.clickhouse.client import Database
from candlewax.core import instruments
from candlewax.core.frames import FrameBatch
from candlewax.core.rows.records import Frame as FrameRow
from candlewax.core.schema import FRAMES
from candlewax.core.shards import WHOLE_EXCHANGES, ShardPlan
from candlewax.pipeline import builder
from candlewax.runtime.counters import Counters
from dataflows import ohlcv
from tests.support.oracle import Fill

INSTRUMENTS = instruments.load(Path(__file__).parents[2] / "instruments.toml")

EPOCH_ZERO = 1_750_000_000_000_000
"""2025-06-15 15:06:40 UTC, in microseconds."""


@dataclass(frozen=True)
class Frame:
    """A frame and the trades it says."""

    exchange: str
    connection: str
    seq: int
    recv_us: int
    text: str
    fills: tuple[Fill, ...]


def binance(seq: int, recv_us: int, fill: Fill, connection: str = "b0") -> Frame:
    """Binance reports one trade a frame."""
    data = {
        "e": "trade", "E": fill.time // 1000, "s": fill.symbol.replace("/", ""),
        "t": fill.sequence, "p": str(fill.price), "q": str(fill.quantity),
        "T": fill.time // 1000, "m": not fill.bought, "M": True,
    }  # fmt: skip
    text = json.dumps({"stream": "x@trade", "data": data}, separators=(",", ":"))
    return Frame("binance", connection, seq, recv_us, text, (replace(fill, offset=seq),))


def kraken_v1(seq: int, recv_us: int, fills: Sequence[Fill]) -> Frame:
    """Kraken's first protocol reports several trades a frame, without ids: the
    content makes one, and a number tells equal fills of a frame apart.
    """
    rows = [
        [str(f.price), str(f.quantity), f"{f.time // 10**6}.{f.time % 10**6:06}",
         "b" if f.bought else "s", "l", ""]
        for f in fills
    ]  # fmt: skip
    text = json.dumps([0, rows, "trade", "XBT/USD"], separators=(",", ":"))
    ids = ["_".join((time, price, size, *rest)) for price, size, time, *rest in rows]
    again = [ids[:n].count(name) for n, name in enumerate(ids)]
    placed = tuple(
        replace(f, offset=seq, index=n, trade_id=ids[n] + (f"#{again[n]}" if again[n] else ""))
        for n, f in enumerate(fills)
    )
    return Frame("kraken", "k0", seq, recv_us, text, placed)


def received(frames: Sequence[Frame], cuts: Sequence[int] = ()) -> list[FrameBatch]:
    """The frames in batches cut at these places, each batch of one exchange.

    Two of three batches are of rows, the others of columns, so that one follows the other.
    """
    items: list[FrameBatch] = []
    bounds = [0, *sorted(set(cuts)), len(frames)]
    for begin, end in pairwise(bounds):
        part = frames[begin:end]
        for exchange in dict.fromkeys(frame.exchange for frame in part):
            rows = [
                (frame.recv_us * 1000, frame.connection, frame.seq, frame.text)
                for frame in part
                if frame.exchange == exchange
            ]
            if (len(items) + len(frames)) % 3:
                read = [FrameRow(*row, row[1], 0, row[2]) for row in rows]
                items.append(FrameBatch(exchange, rows=read))
            else:
                items.append(FrameBatch(exchange, pl.DataFrame(rows, schema=FRAMES, orient="row")))
    return items


def play(
    items: Sequence[object],
    tables: Database,
    recovery: Path | None = None,
    shard_plan: ShardPlan = WHOLE_EXCHANGES,
) -> Counters:
    """Run the whole pipeline over batches; with `recovery`, each batch is an epoch. Batches of few
    frames are read in the form that they have.
    """
    tally = Counters()
    feed: Any = TestingSource(items, batch_size=1)
    made = builder.build_components(
        feed, INSTRUMENTS, INSTRUMENTS.exchanges, tables, tally, shard_plan=shard_plan
    )
    config = RecoveryConfig(str(recovery)) if recovery else None
    with mock.patch("candlewax.pipeline.steps.decode.SMALL_BATCH_ROWS", -1):
        run_main(ohlcv.build(made), epoch_interval=timedelta(0), recovery_config=config)
    return tally


def all_fills(frames: Sequence[Frame]) -> list[Fill]:
    """What the frames say, in their order."""
    return [fill for frame in frames for fill in frame.fills]


TABLES: Final = (
    "bronze_frames", "silver_trades", "dead_letters", "ohlcv", "ohlcv_revisions", "watermarks",
    "gaps", "outages",
)  # fmt: skip


def clear(tables: Database) -> None:
    """Empty all tables that frames fill."""
    for table in TABLES:
        tables.client.command(f"TRUNCATE TABLE {table}")
