"""deploy/run.sh as a local process."""

import os
import re
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


def test_script_is_executable_and_has_valid_syntax() -> None:
    subprocess.run(["/bin/sh", "-n", SCRIPT], check=True)
    assert os.access(SCRIPT, os.X_OK)


@pytest.mark.parametrize("arguments", [(), ("gold",), ("ingest", "silver")])
def test_wrong_arguments_print_the_usage(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """No file is created."""
    answer = run(tmp_path, *arguments)
    assert answer.returncode == 2
    assert "usage: run.sh ingest|silver|ohlcv|tables|repair|cold" in answer.stderr
    assert not list(tmp_path.iterdir())


def test_ohlcv_resumes_from_its_recovery_store(tmp_path: Path) -> None:
    """The store is created in the data directory or in $RECOVERY."""
    log = str(record(tmp_path / "few.tsv", market(100, seed=1)))
    first = run(tmp_path, "ohlcv", CANDLEWAX_FEED=log)
    assert first.returncode == 0, first.stderr
    assert [path.name for path in (tmp_path / "data" / "recovery" / "ohlcv").iterdir()] == [
        "part-0.sqlite3"
    ]
    store = tmp_path / "elsewhere"
    second = run(tmp_path, "ohlcv", RECOVERY=str(store), CANDLEWAX_FEED=log)
    assert second.returncode == 0, second.stderr
    assert (store / "part-0.sqlite3").is_file()
    resumed = run(tmp_path, "ohlcv", RECOVERY=str(store), CANDLEWAX_FEED=log)
    assert resumed.returncode == 0, resumed.stderr


def test_incomplete_recovery_store_is_created_again(tmp_path: Path) -> None:
    """A start that was interrupted left a part of it."""
    incomplete = tmp_path / "store" / "new"
    incomplete.mkdir(parents=True)
    (incomplete / "part-0.sqlite3").write_bytes(b"half of it")
    log = str(record(tmp_path / "few.tsv", market(100, seed=1)))
    answer = run(tmp_path, "silver", RECOVERY=str(tmp_path / "store"), CANDLEWAX_FEED=log)
    assert answer.returncode == 0, answer.stderr
    assert not incomplete.exists()


@pytest.mark.parametrize("waits", [{}, {"STAY": "ended"}])
def test_sighup_reaches_the_dataflow(tmp_path: Path, waits: dict[str, str]) -> None:
    """It takes up a changed instruments file, also where the script waits for it."""
    program = tmp_path / "python"
    program.write_text(
        "#!/bin/sh\ntrap 'touch hup' HUP\ntrap 'exit 0' TERM\ntouch started\n"
        "while :; do sleep 0.05; done\n"
    )
    program.chmod(0o755)
    with start(tmp_path, "ingest", **{"PYTHON": str(program), **waits}) as process:
        wait_for(tmp_path / "started", process)
        process.send_signal(signal.SIGHUP)
        wait_for(tmp_path / "hup", process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("dataflow", ["ingest", "silver", "ohlcv"])
def test_dataflow_stops_on_sigterm_with_status_0(tmp_path: Path, dataflow: str) -> None:
    with start(tmp_path, dataflow) as process:
        assert process.stdout
        while "Reading" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors


def test_script_with_stay_waits_after_the_feed_has_ended(tmp_path: Path) -> None:
    """Until it is stopped; the file $STAY marks the end of the feed."""
    ended = tmp_path / "ended"
    with start(tmp_path, "ingest", STAY=str(ended)) as process:
        wait_for(ended, process)
        # Nothing would take up the instruments file: SIGHUP must not end it.
        ignored = re.search(r"SigIgn:\s*(\w+)", Path(f"/proc/{process.pid}/status").read_text())
        assert ignored
        assert int(ignored[1], 16) & 1 << signal.SIGHUP - 1
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert output.endswith("The feed has ended; waiting to be stopped.\n")


def test_script_with_stay_passes_sigterm_on_to_the_dataflow(tmp_path: Path) -> None:
    """It does not mark the feed as ended."""
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
def test_failed_dataflow_fails_the_script(tmp_path: Path, stay: str) -> None:
    """So the container is restarted, with $STAY too."""
    answer = run(tmp_path, "ingest", CANDLEWAX_DATABASE="no name", STAY=stay)
    assert answer.returncode == 1
    assert "CANDLEWAX_DATABASE" in answer.stderr
    assert not (tmp_path / "ended").exists()
