"""Programs as processes, and what they leave in an embedded database."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from candlewax.data import MANIFEST

ROOT = Path(__file__).parents[2]
FLOW = (sys.executable, "-m", "bytewax.run", "dataflows.ohlcv")


def environment(folder: Path, **settings: str) -> dict[str, str]:
    kept = {name: text for name, text in os.environ.items() if not name.startswith("CANDLEWAX_")}
    defaults = {"CANDLEWAX_CLICKHOUSE": str(folder / "clickhouse"), "RUST_BACKTRACE": "0"}
    return {**kept, **defaults, **settings}


def run(folder: Path, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=ROOT,
        env=environment(folder, **settings),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def candlewax(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    code = "import sys; from candlewax.cli.main import main; main(sys.argv[1:])"
    return run(folder, sys.executable, "-c", code, *arguments, **settings)


def said(folder: Path, *commands: Sequence[str], **settings: str) -> list[str]:
    """What commands say that must end well, one after another in one process: to start one
    takes longer than what they do.
    """
    code = (
        "import json, sys\n"
        "from candlewax.cli.main import main\n"
        "for command in json.loads(sys.argv[1]):\n"
        "    try:\n"
        "        main(command)\n"
        "    except SystemExit as done:\n"
        "        if done.code:\n"
        "            raise\n"
        "    print('\\0', end='', flush=True)\n"
    )
    done = run(folder, sys.executable, "-c", code, json.dumps(commands), **settings)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout.split("\0")[:-1]


def queries(folder: Path, *questions: str, **settings: str) -> list[list[list[str]]]:
    """The rows that each query gives."""
    commands = [("sql", sql, "--format", "TabSeparated") for sql in questions]
    return [
        [line.split("\t") for line in text.splitlines()]
        for text in said(folder, *commands, **settings)
    ]


def query(folder: Path, sql: str, **settings: str) -> list[list[str]]:
    (rows,) = queries(folder, sql, **settings)
    return rows


FRAMES = """
SELECT exchange, count(), countIf(kind = 'control'), countIf(kind = 'dead'), sum(trades)
FROM bronze_frames FINAL GROUP BY 1 ORDER BY 1
"""
MARKETS = """
SELECT concat(exchange, ' ', symbol), count(), sum(quantity) FROM silver_trades FINAL
GROUP BY 1 ORDER BY 1
"""


def check_sample(folder: Path, **settings: str) -> None:
    """The tables hold what the sample's maker put in, and the cross-check agrees."""
    manifest = json.loads(MANIFEST.read_text())
    frames, markets, verified = said(
        folder,
        ("sql", FRAMES, "--format", "TabSeparated"),
        ("sql", MARKETS, "--format", "JSONCompactEachRow"),
        ("verify", "--json"),
        **settings,
    )
    assert [line.split("\t") for line in frames.splitlines()] == [
        [name, *(str(counts[key]) for key in ("frames", "control_frames", "dead_frames", "trades"))]
        for name, counts in manifest["exchanges"].items()
    ]
    expected = sorted(manifest["markets"].items())
    rows = [json.loads(line) for line in markets.splitlines()]
    assert [(name, int(count)) for name, count, _ in rows] == [
        (name, market["trades"]) for name, market in expected
    ]
    assert [float(volume) for *_, volume in rows] == pytest.approx(
        [float(market["volume"]) for _, market in expected], rel=1e-12
    )
    found = json.loads(verified)
    assert set(found) >= {
        "candles", "mismatches", "missing_in_gold", "missing_in_check", "examples"
    }  # fmt: skip
    assert found["candles"] > 10_000
