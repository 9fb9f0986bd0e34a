"""Delay of a page's stream while the same process offloads a backlog, and without an archive.

`candlewax up` follows a simulator's Binance. The hours that wait are of the other exchanges, so
that nothing but the offload reads them.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Final

from bench.cold import fill, merge_parts, replay_sample
from bench.live import polls
from bench.live.processes import COMMAND, ROOT, Meter, Result, Stage
from bench.live.staleness import WATCHED, StreamReader
from candlewax.clickhouse.client import open_tables
from candlewax.core import instruments
from candlewax.core.kind_marks import SIMULATED
from candlewax.pipeline.data_kind import claim
from tests.support.ports import free_port

RATES: Final = (55, 550)
"""Trades per second of all exchanges of the simulator."""

ROUNDS: Final = 3
"""Measurements of each way, in turns."""

_HOURS: Final = 12
"""Hours that wait, more than are archived while measuring."""

_FIRST: Final = 30
"""Age in hours of the first."""

_STORED_RATE: Final = 110
"""Trades per second of these hours, of all exchanges."""

_LIVE: Final = "binance"
_ARCHIVED: Final = ("coinbase", "kraken")

_WARM: Final = 5.0
"""Seconds of trades at the start that are not counted."""

_LAST: Final = 2.0
"""Seconds to wait for the last trades."""


def run(seconds: float, rates: Sequence[int] = RATES) -> Iterator[Result]:
    """Measure without and with an archive at each rate, in turns."""
    for rate in rates:
        for _ in range(ROUNDS):
            for is_cold in (False, True):
                yield _measure(rate, seconds, is_cold=is_cold)


def _measure(rate: int, seconds: float, *, is_cold: bool) -> Result:
    with Stage() as stage:
        rows = _store_backlog(stage)
        journal = stage.folder / "journal.tsv"
        simulator, urls = stage.simulator(f"--rate={rate}", f"--journal={journal}")
        urls["CANDLEWAX_CLICKHOUSE"] = str(stage.folder / "clickhouse")
        urls["CANDLEWAX_EXCHANGES"] = _LIVE
        if is_cold:
            urls["CANDLEWAX_COLD"] = str(stage.folder / "cold")
            urls["CANDLEWAX_COLD_CATALOG"] = f"sqlite:///{stage.folder}/catalog.db"
        port = free_port()
        up = stage.python("up", "-c", COMMAND, "up", f"--port={port}", **urls)
        up.wait_for_output(f"{_LIVE}-0: subscribed")
        time.sleep(_WARM)
        archived_before = _archived(stage)
        reader = StreamReader(port)
        began_ns = time.time_ns()
        meter = Meter(stage.running)
        time.sleep(seconds)
        used = meter.read()
        ended_ns = time.time_ns()
        archived = _archived(stage) - archived_before
        time.sleep(_LAST)
        stamps = reader.end()
        stage.end(up)
        simulator.stop()
        loaded = instruments.load(ROOT / "instruments.toml")
        trades = [
            trade
            for trade in polls.journal(journal, loaded, (_LIVE,))
            if trade.candle[:2] == WATCHED and began_ns <= trade.sent_ns < ended_ns
        ]
        latencies_ms, never = polls.latencies(trades, stamps)
    return {
        "part": "offloading",
        "rate": rate,
        "what": "while offloading" if is_cold else "without an archive",
        "waiting_rows": rows,
        "archived_mb": round(archived / 1e6, 1),
        **polls.summary(latencies_ms),
        "trades": len(trades),
        "never": never,
        **used,
    }


def _store_backlog(stage: Stage) -> int:
    """Store the hours that wait. Return the number of trades and frames."""
    replay_sample(stage.folder / "clickhouse")
    folder = stage.folder / "clickhouse"
    with closing(open_tables(folder, "market")) as database:
        claim(database, folder, "market", SIMULATED)
        now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        for hour in range(_HOURS):
            begin = now - timedelta(hours=_FIRST - hour)
            fill(database, begin, _STORED_RATE * 3600, _ARCHIVED)
        merge_parts(database)
        found = database.query(
            "SELECT (SELECT count() FROM silver_trades) + (SELECT count() FROM bronze_frames)"
        )
        return int(found.item())


def _archived(stage: Stage) -> int:
    """Return the bytes of the archive's files."""
    folder = stage.folder / "cold"
    return sum(path.stat().st_size for path in folder.rglob("*.parquet"))
