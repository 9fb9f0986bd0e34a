"""The page without a browser: `python -m bench.live.page_driver PORT MARKET SECONDS`.

It receives a page's events, reads their JSON, and draws with the next frame of a screen of 60 Hz,
which is shown one frame later. So it measures the delay until trades are on a screen of their own
machine: a browser beside the pipeline would compete for its cores. It prints the delays in
milliseconds as JSON.
"""

import json
import math
import sys
import time
from typing import Final
from urllib.parse import urlencode

from websockets.sync.client import ClientConnection, connect

FRAME_S: Final = 1 / 60
"""Seconds between two frames of a screen."""

_TIMEOUT_S: Final = 10.0


def shown_at(received_s: float, phase_s: float) -> float:
    """Return when an event is on the screen: drawn with the next frame, shown one frame later.

    `phase_s` is the time of any frame of the screen.
    """
    frame = math.floor((received_s - phase_s) / FRAME_S) + 1
    return phase_s + (frame + 1) * FRAME_S


def measure(socket: ClientConnection, seconds: float) -> list[float]:
    """Return the delay of each event with trades, from their receipt, in milliseconds."""
    phase_s = time.time()
    end = time.monotonic() + seconds
    delays_ms = []
    while time.monotonic() < end:
        for name, data in json.loads(socket.recv(_TIMEOUT_S)):
            if name == "candles" and data["received_us"]:
                shown_s = shown_at(time.time(), phase_s)
                delays_ms.append(round(shown_s * 1000 - data["received_us"] / 1000, 2))
    return delays_ms


def main(port: str, market: str, seconds: str) -> None:
    """Measure, and print the delays."""
    exchange, _, symbol = market.partition("/")
    query = urlencode({"exchange": exchange, "symbol": symbol, "timeframe": "1m"})
    address = f"ws://127.0.0.1:{port}/api/v1/stream?{query}"
    with connect(address, compression=None, proxy=None, max_size=None) as socket:
        print(json.dumps(measure(socket, float(seconds))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
