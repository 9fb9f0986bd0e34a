"""deploy/run.sh as a local process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.deploy.reading import ROOT
from tests.support.kafka.system import market, record

pytestmark = pytest.mark.slow("scripts that start processes", seconds=30)

SCRIPT = ROOT / "deploy" / "run.sh"


def environment(**more: str) -> dict[str, str]:
    kept = {
        name: text
        for name, text in os.environ.items()
        if not name.startswith("CANDLEWAX_") and name not in {"RECOVERY", "STAY", "NO_COLOR"}
    }
    return {
        **kept,
        "PYTHON": sys.executable,
        "PYTHONPATH": str(ROOT),
        "PYTHONUNBUFFERED": "1",
        "CANDLEWAX_INSTRUMENTS": str(ROOT / "instruments.toml"),
        **more,
    }


def run(folder: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", SCRIPT, *arguments],
        cwd=folder,
        env=environment(**more),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def start(folder: Path, *arguments: str, **more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        ["/bin/sh", SCRIPT, *arguments],
        cwd=folder,
        env=environment(**more),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)


def test_syntax() -> None:
    """The shell can read it."""
    subprocess.run(["/bin/sh", "-n", SCRIPT], check=True)
    assert os.access(SCRIPT, os.X_OK)


@pytest.mark.parametrize("arguments", [(), ("gold",), ("ingest", "silver")])
def test_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """It says what it takes, and makes nothing."""
    answer = run(tmp_path, *arguments)
    assert answer.returncode == 2
    assert "usage: run.sh ingest|silver|ohlcv|tables|repair" in answer.stderr
    assert not list(tmp_path.iterdir())


def test_ohlcv(tmp_path: Path) -> None:
    """It runs the pipeline, and goes on from its recovery store."""
    log = str(record(tmp_path / "few.tsv", market(100, seed=1)))
    first = run(tmp_path, "ohlcv", CANDLEWAX_FEED=log)
    assert first.returncode == 0, first.stderr
    assert [path.name for path in (tmp_path / "data" / "recovery" / "ohlcv").iterdir()] == [
        "part-0.sqlite3"
    ]
    store = tmp_path / "elsewhere"
    again = run(tmp_path, "ohlcv", RECOVERY=str(store), CANDLEWAX_FEED=log)
    assert again.returncode == 0, again.stderr
    assert (store / "part-0.sqlite3").is_file()
    resumed = run(tmp_path, "ohlcv", RECOVERY=str(store), CANDLEWAX_FEED=log)
    assert resumed.returncode == 0, resumed.stderr


def test_half_a_store(tmp_path: Path) -> None:
    """What a start that was broken off left of a recovery store is made anew."""
    left = tmp_path / "store" / "new"
    left.mkdir(parents=True)
    (left / "part-0.sqlite3").write_bytes(b"half of it")
    log = str(record(tmp_path / "few.tsv", market(100, seed=1)))
    answer = run(tmp_path, "silver", RECOVERY=str(tmp_path / "store"), CANDLEWAX_FEED=log)
    assert answer.returncode == 0, answer.stderr
    assert not left.exists()


@pytest.mark.parametrize("dataflow", ["ingest", "silver", "ohlcv"])
def test_stops(tmp_path: Path, dataflow: str) -> None:
    """Asked to stop it stores what it read and ends without failure."""
    with start(tmp_path, dataflow) as process:
        assert process.stdout
        while "Reading" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


def test_stays(tmp_path: Path) -> None:
    """Where it is to stay it waits when its feed has ended, until it is stopped."""
    ended = tmp_path / "ended"
    with start(tmp_path, "ingest", STAY=str(ended)) as process:
        wait_for(ended, process)
        process.send_signal(signal.SIGTERM)
        said, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert said.endswith("The feed has ended; waiting to be stopped.\n")


def test_stops_where_it_stays(tmp_path: Path) -> None:
    """Where it is to stay it hands the request to stop on, and says nothing of an end."""
    ended = tmp_path / "ended"
    with start(tmp_path, "ingest", STAY=str(ended)) as process:
        assert process.stdout
        while "Reading" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert not ended.exists()


@pytest.mark.parametrize("stay", ["", "ended"])
def test_fails(tmp_path: Path, stay: str) -> None:
    """A dataflow that fails fails the script, so that the container is started again."""
    answer = run(tmp_path, "ingest", CANDLEWAX_DATABASE="no name", STAY=stay)
    assert answer.returncode == 1
    assert "CANDLEWAX_DATABASE" in answer.stderr
    assert not (tmp_path / "ended").exists()
