"""Dataflow that also records when its candles were stored.

`python -m bench.live.stamped STAMPS DATAFLOW [OPTION ...]` does the same as `python -m bytewax.run
DATAFLOW OPTION ...`. A candle can be read once its insert was acknowledged. Polling for it would
take the cores from what is measured. So each acknowledgement is recorded with its time, and a few
queries beside it (`polls`) check that the candle was there.
"""

import runpy
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl

from bench.live.polls import Stamps
from candlewax.clickhouse.block_store import BlockStore


def main(stamps: Path, dataflow: str, options: list[str]) -> None:
    """Run the dataflow until it ends."""
    stored: list[tuple[int, pl.DataFrame]] = []
    original_insert = BlockStore._insert_candles  # noqa: SLF001 - there is no other place

    def insert_with_stamp(self: BlockStore, frames: Any) -> None:  # noqa: ANN401 - passed on
        original_insert(self, frames)
        now = time.time_ns()
        stored.extend((now, frame) for frame in frames)

    BlockStore._insert_candles = insert_with_stamp  # type: ignore[method-assign]  # noqa: SLF001
    sys.argv = ["bytewax.run", dataflow, *options]
    try:
        runpy.run_module("bytewax.run", run_name="__main__", alter_sys=True)
    finally:
        Stamps.of(stored).write(stamps)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
