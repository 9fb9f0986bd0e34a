"""The live report: candles in the terminal."""

import io
import time
from dataclasses import replace

from rich.console import Console

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.recompute import CandleRecomputer
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.clickhouse.writer import Writer
from candlewax.core.batch import Batch
from candlewax.pipeline.reports.live import LiveReport
from candlewax.runtime.counters import Counters
from tests.clickhouse.state.test_loader import fills, rows


def test_live_report_shows_the_last_minute_of_each_market(tables: Database) -> None:
    """With the counts so far. A market without a trade for an hour is omitted."""
    now = int(time.time()) * 1_000_000
    recent = [replace(fill, time=now) for fill in fills(7)]
    old = [replace(fill, symbol="OLD/B") for fill in fills(8)]
    writer = Writer(tables, Counters(), background=False)
    writer.put(Batch("x", {"silver_trades": rows([*recent, *old])}))
    writer.flush()
    loader = StateLoader(tables)
    for candles in CandleRecomputer(loader).candles("x", loader.find_stale_windows("x", 0), 0):
        writer.put(Batch("x", {"ohlcv": candles}))
    writer.flush()
    counters = Counters()
    counters.increment(3, "frames", "x")
    counters.increment(2, "trades", "x")
    out = io.StringIO()
    console = Console(file=out, width=120)
    report = LiveReport("what", console, counters, tables, lambda: True)
    console.print(report._render(report._read(), None), soft_wrap=True)  # noqa: SLF001 - at a moment of our choice
    output = out.getvalue()
    (line,) = [line for line in output.splitlines() if "x A/B" in line]
    assert line.split()[3:] == ["7", "7", "7", "7", "1", "1", "forming"]
    assert "OLD/B" not in output
    assert "3 frames · 2 trades" in output
