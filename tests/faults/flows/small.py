"""Ingest with little memory for frames: CANDLEWAX_TEST_BUFFER_BYTES in the feed's queues."""

import os
from functools import partial

from candlewax import start
from candlewax.connectors.websocket import Websockets
from dataflows import ingest

vars(start)["Websockets"] = partial(
    Websockets, buffer_bytes=int(os.environ["CANDLEWAX_TEST_BUFFER_BYTES"])
)

__getattr__ = start.lazily(ingest.build)
