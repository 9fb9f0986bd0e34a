"""Delay of a page's stream from `candlewax up`, while old hours are offloaded and while none are.

Both runs have the same database, which holds hours that wait: the second one offloads them.
"""

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Final

from bench import cold
from bench.live import polls
from bench.live.footprint import measure, quantiles, result, sent_trades
from bench.live.latency import EXCHANGES
from bench.live.processes import COMMAND, Result, Stage
from bench.live.staleness import WATCHED, StreamReader
from candlewax.clickhouse.client import open_tables
from tests.support.ports import free_port

RATES: Final = (55, 550)
"""Trades per second of all exchanges."""

HOURS: Final = 24
"""Hours of 55 trades a second that wait to be offloaded."""

_WARM: Final = 10.0
_LAST: Final = 2.0
"""Seconds before measuring starts, and to wait for the last trades."""


def run(seconds: float, rates: tuple[int, ...] = RATES) -> Iterator[Result]:
    """Measure each rate without and with an archive."""
    for rate in rates:
        with Stage() as stage:
            cold.replay_sample(stage.folder / "clickhouse")
            with closing(open_tables(stage.folder / "clickhouse", "market")) as database:
                for hour in range(HOURS):
                    cold.fill(database, cold.FIRST_HOUR + timedelta(hours=hour), 55 * 3600)
                cold.merge_parts(database)
                database.command("INSERT INTO database_kind (kind) VALUES ('simulated')")
            for archive in ("", str(stage.folder / "cold")):
                yield _measure(stage, rate, seconds, archive)


def _measure(stage: Stage, rate: int, seconds: float, archive: str) -> Result:
    journal = stage.folder / f"journal{bool(archive)}.tsv"
    simulator, urls = stage.simulator(f"--rate={rate}", f"--journal={journal}")
    urls |= {"CANDLEWAX_CLICKHOUSE": str(stage.folder / "clickhouse"), "CANDLEWAX_COLD": archive}
    port = free_port()
    up = stage.python("up", "-c", COMMAND, "up", f"--port={port}", **urls)
    for exchange in EXCHANGES:
        up.wait_for_output(f"{exchange}-0: subscribed")
    time.sleep(_WARM)
    reader = StreamReader(port)
    began_ns = time.time_ns()
    used = measure(stage, lambda: time.sleep(seconds))
    ended_ns = time.time_ns()
    time.sleep(_LAST)
    stamps = reader.end()
    stage.end(up)
    stage.end(simulator)
    trades = [
        trade
        for trade in sent_trades(journal)
        if trade.candle[:2] == WATCHED and began_ns <= trade.sent_ns < ended_ns
    ]
    latencies_ms, never = polls.latencies(trades, stamps)
    return {
        **result(rate, "offloading" if archive else "without an archive", up.name, used),
        "part": "offloading",
        **quantiles("stream", latencies_ms),
        "never": never,
    }
