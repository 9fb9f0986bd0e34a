"""The command `candlewax rebuild`."""

import io
import json
import logging
import re
from pathlib import Path

import pytest

from candlewax.clickhouse.client import Database
from tests.support.command_process import run
from tests.support.playing import kraken_v1, play, received
from tests.support.rebuilding import BEGIN, SECOND, fill, minutely


def test_rebuild_prints_differences_and_ends_with_0_1_or_2(
    tables: Database,
    engine_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """0 if the tables are equal, 1 if they differ, 2 if it cannot run."""
    play(
        received([*minutely(9), kraken_v1(1, BEGIN + SECOND, [fill(0, BEGIN, sequence=0)])]), tables
    )
    rebuild_ = ("rebuild", "--from", "2025-06-15T10:00", "--to", "2025-06-15T10:02:00")
    assert run(monkeypatch, engine_path, tables, *rebuild_, "--json") == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["same"], result["frames"]) == (True, 10)
    assert [(d["table"], d["day"], d["stored"]["rows"], d["same"]) for d in result["days"]] == [
        ("silver_trades", "2025-06-15", 7, True),
        ("ohlcv", "2025-06-15", 3, True),
    ]
    log = io.StringIO()
    monkeypatch.setattr(logging.getLogger(), "handlers", [logging.StreamHandler(log)])
    assert run(monkeypatch, engine_path, tables, *rebuild_) == 0
    assert "The same." in capsys.readouterr().out
    logging.getLogger("candlewax").warning("odd")
    assert re.fullmatch(r"[-0-9T:.]+Z WARNING odd\n", log.getvalue())
    tables.client.command("DELETE FROM silver_trades WHERE sequence = 103")
    assert run(monkeypatch, engine_path, tables, *rebuild_) == 1
    output = capsys.readouterr().out
    assert "differs" in output
    assert "silver_trades binance BTC/USDT 2025-06-15 10:00:40.000000 103: only_rebuilt" in output
    tables.client.command("TRUNCATE TABLE bronze_frames")
    assert run(monkeypatch, engine_path, tables, *rebuild_) == 2
    assert "not stored any more" in capsys.readouterr().err
    assert (
        run(
            monkeypatch,
            engine_path,
            tables,
            "rebuild",
            "--from",
            "2026-01-01",
            "--to",
            "2025-01-01",
        )
        == 2
    )
    assert "--from is not before --to" in capsys.readouterr().err
