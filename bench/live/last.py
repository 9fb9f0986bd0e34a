"""Requests per second of one core for the last candles, which are in memory.

One process serves; clients of others ask over connections that stay open. What counts is the
processor time of the server: it does not depend on what else the machine does.
"""

import socket
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from typing import Final
from urllib.parse import urlencode

from bench.live import stored
from bench.live.api import has_cached
from bench.live.processes import COMMAND, ROOT, Meter, Result, Stage, wait
from tests.support.ports import free_port

REQUESTS: Final = 20_000

_MARKET: Final = urlencode({"exchange": stored.EXCHANGE, "symbol": stored.SYMBOLS[1]})
_KLINES: Final = urlencode({"symbol": stored.SYMBOLS[1], "interval": "1m", "limit": 2})

ADDRESSES: Final = {
    "last 2 candles": f"/api/v1/ohlcv/1m?{_MARKET}&limit=2",
    "last 2 klines": f"/{stored.EXCHANGE}/api/v3/klines?{_KLINES}",
    "no candles": "/api/v1",
}


def run(requests: int = REQUESTS) -> Iterator[Result]:
    """Measure each kind of request."""
    with Stage() as stage:
        count = stored.fill(stage.folder / "clickhouse")
        stage.settings["CANDLEWAX_CLICKHOUSE"] = str(stage.folder / "clickhouse")
        port = free_port()
        piece = stage.python("serve", "-c", COMMAND, "serve", f"--port={port}")
        piece.wait_for_output("Ctrl-C")
        wait(partial(has_cached, port, count), piece.check, pause_s=0.5, timeout_s=900)
        for what, address in ADDRESSES.items():
            meter = Meter(stage.running)
            command = [sys.executable, "-m", "bench.live.last", str(port), str(requests), address]
            subprocess.run(command, cwd=ROOT, check=True)
            used = meter.read()
            cpu = used["cpu"]["serve"]
            yield {
                "part": "last", "what": what, "asked": requests, **used,
                "per_second": round(requests / used["seconds"]),
                "per_core_second": round(requests / cpu),
            }  # fmt: skip


def main(port: int, count: int, address: str) -> None:
    """Send `count` requests over one connection, each after the answer of the one before."""
    request = f"GET {address} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        for _ in range(count):
            connection.sendall(request)
            _receive(connection)


def _receive(connection: socket.socket) -> None:
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(1 << 16)
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(answer.decode())
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    received = len(body)
    while received < length:
        received += len(connection.recv(1 << 16))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
