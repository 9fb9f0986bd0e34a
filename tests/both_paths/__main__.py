"""Compares rows and columns over made frames, or over frame logs.

`python -m tests.both_paths --trades 10000000 --seed 7`, or with `--logs PATH ...` over recordings.
It prints what it compared and each difference, and ends with 0 if there is none.
"""

import argparse
import logging
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from candlewax.clickhouse.client import open_tables
from tests.both_paths.made_frames import FrameMaker, MadeFrame
from tests.both_paths.run import RunResult, compare_paths


def main() -> int:
    """Compare, print the result, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.both_paths")
    parser.add_argument("--trades", type=int, default=100_000, help="trades to make")
    parser.add_argument("--seed", type=int, default=1, help="seed of frames, cuts and restarts")
    parser.add_argument("--logs", type=Path, nargs="*", help="frame logs instead of made frames")
    arguments = parser.parse_args()
    frames: Iterable[MadeFrame] = FrameMaker(arguments.seed).frames(arguments.trades)
    if arguments.logs:
        frames = (frame for log in arguments.logs for frame in read_log(log))
    # Contradictions and numbers that begin anew are warned of; here there are many.
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as name:
        result = _compare_in(Path(name), frames, arguments.seed)
    print(
        f"{result.trades:,} trades in {result.frames:,} frames, {result.row_batches:,} batches of "
        f"rows: {len(result.differences)} differences"
    )
    print("\n".join(result.differences))
    return 1 if result.differences else 0


def _compare_in(folder: Path, frames: Iterable[MadeFrame], seed: int) -> RunResult:
    names = ("by_rows", "by_columns", "by_blocks")
    rows, columns, whole = (open_tables(folder / "clickhouse", name) for name in names)
    with closing(rows), closing(columns), closing(whole):
        return compare_paths(frames, (rows, columns, whole), seed, _report)


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def read_log(path: Path) -> Iterator[MadeFrame]:
    """Return the frames of a log; each counts as one trade."""
    with path.open(encoding="utf-8", newline="\n") as file:
        for line in file:
            recv_ns, exchange, connection, seq, text = line.rstrip("\n").split("\t", 4)
            yield MadeFrame(exchange, int(recv_ns), connection, int(seq), text, 1)


if __name__ == "__main__":
    sys.exit(main())
