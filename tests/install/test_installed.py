"""The installed wheel as processes, in empty directories that know no checkout."""

import json
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import zstandard

from candlewax import __version__
from candlewax.data import SAMPLE
from tests.support import oracle, simulator_reader
from tests.support.installed import Environment, install
from tests.support.processes import ROOT
from tests.support.web_server import Client

pytestmark = pytest.mark.slow("builds, installs and runs the wheel", seconds=40)

PATIENCE_S = 240.0
"""Seconds after which waiting fails."""

END = "2026-09-15T02:10Z"
"""End of the sample: all of it comes at once."""

MARKET = {"exchange": "binance", "symbol": "BTC/USDT"}

AMOUNTS = ("open", "high", "low", "close", "volume", "quote_volume", "buy_volume")

PART = ("tests/core/candles", "tests/clickhouse/test_gap_table.py", "tests/exchanges")
"""Part of the suite that needs no checkout."""

TESTING = ("pytest", "pytest-xdist", "hypothesis", "execnet", "iniconfig", "packaging", "pluggy",
           "pygments", "sortedcontainers")  # fmt: skip
"""Distributions that this part needs besides the wheel."""


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return install(tmp_path_factory.mktemp("installed") / "venv", wheel)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty directory, and after the first test one with data."""
    return tmp_path_factory.mktemp("empty")


def environment(place: Environment, **settings: str) -> dict[str, str]:
    """Return what a shell with an activated environment hands down, and nothing of the tests'."""
    path = f"{place.folder / 'bin'}:/usr/bin:/bin"
    return {"PATH": path, "HOME": str(place.folder), "LANG": "C.UTF-8", **settings}


def run(
    place: Environment, folder: Path, *command: str, **settings: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [place.folder / "bin" / command[0], *command[1:]],
        cwd=folder,
        env=environment(place, **settings),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@contextmanager
def up(place: Environment, folder: Path, *options: str) -> Iterator[tuple[Client, str]]:
    """Run `candlewax up` until the block ends. Yield its page and what it printed before."""
    process = subprocess.Popen(
        [place.candlewax, "up", "--port=0", *options],
        cwd=folder,
        env=environment(place),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:
        output = ""
        while not (address := re.search(r"http://127\.0\.0\.1:(\d+)$", output, re.MULTILINE)):
            line = process.stdout.readline()
            assert line, output
            output += line
        yield Client(int(address[1])), output
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, rest
        assert "Traceback" not in rest
    finally:
        process.kill()
        process.communicate()


def expected_candles() -> Mapping[datetime, dict[str, Any]]:
    """Return the hourly candles of a market, computed from the sample without the product."""
    text = zstandard.ZstdDecompressor().decompress(SAMPLE.read_bytes()).decode()
    fills = [fill for frame in simulator_reader.frames(text) for fill in frame.fills]
    own = oracle.distinct(
        one for one in fills if (one.exchange, one.symbol) == tuple(MARKET.values())
    )
    candles = oracle.candles(own, oracle.watermarks(fills))
    return {
        datetime.fromtimestamp(start, UTC): candle
        for (timeframe, _, _, start), candle in candles.items()
        if timeframe == "1h"
    }


def test_up_in_an_empty_directory_serves_the_candles_of_the_sample(
    installed: Environment, folder: Path
) -> None:
    """All of them, as an independent computation has them; it says what it reads and stores."""
    expected = expected_candles()
    count = sum(candle["trade_count"] for candle in expected.values())
    assert list(folder.iterdir()) == []
    with up(installed, folder, "--keep", "--begin", END) as (client, output):
        assert "Instruments are the bundled ones, " in output
        assert f"Data is stored in {folder}/data/sample, database market." in output
        end = time.monotonic() + PATIENCE_S
        rows: list[dict[str, Any]] = []
        while sum(row["trade_count"] for row in rows) < count:
            assert time.monotonic() < end, rows
            answer = client.ask("/api/v1/ohlcv/1h", {**MARKET, "limit": 1000})
            rows = answer.rows if answer.status == 200 else []
        page = client.ask("/")
    assert page.status == 200
    found = {datetime.fromisoformat(row["window_start"]): row for row in rows}
    assert {start: _comparable(row) for start, row in found.items()} == {
        start: _comparable(candle) for start, candle in expected.items()
    }
    assert len(found) == 6


def _comparable(candle: Mapping[str, Any]) -> dict[str, Any]:
    amounts = {name: Decimal(candle[name]) for name in AMOUNTS}
    return {**amounts, "trade_count": candle["trade_count"]}


def test_version_is_that_of_the_wheel(installed: Environment, folder: Path) -> None:
    assert run(installed, folder, "candlewax", "--version").stdout == f"candlewax {__version__}\n"


def test_verify_reads_what_up_stored(installed: Environment, folder: Path) -> None:
    done = run(installed, folder, "candlewax", "verify", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["candles"] > 0
    assert report["mismatches"] == 0


def test_dataflow_continues_a_moved_database_with_own_instruments(
    installed: Environment, folder: Path
) -> None:
    """A file in the directory is taken; the same frames change nothing; commands fit."""
    shutil.copy(ROOT / "instruments.toml", folder)
    (folder / "data" / "sample").rename(folder / "moved")
    command = ("python", "-m", "bytewax.run", "dataflows.ohlcv")
    done = run(installed, folder, *command, CANDLEWAX_CLICKHOUSE="moved")
    assert done.returncode == 0, done.stderr
    assert f"Instruments are read from {folder}/instruments.toml.\n" in done.stdout
    assert "nothing changed" in done.stdout
    commands = done.stdout.partition("Try next")[2]
    assert "\n    candlewax verify\n" in commands
    assert "make" not in commands


def test_missing_instruments_file_is_named(installed: Environment, tmp_path: Path) -> None:
    """The bundled one does not replace a file that a setting names."""
    done = run(installed, tmp_path, "candlewax", "up", CANDLEWAX_INSTRUMENTS="none.toml")
    assert done.returncode == 1
    assert "none.toml" in done.stderr
    assert "Traceback" not in done.stderr


def test_part_of_the_suite_passes_on_the_wheel(wheel: Path, tmp_path: Path) -> None:
    """Beside the tests there is only the installed package."""
    place = install(tmp_path / "venv", wheel, TESTING)
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=ignored)
    for name in ("pyproject.toml", "instruments.toml"):
        shutil.copy(ROOT / name, tmp_path)
    where = run(place, tmp_path, "python", "-c", "import candlewax; print(candlewax.__file__)")
    assert where.stdout.startswith(str(place.folder))
    settings = {"CANDLEWAX_TEST_EXAMPLES": "2", "TMPDIR": tempfile.gettempdir()}
    done = run(place, tmp_path, "python", "-m", "pytest", "-q", *PART, **settings)
    passed = re.search(r"(\d+) passed", done.stdout)
    assert done.returncode == 0, done.stdout[-3000:]
    assert passed
    assert int(passed[1]) > 100
