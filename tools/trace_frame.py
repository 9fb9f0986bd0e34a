"""The way of one live frame through the code: `python tools/trace_frame.py`.

Prints each module the frame passes with how often it is entered, then the numbers of files, calls
and changes of package. The frame is a trade of Binance, read as one of a websocket and stored in
an embedded database that is deleted again.
"""

import sys
import tempfile
import threading
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, Final
from unittest import mock

import polars as pl
from bytewax.testing import TestingSource, run_main

from candlewax.clickhouse.client import open_tables
from candlewax.core import instruments
from candlewax.core.frames import FrameBatch
from candlewax.core.schema import FRAMES
from candlewax.pipeline import builder
from candlewax.runtime.counters import Counters
from dataflows import ohlcv

ROOT: Final = Path(__file__).parents[1]

_FRAME: Final = (
    '{"e":"trade","E":%d,"s":"BTCUSDT","t":%d,"p":"100.5","q":"2","T":%d,"m":true,"M":true}'
)


class Trace:
    """Calls of the product's functions, by thread in the order they are made."""

    def __init__(self) -> None:
        self.is_on = False
        self.threads: dict[int, list[str]] = {}
        self._prefix = str(ROOT / "candlewax") + "/"

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:  # noqa: ANN401 - as sys has it
        path = frame.f_code.co_filename
        if self.is_on and event == "call" and path.startswith(self._prefix):
            calls = self.threads.setdefault(threading.get_ident(), [])
            calls.append(path.removeprefix(self._prefix))

    def calls(self) -> Counter[str]:
        """Return how often each module is entered, in the order of its first call."""
        return Counter(module for calls in self.threads.values() for module in calls)

    def package_changes(self) -> int:
        """Return how often a call is of another package than the one before in its thread."""
        packages = ([call.split("/", 1)[0] for call in calls] for calls in self.threads.values())
        return sum(a != b for calls in packages for a, b in pairwise(calls))


def frame(number: int) -> FrameBatch:
    """Return a batch of one frame that is received now."""
    now_ms = time.time_ns() // 1_000_000
    text = _FRAME % (now_ms, number, now_ms)
    row = [(now_ms * 1_000_000, "binance-0", number, text)]
    return FrameBatch("binance", pl.DataFrame(row, FRAMES, orient="row"))


def trace(folder: Path) -> Trace:
    """Play a first frame, so that all is loaded, and trace the second one."""
    known = instruments.load(ROOT / "instruments.toml")
    database = open_tables(folder, "market")
    traced = Trace()
    # Before the writer's thread starts.
    threading.setprofile(traced)
    sys.setprofile(traced)

    def frames() -> Any:  # noqa: ANN401 - a generator of batches
        yield frame(1)
        traced.is_on = True
        yield frame(2)

    source: Any = TestingSource(frames())
    # With a thread for the writer, as on any machine with two cores.
    with mock.patch("candlewax.clickhouse.writer.cores", return_value=2):
        made = builder.build_components(source, known, ["binance"], database, Counters())
    try:
        run_main(ohlcv.build(made))
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        database.close()
    return traced


def main() -> None:
    """Trace, then print."""
    with tempfile.TemporaryDirectory() as name:
        traced = trace(Path(name) / "clickhouse")
    calls = traced.calls()
    for module, count in calls.items():
        print(f"{count:6} {module}")
    changes = traced.package_changes()
    print(f"{len(calls)} files, {calls.total()} calls, {changes} changes of package")


if __name__ == "__main__":
    main()
