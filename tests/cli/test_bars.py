"""The command `candlewax bars`, after a replay through the whole pipeline."""

from decimal import Decimal
from pathlib import Path

import pytest

from candlewax.clickhouse.client import Database
from tests.support import bar_oracle, oracle
from tests.support.command_process import run
from tests.support.oracle import Fill
from tests.support.playing import EPOCH_ZERO, binance, play, received

FILE = """
[binance.also]
BTCUSDT = "BTC/USDT"
[binance.bars]
"BTC/USDT" = ["volume 7"]
"""


def test_command_makes_the_bars_of_all_stored_trades(
    tables: Database,
    engine_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Once: run again, it stores nothing. Without thresholds it says how to name some."""
    fills = [
        Fill("binance", "BTC/USDT", str(n), n, EPOCH_ZERO + n * 1_000_000, n % 3 == 0,
             Decimal(100 + n), Decimal(n % 5 + 1))
        for n in range(1, 41)
    ]  # fmt: skip
    play(received([binance(n, fill.time, fill) for n, fill in enumerate(fills)], [9, 20]), tables)
    path = tmp_path / "instruments.toml"
    path.write_text(FILE)
    monkeypatch.setenv("CANDLEWAX_INSTRUMENTS", str(path))
    right = bar_oracle.bars(fills, "volume", Decimal(7), oracle.watermarks(fills)["binance"])
    assert run(monkeypatch, engine_path, tables, "bars") == 0
    said = capsys.readouterr().out
    assert said.endswith(f"binance BTC/USDT: 1 days, {len(right)} rows stored\n")
    rows = tables.query(
        "SELECT number, volume, close, toString(status) AS status FROM bars FINAL ORDER BY number"
    ).rows()
    assert rows == [
        (number, bar["volume"], bar["close"], bar["status"])
        for (_, number), bar in sorted(right.items())
    ]
    assert run(monkeypatch, engine_path, tables, "bars") == 0
    assert capsys.readouterr().out.endswith("binance BTC/USDT: 0 days, 0 rows stored\n")
    path.write_text("[binance.also]\nBTCUSDT = 'BTC/USDT'\n")
    assert run(monkeypatch, engine_path, tables, "bars") == 1
    assert "no market has bars; add a table such as [binance.bars]" in capsys.readouterr().err
