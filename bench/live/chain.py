"""From the raw topics to stored candles, as fast as it goes.

A recording of two exchanges, with the same number of frames each, is read into the raw
topics by ingest, which is measured by itself. Then silver and ohlcv begin together, with
a snapshot each ten seconds, and the run is over when all frames, trades and candles are
stored; how long until their groups show no lag is told apart.
"""

import http.client
import re
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final
from urllib.parse import urlencode

from bench.live import made
from bench.live.processes import COMMAND, Meter, Piece, Result, Stage, wait
from bench.live.watermarks import Watch
from candlewax.kafka import topics
from tests.support.ports import free_port

RAW: Final = [topics.raw(exchange) for exchange in made.BOTH]

_MOST: Final = 900.0

# Of tables with as many rows as were sent; of days, as they are few.
_STORED: Final = """
SELECT (SELECT sum(trade_count) FROM ohlcv FINAL WHERE timeframe = '1d'),
    (SELECT count() FROM silver_trades), (SELECT count() FROM bronze_frames)
"""

_READING: Final = "SELECT count(), countIf(closed) FROM ohlcv FINAL"


WAYS: Final = ("embedded", "tables", "one", "split", "cluster")
"""Ways to run what follows ingest."""

_TITLES: Final = {
    "embedded": "tables as one process, database in it",
    "tables": "tables as one process",
    "one": "silver and ohlcv, one process each",
    "split": "two processes each, by exchange",
    "cluster": "a cluster of two processes each",
}


def run(count: int, ways: Sequence[str] = WAYS) -> Iterator[Result]:
    """Ingest, then each way to run what follows."""
    with Stage() as stage:
        stage.broker()
        stage.front()
        stage.settings["CANDLEWAX_EXCHANGES"] = ",".join(made.BOTH)
        watch = Watch(stage.brokers)
        yield _ingest(stage, watch, count)
        for way in ways:
            through = _embedded if way == "embedded" else _through
            yield through(stage, watch, count, way)
        watch.close()


def _ingest(stage: Stage, watch: Watch, count: int) -> Result:
    log = made.write(stage.folder / "recording.tsv", count)
    piece = stage.flow("ingest", "ingest", CANDLEWAX_FEED=str(log))
    piece.begun("ingest: ")
    meter = Meter(stage.running)
    used = meter.read()
    places = watch.places(RAW)
    while (done := watch.end(places)) < count:
        used = meter.read()
        time.sleep(0.02)  # between two looks: to look costs what is measured
    seconds = max(used["seconds"], 0.01)
    piece.ended()
    stage.end(piece)
    found = {"part": "chain", "what": "a recording into the raw topics", "frames": done}
    return {**found, "per_second": round(count / seconds), **used}


def _flows(stage: Stage, way: str) -> list[Piece]:
    """Silver and ohlcv, each as one process, as two by exchanges, or as a cluster of two;
    or both as one.
    """
    if way == "tables":
        return [stage.flow("tables", "tables", *stage.recovery("tables"))]
    pieces = []
    for name in ("ohlcv", "silver"):
        if way == "one":
            pieces.append(stage.flow(name, name, *stage.recovery(name)))
            continue
        ports = [free_port() for _ in made.BOTH]
        addresses = ";".join(f"127.0.0.1:{port}" for port in ports)
        shared = stage.recovery(f"{name}-all")
        for place, exchange in enumerate(made.BOTH):
            own = f"{name}-{place}"
            if way == "split":
                options, settings = stage.recovery(own), {"CANDLEWAX_EXCHANGES": exchange}
            else:
                options, settings = (*shared, "-i", str(place), "-a", addresses), {}
            pieces.append(stage.flow(own, name, *options, **settings))
    return pieces


def _through(stage: Stage, watch: Watch, count: int, way: str) -> Result:
    database = f"market_{way}"
    stage.settings["CANDLEWAX_DATABASE"] = database
    pieces = _flows(stage, way)
    for piece in pieces:
        piece.begun(f"{piece.name.partition('-')[0]}: ")
    meter = Meter(stage.running)
    used = _until_stored(stage.front_port, database, count, pieces, meter)
    seconds = used["seconds"]
    lag = _until_read(watch, pieces, way)
    candles, closed = _ask(stage.front_port, database, _READING)
    stage.end(*pieces)
    watch.delete([topics.NORMALIZED])
    wait(lambda: not watch.places([topics.NORMALIZED]))
    more = {"lag_zero_after": round(seconds + lag, 1), "candles": candles, "closed": closed}
    return _found(way, count, used) | more


def _found(way: str, count: int, used: Result) -> Result:
    speed = round(count / used["seconds"])
    what = f"raw topics to gold, {_TITLES[way]}"
    return {"part": "chain", "what": what, "frames": count, "per_second": speed, **used}


def _embedded(stage: Stage, watch: Watch, count: int, way: str) -> Result:
    """What owns the database is asked for its own counts, and checked at the end."""
    port = free_port()
    settings = {
        "CANDLEWAX_CLICKHOUSE": str(stage.folder / "embedded"),
        "CANDLEWAX_METRICS_PORT": str(port),
    }
    piece = stage.flow("tables", "tables", *stage.recovery("embedded"), **settings)
    piece.begun("tables: ")
    meter = Meter(stage.running)
    used = meter.read()

    def stored() -> bool:
        found = _counts(port)
        used.update(meter.read())
        return min(found["bronze_frames"], found["silver_trades"]) >= count

    wait(stored, piece.check, every=0.5, most=_MOST)
    stage.end(piece)
    sql = stage.run("sql", sys.executable, "-c", COMMAND, "sql", _STORED, **settings)
    sql.ended()
    stage.end(sql)
    if str(count) not in sql.said():
        raise RuntimeError(f"expected {count} of each, got {sql.said()}")
    watch.delete([topics.NORMALIZED])
    return _found(way, count, used)


_ROWS: Final = re.compile(r'^candlewax_rows_stored_total{table="(\w+)"} (\S+)$', re.MULTILINE)


def _counts(port: int) -> Counter[str]:
    """Rows stored so far, by table."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    return Counter({table: int(float(rows)) for table, rows in _ROWS.findall(text)})


def _until_stored(
    port: int, database: str, count: int, pieces: list[Piece], meter: Meter
) -> Result:
    """What was used until all is stored."""
    used = meter.read()

    def stored() -> bool:
        found = _ask(port, database, _STORED)
        used.update(meter.read())
        return min(found) >= count

    def check() -> None:
        for piece in pieces:
            piece.check()

    wait(stored, check, every=0.2, most=_MOST)
    return used


def _until_read(watch: Watch, pieces: list[Piece], way: str) -> float:
    """Seconds until the groups show that nothing is left."""

    def read() -> bool:
        if way == "tables":
            return watch.lag("candlewax-tables", RAW) == 0
        left = watch.lag("candlewax-silver", RAW)
        return left + watch.lag("candlewax-ohlcv", [topics.NORMALIZED]) == 0

    began = time.monotonic()
    wait(read, pieces[0].check, every=0.2)
    return time.monotonic() - began


def _ask(port: int, database: str, sql: str) -> list[int]:
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("POST", f"/?{urlencode({'database': database})}", sql.encode())
        answer = connection.getresponse()
        body = answer.read().decode()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(body)
        return [int(field) for field in body.split()]
    finally:
        connection.close()
