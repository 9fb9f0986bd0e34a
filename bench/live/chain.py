"""Throughput from the raw topics to stored candles.

`ingest` reads a recording of two exchanges, with equal numbers of frames, into the raw topics and
is measured by itself. Then `silver` and `ohlcv` start together, with a snapshot every ten seconds.
The run ends when all frames, trades and candles are stored. The time until their groups show no lag
is reported separately.
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
from bench.live.watermarks import TopicWatch
from candlewax.kafka import topics
from tests.support.ports import free_port

RAW: Final = [topics.raw(exchange) for exchange in made.BOTH]

_TIMEOUT_S: Final = 900.0

# Counts that equal the number sent; day candles, as they are few.
_STORED: Final = """
SELECT (SELECT sum(trade_count) FROM ohlcv FINAL WHERE timeframe = '1d'),
    (SELECT count() FROM silver_trades), (SELECT count() FROM bronze_frames)
"""

_READING: Final = "SELECT count(), countIf(closed) FROM ohlcv FINAL"


WAYS: Final = ("embedded", "tables", "one", "split", "cluster")
"""Ways to run the dataflows after ingest."""

_TITLES: Final = {
    "embedded": "tables as one process, database in it",
    "tables": "tables as one process",
    "one": "silver and ohlcv, one process each",
    "split": "two processes each, by exchange",
    "cluster": "a cluster of two processes each",
}


def run(count: int, ways: Sequence[str] = WAYS) -> Iterator[Result]:
    """Measure ingest, then each way to run the dataflows after it."""
    with Stage() as stage:
        stage.broker()
        stage.front()
        stage.settings["CANDLEWAX_EXCHANGES"] = ",".join(made.BOTH)
        watch = TopicWatch(stage.brokers)
        yield _ingest(stage, watch, count)
        for way in ways:
            measure_way = _measure_embedded if way == "embedded" else _measure_brokered
            yield measure_way(stage, watch, count, way)
        watch.close()


def _ingest(stage: Stage, watch: TopicWatch, count: int) -> Result:
    log = made.write(stage.folder / "recording.tsv", count)
    piece = stage.flow("ingest", "ingest", CANDLEWAX_FEED=str(log))
    piece.wait_for_output("ingest: ")
    meter = Meter(stage.running)
    used = meter.read()
    places = watch.partitions(RAW)
    while (done := watch.count_messages(places)) < count:
        used = meter.read()
        time.sleep(0.02)  # a look at the topics takes time from the measured process
    seconds = max(used["seconds"], 0.01)
    piece.wait_for_end()
    stage.end(piece)
    result = {"part": "chain", "what": "a recording into the raw topics", "frames": done}
    return {**result, "per_second": round(count / seconds), **used}


def _flows(stage: Stage, way: str) -> list[Piece]:
    """Start silver and ohlcv: one process each, two by exchange, a cluster, or both as one."""
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
            name_in_way = f"{name}-{place}"
            if way == "split":
                options, settings = stage.recovery(name_in_way), {"CANDLEWAX_EXCHANGES": exchange}
            else:
                options, settings = (*shared, "-i", str(place), "-a", addresses), {}
            pieces.append(stage.flow(name_in_way, name, *options, **settings))
    return pieces


def _measure_brokered(stage: Stage, watch: TopicWatch, count: int, way: str) -> Result:
    database = f"market_{way}"
    stage.settings["CANDLEWAX_DATABASE"] = database
    pieces = _flows(stage, way)
    for piece in pieces:
        piece.wait_for_output(f"{piece.name.partition('-')[0]}: ")
    meter = Meter(stage.running)
    used = wait_until_stored(stage.front_port, database, count, pieces, meter)
    seconds = used["seconds"]
    lag = _wait_until_read(watch, pieces, way)
    candles, closed = _query(stage.front_port, database, _READING)
    stage.end(*pieces)
    watch.delete([topics.NORMALIZED])
    wait(lambda: not watch.partitions([topics.NORMALIZED]))
    extra = {"lag_zero_after": round(seconds + lag, 1), "candles": candles, "closed": closed}
    return _result(way, count, used) | extra


def _result(way: str, count: int, used: Result) -> Result:
    speed = round(count / used["seconds"])
    title = f"raw topics to gold, {_TITLES[way]}"
    return {"part": "chain", "what": title, "frames": count, "per_second": speed, **used}


def _measure_embedded(stage: Stage, watch: TopicWatch, count: int, way: str) -> Result:
    """Read progress from the process's own counters, and check the tables at the end."""
    port = free_port()
    settings = {
        "CANDLEWAX_CLICKHOUSE": str(stage.folder / "embedded"),
        "CANDLEWAX_METRICS_PORT": str(port),
    }
    piece = stage.flow("tables", "tables", *stage.recovery("embedded"), **settings)
    piece.wait_for_output("tables: ")
    meter = Meter(stage.running)
    used = meter.read()

    def is_stored() -> bool:
        counts = _counts(port)
        used.update(meter.read())
        return min(counts["bronze_frames"], counts["silver_trades"]) >= count

    wait(is_stored, piece.check, pause_s=0.5, timeout_s=_TIMEOUT_S)
    stage.end(piece)
    sql = stage.run("sql", sys.executable, "-c", COMMAND, "sql", _STORED, **settings)
    sql.wait_for_end()
    stage.end(sql)
    if str(count) not in sql.output():
        raise RuntimeError(f"expected {count} of each, got {sql.output()}")
    watch.delete([topics.NORMALIZED])
    return _result(way, count, used)


_ROWS: Final = re.compile(r'^candlewax_rows_stored_total{table="(\w+)"} (\S+)$', re.MULTILINE)


def _counts(port: int) -> Counter[str]:
    """Return the rows stored so far by table."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    return Counter({table: int(float(rows)) for table, rows in _ROWS.findall(text)})


def wait_until_stored(
    port: int, database: str, count: int, pieces: list[Piece], meter: Meter
) -> Result:
    """Return the resources used until everything is stored."""
    used = meter.read()

    def is_stored() -> bool:
        counts = _query(port, database, _STORED)
        used.update(meter.read())
        return min(counts) >= count

    def check() -> None:
        for piece in pieces:
            piece.check()

    wait(is_stored, check, pause_s=0.2, timeout_s=_TIMEOUT_S)
    return used


def _wait_until_read(watch: TopicWatch, pieces: list[Piece], way: str) -> float:
    """Return the seconds until the consumer groups show no lag."""

    def is_read() -> bool:
        if way == "tables":
            return watch.lag("candlewax-tables", RAW) == 0
        left = watch.lag("candlewax-silver", RAW)
        return left + watch.lag("candlewax-ohlcv", [topics.NORMALIZED]) == 0

    began = time.monotonic()
    wait(is_read, pieces[0].check, pause_s=0.2)
    return time.monotonic() - began


def _query(port: int, database: str, sql: str) -> list[int]:
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
