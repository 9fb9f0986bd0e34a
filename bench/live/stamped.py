"""A dataflow as an operator runs it, that also writes down when its candles were stored.

`python -m bench.live.stamped STAMPS DATAFLOW [OPTION ...]` does what `python -m bytewax.run
DATAFLOW OPTION ...` does. A candle can be read once its insert was acknowledged: who asks
again and again to see it takes the cores from what is measured. So each acknowledgement
gets a time, and a few questions beside (`polls`) check that what had one was there.
"""

import runpy
import sys
import time
from pathlib import Path
from typing import Any

import polars as pl

from bench.live.polls import Stamps
from candlewax.clickhouse.writer import Writer


def main(stamps: Path, dataflow: str, options: list[str]) -> None:
    """Run the dataflow until it ends."""
    stored: list[tuple[int, pl.DataFrame]] = []
    insert = Writer._insert_candles  # noqa: SLF001 - there is no other place

    def stamped(self: Writer, frames: Any) -> None:  # noqa: ANN401 - passed on
        insert(self, frames)
        now = time.time_ns()
        stored.extend((now, frame) for frame in frames)

    Writer._insert_candles = stamped  # type: ignore[method-assign]  # noqa: SLF001
    sys.argv = ["bytewax.run", dataflow, *options]
    try:
        runpy.run_module("bytewax.run", run_name="__main__", alter_sys=True)
    finally:
        Stamps.of(stored).write(stamps)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
