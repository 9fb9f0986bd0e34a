"""Path of one live frame through the code: `python tools/trace_frame.py`.

Prints each module the frame passes with the number of calls, then the totals of files, calls and
changes of package. The frame is a trade of Binance, read like one of a websocket and stored in a
temporary embedded database.
"""

import sys
import tempfile
import threading
import time
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any, Final
from unittest import mock

from bytewax.testing import TestingSource, run_main

from candlewax.clickhouse.client import open_tables
from candlewax.core import instruments
from candlewax.core.frames import FrameBatch
from candlewax.core.rows.records import Frame
from candlewax.pipeline import builder
from candlewax.runtime.counters import Counters
from dataflows import ohlcv

ROOT: Final = Path(__file__).parents[1]

_FRAME: Final = (
    '{"e":"trade","E":%d,"s":"BTCUSDT","t":%d,"p":"100.5","q":"2","T":%d,"m":true,"M":true}'
)


_PAUSE: Final = timedelta(seconds=1)


class Trace:
    """Calls of the product's functions, by thread in call order."""

    def __init__(self) -> None:
        self.is_on = False
        self.threads: dict[int, list[str]] = {}
        self._prefix = str(ROOT / "candlewax") + "/"

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:  # noqa: ANN401 - as in sys
        path = frame.f_code.co_filename
        if self.is_on and event == "call" and path.startswith(self._prefix):
            calls = self.threads.setdefault(threading.get_ident(), [])
            calls.append(path.removeprefix(self._prefix))

    def calls(self) -> Counter[str]:
        """Return how often each module is called, in the order of its first call."""
        return Counter(module for calls in self.threads.values() for module in calls)

    def package_changes(self) -> int:
        """Return how often a call is in another package than the previous one in its thread."""
        packages = ([call.split("/", 1)[0] for call in calls] for calls in self.threads.values())
        return sum(a != b for calls in packages for a, b in pairwise(calls))


def frame(number: int) -> FrameBatch:
    """Return a batch of one frame that was received now."""
    now_ms = time.time_ns() // 1_000_000
    text = _FRAME % (now_ms, number, now_ms)
    row = Frame(now_ms * 1_000_000, "binance-0", number, text, "binance-0", 0, number)
    return FrameBatch("binance", rows=[row])


def trace(folder: Path) -> Trace:
    """Play two frames to load everything, then trace a third one."""
    loaded_instruments = instruments.load(ROOT / "instruments.toml")
    database = open_tables(folder, "market")
    trace_ = Trace()
    # Set before the writer's thread starts.
    threading.setprofile(trace_)
    sys.setprofile(trace_)

    def frames() -> Any:  # noqa: ANN401 - a generator of batches
        yield frame(1)
        yield frame(2)
        # Time to store them, and the traced one.
        yield TestingSource.PAUSE(_PAUSE)
        trace_.is_on = True
        yield frame(3)
        yield TestingSource.PAUSE(_PAUSE)
        trace_.is_on = False
        # Only now the feed ends, and steps are closed.
        yield frame(4)

    source: Any = TestingSource(frames())
    # Two cores, so that the writer has a thread of its own.
    with mock.patch("candlewax.clickhouse.writer.count_cores", return_value=2):
        components = builder.build_components(
            source, loaded_instruments, ["binance"], database, Counters()
        )
    try:
        run_main(ohlcv.build(components))
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
        database.close()
    return trace_


def main() -> None:
    """Trace a frame and print the result."""
    with tempfile.TemporaryDirectory() as name:
        trace_ = trace(Path(name) / "clickhouse")
    calls = trace_.calls()
    for module, count in calls.items():
        print(f"{count:6} {module}")
    changes = trace_.package_changes()
    print(f"{len(calls)} files, {calls.total()} calls, {changes} changes of package")


if __name__ == "__main__":
    main()
