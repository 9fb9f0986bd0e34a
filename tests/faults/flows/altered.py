"""A dataflow in a world that is not as usual; CANDLEWAX_TEST_FLOW is its name.

CANDLEWAX_TEST_CLOCK is a file with nanoseconds to add to the clock, which can be stepped
while it runs. What is stepped is what our own code reads, `time.time` and `time.time_ns`. The
engine's own timers and those of the clients go on as they were.
CANDLEWAX_TEST_BUFFER_BYTES is how much memory there is for frames, CANDLEWAX_TEST_BATCH_BYTES
how much of a recording is read at a time, CANDLEWAX_TEST_FILLS how gaps are asked for, and
CANDLEWAX_TEST_CONNECTIONS how connections are kept: fields of FillTiming and of
ConnectionTimeouts, as JSON.
"""

import json
import mmap
import os
import struct
import time
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Final

_STEP: Final = struct.Struct("=q")


def _step_clock(path: Path) -> None:
    with path.open("rb") as file:
        ahead = mmap.mmap(file.fileno(), _STEP.size, access=mmap.ACCESS_READ)
    right = time.time_ns

    def stepped() -> int:
        added: int = _STEP.unpack_from(ahead)[0]
        return right() + added

    time.time_ns = stepped
    time.time = lambda: stepped() / 1e9


if _clock := os.environ.get("CANDLEWAX_TEST_CLOCK"):
    # Before anything of ours is imported, as some of it keeps the function.
    _step_clock(Path(_clock))

_flow = import_module(f"dataflows.{os.environ['CANDLEWAX_TEST_FLOW']}")
_app = import_module("candlewax.pipeline.app")
_sources = import_module("candlewax.pipeline.sources")

if _bytes := os.environ.get("CANDLEWAX_TEST_BUFFER_BYTES"):
    vars(_sources)["WebSocketSource"] = partial(_sources.WebSocketSource, buffer_bytes=int(_bytes))

if _fields := os.environ.get("CANDLEWAX_TEST_CONNECTIONS"):
    _connection = import_module("candlewax.feeds.websocket.connection")
    _timeouts = _connection.ConnectionTimeouts(**json.loads(_fields))
    vars(_sources)["WebSocketSource"] = partial(_sources.WebSocketSource, timeouts=_timeouts)

if _fields := os.environ.get("CANDLEWAX_TEST_FILLS"):
    _timing = import_module("candlewax.feeds.rest.fill_schedule").FillTiming(**json.loads(_fields))
    vars(_sources)["GapFillSource"] = partial(_sources.GapFillSource, timing=_timing)

if _bytes := os.environ.get("CANDLEWAX_TEST_BATCH_BYTES"):
    _sizes = dict.fromkeys(("BATCH_BYTES", "MIN_LOG_BYTES"), int(_bytes))
    vars(import_module("candlewax.feeds.replay.source")).update(_sizes)

__getattr__ = _app.lazy_flow(_flow.build)
