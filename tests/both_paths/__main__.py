"""Compares rows and columns over made frames, or over frame logs.

`python -m tests.both_paths --trades 10000000 --seed 7`, or with `--logs PATH ...` over recordings.
It prints what it compared and each difference, and ends with 0 if there is none.
"""

import argparse
import heapq
import logging
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from candlewax.clickhouse.client import open_tables
from candlewax.core import frame_log
from tests.both_paths.made_frames import FrameMaker, MadeFrame
from tests.both_paths.run import LARGEST_BATCH, RunResult, compare_paths


def main() -> int:
    """Compare, print the result, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.both_paths")
    parser.add_argument("--trades", type=int, default=100_000, help="trades to make")
    parser.add_argument("--seed", type=int, default=1, help="seed of frames, cuts and restarts")
    parser.add_argument("--largest", type=int, default=LARGEST_BATCH, help="frames of a batch")
    parser.add_argument("--logs", type=Path, nargs="*", help="frame logs instead of made frames")
    arguments = parser.parse_args()
    frames: Iterable[MadeFrame] = FrameMaker(arguments.seed).frames(arguments.trades)
    if arguments.logs:
        # As the product does: several logs are merged by the time of receipt.
        frames = heapq.merge(*map(read_log, arguments.logs), key=lambda frame: frame.recv_ns)
    # Contradictions and numbers that begin anew are warned of; here there are many.
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        result = _compare_in(Path(name), frames, arguments.seed, arguments.largest)
    print(
        f"{result.trades:,} trades in {result.frames:,} frames, {result.row_batches:,} batches of "
        f"rows: {len(result.differences)} differences"
    )
    print("\n".join(result.differences))
    return 1 if result.differences else 0


def _compare_in(
    folder: Path, frames: Iterable[MadeFrame], seed: int, largest_batch: int
) -> RunResult:
    names = ("by_rows", "by_columns", "by_blocks")
    rows, columns, whole = (open_tables(folder / "clickhouse", name) for name in names)
    with closing(rows), closing(columns), closing(whole):
        return compare_paths(frames, (rows, columns, whole), seed, largest_batch, _report)


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def read_log(path: Path) -> Iterator[MadeFrame]:
    """Return the frames of a log; each counts as one trade."""
    columns = "recv_ns", "exchange", "connection", "seq", "frame"
    lines = frame_log.read(path.read_bytes(), path.name, 0).frames.select(columns)
    for recv_ns, exchange, connection, seq, text in lines.iter_rows():
        yield MadeFrame(exchange, recv_ns, connection, seq, text, 1)


if __name__ == "__main__":
    sys.exit(main())
