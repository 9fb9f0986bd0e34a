"""Frames per second from a websocket to the raw topic in one process; beside cryptofeed.

The simulator plays frames of Binance as fast as they are read, then goes silent. A run ends when
all frames are acknowledged.
"""

import base64
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.live import made, rival_environment
from bench.live.processes import Meter, Piece, Result, Stage, wait
from bench.live.watermarks import TopicWatch
from candlewax.kafka import topics

RIVAL: Final = Path(__file__).parent / "rival.py"

_STILL_S: Final = 5.0
"""Seconds without growth after which a run ends."""

_TIMEOUT_S: Final = 20.0
"""Seconds after which a slow run ends."""


def run(count: int) -> Iterator[Result]:
    """Measure all variants, one after another."""
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
    """Measure how many frames the simulator can send to a client that only counts."""
    simulator, urls = stage.simulator(*options)
    port = int(urls["CANDLEWAX_BINANCE_URL"].split(":")[2].split("/")[0])
    meter = Meter(stage.running)
    received = _count(port, count)
    result = _result(name, received, meter.read())
    stage.end(simulator)
    return result


def _count(port: int, count: int) -> int:
    streams = "/".join(f"{name.lower()}usdt@trade" for name in made.NAMES[:12])
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET /binance/stream?streams={streams} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: {key}\r\n\r\n"
    )
    mark = b'"e":"trade"'
    received, rest = 0, b""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(request.encode())
        while received < count and (data := client.recv(1 << 20)):
            data = rest + data
            received += data.count(mark)
            rest = data[len(data) - len(mark) + 1 :]
    return received


def _library(stage: Stage, count: int, play: tuple[str, ...]) -> Result:
    """Measure the websocket library of ingest, without ingest."""
    simulator, urls = stage.simulator(*play)
    url = urls["CANDLEWAX_BINANCE_URL"] + "?streams=btcusdt@trade"
    piece = stage.python("client", "-m", "bench.live.listener", url, str(count))
    return _measure_counting(stage, "the websockets library alone", simulator, piece)


def _measure_counting(stage: Stage, name: str, simulator: Piece, piece: Piece) -> Result:
    """Measure a process that counts by itself and prints count and seconds."""
    meter = Meter(stage.running)
    piece.wait_for_output("{")
    used = meter.read()
    printed = json.loads(piece.output().splitlines()[-1])
    used["seconds"], used["cpu"][piece.name] = printed["seconds"], printed["cpu"]
    result = _result(name, printed["count"], used)
    stage.end(piece, simulator)
    return result


def _ingest(stage: Stage, count: int, play: tuple[str, ...]) -> Result:
    simulator, settings = stage.simulator(*play)
    watch = TopicWatch(stage.brokers)
    piece = stage.flow("ingest", "ingest", **settings, CANDLEWAX_EXCHANGES="binance")
    result = _measure_topic(stage, "Candlewax ingest", watch, [topics.raw("binance")], count)
    watch.close()
    stage.end(piece, simulator)
    result["said"] = piece.output().splitlines()[-1].split(" ", 2)[-1]
    return result


def _measure_topic(
    stage: Stage, name: str, watch: TopicWatch, names: list[str], count: int
) -> Result:
    """Measure from the first acknowledged frame to the last one, or until time is up."""
    wait(lambda: bool(watch.partitions(names)))
    places = watch.partitions(names)
    wait(lambda: watch.count_messages(places) > 0, pause_s=0.005)
    meter, first = Meter(stage.running), watch.count_messages(places)
    began_at = grew_at = time.monotonic()
    received, used = first, meter.read()
    while (
        received < count
        and grew_at - began_at < _TIMEOUT_S
        and time.monotonic() - grew_at < _STILL_S
    ):
        now = watch.count_messages(places)
        if now > received:
            received, used, grew_at = now, meter.read(), time.monotonic()
        time.sleep(0.01)
    result = _result(name, received - first, used)
    return {**result, "acknowledged": received, "missing": max(0, count - received)}


def _result(name: str, count: int, used: Result) -> Result:
    speed = round(count / used["seconds"]) if used["seconds"] else 0
    return {"part": "sockets", "what": name, "frames": count, "per_second": speed, **used}


def _rivals(stage: Stage, count: int, play: tuple[str, ...]) -> Iterator[Result]:
    try:
        python = rival_environment.install(stage.folder / "rival")
    except rival_environment.InstallError as error:
        yield {"part": "sockets", "what": str(error)}
        return
    yield _rival(stage, count, play, python, "counting")
    yield _rival(stage, count, play, python, "kafka")


def _rival(stage: Stage, count: int, play: tuple[str, ...], python: str, backend: str) -> Result:
    """Measure cryptofeed on Binance's trades: a callback that counts, or its Kafka backend."""
    simulator, urls = stage.simulator(*play)
    address = urls["CANDLEWAX_BINANCE_URL"].removesuffix("/stream")
    names = [f"trades-BINANCE-{name}-USDT" for name in made.NAMES]
    servers = stage.brokers if backend == "kafka" else ""
    watch = TopicWatch(stage.brokers)
    if servers:
        watch.create(names)
    arguments = (address, str(count), ",".join(made.NAMES), servers)
    piece = stage.run("cryptofeed", python, str(RIVAL), *arguments)
    try:
        if not servers:
            return _measure_counting(stage, "cryptofeed, a callback that counts", simulator, piece)
        result = _measure_topic(stage, "cryptofeed, its Kafka backend", watch, names, count)
    finally:
        watch.close()
    stage.end(piece, simulator)
    return result
