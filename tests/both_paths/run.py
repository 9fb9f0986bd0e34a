"""Runs of the same frames as rows and as columns, with cuts and restarts drawn from a seed."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random
from typing import Final

from candlewax.clickhouse.client import Database
from tests.both_paths import comparison
from tests.both_paths.made_frames import MadeFrame
from tests.both_paths.path import FramePath

BLOCK_FRAMES: Final = 25_000
"""Frames between two comparisons of state; what they say is stored as one block."""

LARGEST_BATCH: Final = 12_000
"""Frames of all exchanges in the largest batch."""

TABLE_BLOCKS: Final = 60
"""Blocks between two comparisons of tables."""


REPORTED_BLOCKS: Final = 15
"""Blocks between two lines of progress."""


@dataclass(frozen=True)
class RunResult:
    """Frames and trades that were compared, batches that stayed rows, and all differences."""

    frames: int
    trades: int
    row_batches: int
    differences: list[str]


def compare_paths(
    frames: Iterable[MadeFrame],
    databases: tuple[Database, Database, Database],
    seed: int,
    largest_batch: int = LARGEST_BATCH,
    report: Callable[[str], None] = lambda _: None,
) -> RunResult:
    """Process frames as rows, as columns with the same cuts, and as columns of whole blocks.

    State, counters and all tables of the first two must be equal. Of the third these are the known
    numbers, and the tables that no cut may change. The run ends with the first block that differs.
    """
    rows, columns, whole = (FramePath(d, by_rows=d is databases[0]) for d in databases)
    rng, source, began_at = Random(seed), iter(frames), time.monotonic()
    frame_count = trade_count = number = 0
    differences: list[str] = []
    while not differences and (block := list(islice(source, BLOCK_FRAMES))):
        number += 1
        for batch in cut_block(block, rng, largest_batch):
            rows.add(batch)
            columns.add(batch)
        whole.add(block)
        for path in (rows, columns, whole):
            path.flush()
        frame_count += len(block)
        trade_count += sum(frame.trades for frame in block)
        differences = [*_differences_of_state(rows, columns, whole)]
        if number % TABLE_BLOCKS == 0:
            differences += _differences_of_tables(databases)
        restart = rng.random()
        if restart < 0.04:
            for path in (rows, columns, whole):
                path.restart(with_snapshots=restart < 0.02)
        if number % REPORTED_BLOCKS == 0:
            minutes = (time.monotonic() - began_at) / 60
            report(f"{trade_count:,} trades, {minutes:.1f} minutes")
    differences += _differences_of_tables(databases)
    return RunResult(frame_count, trade_count, rows.batches["rows"], differences)


def cut_block(block: list[MadeFrame], rng: Random, largest: int) -> Iterator[list[MadeFrame]]:
    """Return the frames in batches of very different sizes."""
    begin = 0
    while begin < len(block):
        size = rng.randint(1, rng.choice((1, 60, largest // 15 + 1, largest // 6 + 1, largest)))
        yield block[begin : begin + size]
        begin += size


def _differences_of_state(rows: FramePath, columns: FramePath, whole: FramePath) -> Iterator[str]:
    yield from comparison.find_number_differences(rows, whole)
    yield from comparison.find_state_differences(rows, columns)
    yield from comparison.find_counter_differences(rows, columns)


def _differences_of_tables(databases: tuple[Database, Database, Database]) -> Iterator[str]:
    rows, columns, whole = databases
    yield from comparison.find_table_differences(rows, columns)
    fixed = [name for name in comparison.TABLES if name not in comparison.CUT_DEPENDENT]
    yield from comparison.find_table_differences(
        rows, whole, fixed, ignored=comparison.ORDER_DEPENDENT
    )
