"""Ingest with little memory for frames: CANDLEWAX_TEST_BUFFER_BYTES in the feed's queues."""

import os
from functools import partial

from candlewax import start
from dataflows import ingest

start.Websockets = partial(  # type: ignore[misc,assignment]
    start.Websockets, buffer_bytes=int(os.environ["CANDLEWAX_TEST_BUFFER_BYTES"])
)

__getattr__ = start.lazily(ingest.build)
