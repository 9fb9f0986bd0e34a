"""Candles in the terminal."""

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


def test_the_last_minute_of_each_market_is_shown(tables: Database) -> None:
    """With what came so far; a market that was quiet for an hour is left out."""
    now = int(time.time()) * 1_000_000
    some = [replace(fill, time=now) for fill in fills(7)]
    old = [replace(fill, symbol="OLD/B") for fill in fills(8)]
    writer = Writer(tables, Counters(), background=False)
    writer.put(Batch("x", {"silver_trades": rows([*some, *old])}))
    writer.flush()
    history = StateLoader(tables)
    for candles in CandleRecomputer(history).candles("x", history.find_stale_windows("x", 0), 0):
        writer.put(Batch("x", {"ohlcv": candles}))
    writer.flush()
    tally = Counters()
    tally.increment(3, "frames", "x")
    tally.increment(2, "trades", "x")
    out = io.StringIO()
    console = Console(file=out, width=120)
    board = LiveReport("what", console, tally, tables, lambda: True)
    console.print(board._render())  # noqa: SLF001 - what it shows, at a moment of our choice
    shown = out.getvalue()
    (line,) = [line for line in shown.splitlines() if "x A/B" in line]
    assert line.split()[3:] == ["7", "7", "7", "7", "1", "1", "forming"]
    assert "OLD/B" not in shown
    assert "3 frames · 2 trades" in shown
