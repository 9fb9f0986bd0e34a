"""A dataflow in a world that is not as usual; CANDLEWAX_TEST_FLOW is its name.

CANDLEWAX_TEST_CLOCK is a file with nanoseconds to add to the clock, which can be stepped
while it runs. What is stepped is what our own code reads, `time.time` and `time.time_ns`. The
engine's own timers and those of the clients go on as they were.
CANDLEWAX_TEST_BUFFER_BYTES is how much memory there is for frames, CANDLEWAX_TEST_BATCH_BYTES
how much of a recording is read at a time, CANDLEWAX_TEST_FILLS how gaps are asked for, and
CANDLEWAX_TEST_CONNECTIONS how connections are kept: fields of the one Pace and of the other, as
JSON.
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
_start = import_module("candlewax.pipeline.app")

if _bytes := os.environ.get("CANDLEWAX_TEST_BUFFER_BYTES"):
    vars(_start)["Websockets"] = partial(_start.Websockets, buffer_bytes=int(_bytes))

if _fields := os.environ.get("CANDLEWAX_TEST_CONNECTIONS"):
    _kept = import_module("candlewax.feeds.websocket.connection").Pace(**json.loads(_fields))
    vars(_start)["Websockets"] = partial(_start.Websockets, pace=_kept)

if _fields := os.environ.get("CANDLEWAX_TEST_FILLS"):
    _pace = import_module("candlewax.feeds.rest.fill_schedule").Pace(**json.loads(_fields))
    vars(_start)["Repairs"] = partial(_start.Repairs, pace=_pace)

if _bytes := os.environ.get("CANDLEWAX_TEST_BATCH_BYTES"):
    _sizes = dict.fromkeys(("BATCH_BYTES", "LEAST_BYTES"), int(_bytes))
    vars(import_module("candlewax.feeds.replay.source")).update(_sizes)

__getattr__ = _start.lazily(_flow.build)
