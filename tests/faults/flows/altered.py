"""A dataflow under a clock that can be stepped while it runs: CANDLEWAX_TEST_FLOW is its
name, CANDLEWAX_TEST_CLOCK a file with the nanoseconds to add. CANDLEWAX_TEST_BUFFER_BYTES is
how much memory there is for frames, if not as much as usual.

What is stepped is what our own code reads, `time.time` and `time.time_ns`. The engine's own
timers and those of the clients go on as they were.
"""

import mmap
import os
import struct
import time
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Final

_STEP: Final = struct.Struct("=q")

with Path(os.environ["CANDLEWAX_TEST_CLOCK"]).open("rb") as _file:
    _ahead = mmap.mmap(_file.fileno(), _STEP.size, access=mmap.ACCESS_READ)

_time_ns = time.time_ns


def _stepped() -> int:
    ahead: int = _STEP.unpack_from(_ahead)[0]
    return _time_ns() + ahead


# Before anything of ours is imported, as some of it keeps the function.
time.time_ns = _stepped
time.time = lambda: _stepped() / 1e9

_flow = import_module(f"dataflows.{os.environ['CANDLEWAX_TEST_FLOW']}")
_start = import_module("candlewax.start")

if _bytes := os.environ.get("CANDLEWAX_TEST_BUFFER_BYTES"):
    vars(_start)["Websockets"] = partial(_start.Websockets, buffer_bytes=int(_bytes))

__getattr__ = _start.lazily(_flow.build)
