"""Frames a second from a socket into the raw topic, one process; beside cryptofeed.

The simulator plays made frames of Binance as fast as they are taken, and then falls
silent. A run is over when all of them are acknowledged.
"""

import base64
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.live import made
from bench.live.processes import Meter, Piece, Result, Stage, wait
from bench.live.watermarks import Watch
from candlewax.kafka import topics

CRYPTOFEED: Final = ("cryptofeed==2.5.0", "aiokafka==0.14.0")
RIVAL: Final = Path(__file__).parent / "rival.py"

_STILL: Final = 5.0
"""Seconds without growth after which nothing more is expected."""

_MOST: Final = 20.0
"""Seconds that a slow one is watched."""


def run(count: int) -> Iterator[Result]:
    """Measure all of them, one after another."""
    with Stage() as stage:
        stage.broker()
        log = made.write(stage.folder / "binance.tsv", count, ["binance"])
        play = (f"--recording={log}", "--pace=0")
        yield _bare(stage, count, "simulator alone, --recording --pace 0", *play)
        yield _bare(stage, count, "simulator alone, --flood", "--flood")
        yield _library(stage, count, play)
        yield _ingest(stage, count, play)
        yield from _rivals(stage, count, play)


def _bare(stage: Stage, count: int, name: str, *options: str) -> Result:
    """What the simulator can send at most: a client that only counts."""
    simulator, urls = stage.simulator(*options)
    port = int(urls["CANDLEWAX_BINANCE_URL"].split(":")[2].split("/")[0])
    meter = Meter(stage.running)
    seen = _count(port, count)
    found = _result(name, seen, meter.read())
    stage.end(simulator)
    return found


def _count(port: int, count: int) -> int:
    streams = "/".join(f"{name.lower()}usdt@trade" for name in made.NAMES[:12])
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET /binance/stream?streams={streams} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {key}\r\n\r\n"
    )
    mark = b'"e":"trade"'
    seen, rest = 0, b""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(request.encode())
        while seen < count and (data := client.recv(1 << 20)):
            data = rest + data
            seen += data.count(mark)
            rest = data[len(data) - len(mark) + 1 :]
    return seen


def _library(stage: Stage, count: int, play: tuple[str, ...]) -> Result:
    """The websocket library that ingest uses, and nothing behind it."""
    simulator, urls = stage.simulator(*play)
    url = urls["CANDLEWAX_BINANCE_URL"] + "?streams=btcusdt@trade"
    piece = stage.python("client", "-m", "bench.live.listener", url, str(count))
    return _counted(stage, "the websockets library alone", simulator, piece)


def _counted(stage: Stage, name: str, simulator: Piece, piece: Piece) -> Result:
    """Of a process that counts by itself and prints count and seconds."""
    meter = Meter(stage.running)
    piece.begun("{")
    used = meter.read()
    said = json.loads(piece.said().splitlines()[-1])
    used["seconds"], used["cpu"][piece.name] = said["seconds"], said["cpu"]
    found = _result(name, said["count"], used)
    stage.end(piece, simulator)
    return found


def _ingest(stage: Stage, count: int, play: tuple[str, ...]) -> Result:
    simulator, settings = stage.simulator(*play)
    watch = Watch(stage.brokers)
    piece = stage.flow("ingest", "ingest", **settings, CANDLEWAX_EXCHANGES="binance")
    found = _grown(stage, "Candlewax ingest", watch, [topics.raw("binance")], count)
    watch.close()
    stage.end(piece, simulator)
    found["said"] = piece.said().splitlines()[-1].split(" ", 2)[-1]
    return found


def _grown(stage: Stage, name: str, watch: Watch, names: list[str], count: int) -> Result:
    """From the first acknowledged frame to the last one, or as long as one looks."""
    wait(lambda: bool(watch.places(names)))
    places = watch.places(names)
    wait(lambda: watch.end(places) > 0, every=0.005)
    meter, first = Meter(stage.running), watch.end(places)
    began = grew = time.monotonic()
    seen, used = first, meter.read()
    while seen < count and grew - began < _MOST and time.monotonic() - grew < _STILL:
        now = watch.end(places)
        if now > seen:
            seen, used, grew = now, meter.read(), time.monotonic()
        time.sleep(0.01)
    found = _result(name, seen - first, used)
    return {**found, "acknowledged": seen, "missing": max(0, count - seen)}


def _result(name: str, count: int, used: Result) -> Result:
    speed = round(count / used["seconds"]) if used["seconds"] else 0
    return {"part": "sockets", "what": name, "frames": count, "per_second": speed, **used}


def _rivals(stage: Stage, count: int, play: tuple[str, ...]) -> Iterator[Result]:
    try:
        python = _install(stage.folder / "rival")
    except subprocess.CalledProcessError as error:
        why = (error.stderr or "").strip().splitlines()[-1:]
        yield {"part": "sockets", "what": f"{CRYPTOFEED[0]} does not install: {why}"}
        return
    yield _rival(stage, count, play, python, "counting")
    yield _rival(stage, count, play, python, "kafka")


def _install(folder: Path) -> str:
    """An environment of its own; gives its Python."""
    python = str(folder / "bin" / "python")
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [python, "-m", "pip", "install", "--quiet", *CRYPTOFEED],
    ):
        subprocess.run(command, check=True, capture_output=True, text=True)
    return python


def _rival(stage: Stage, count: int, play: tuple[str, ...], python: str, backend: str) -> Result:
    """The rival's trades of Binance: a callback that counts, or its Kafka backend."""
    simulator, urls = stage.simulator(*play)
    address = urls["CANDLEWAX_BINANCE_URL"].removesuffix("/stream")
    names = [f"trades-BINANCE-{name}-USDT" for name in made.NAMES]
    servers = stage.brokers if backend == "kafka" else ""
    watch = Watch(stage.brokers)
    if servers:
        watch.create(names)
    arguments = (address, str(count), ",".join(made.NAMES), servers)
    piece = stage.run("cryptofeed", python, str(RIVAL), *arguments)
    try:
        if not servers:
            return _counted(stage, "cryptofeed, a callback that counts", simulator, piece)
        found = _grown(stage, "cryptofeed, its Kafka backend", watch, names, count)
    finally:
        watch.close()
    stage.end(piece, simulator)
    return found
