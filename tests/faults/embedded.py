"""The whole pipeline in one process, with an embedded database."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.test_process import FLOW, ROOT, environment

Within = Callable[[Sequence[str]], list[str]]


def play(
    folder: Path, log: Path, *options: str, within: Within = list
) -> subprocess.CompletedProcess[str]:
    """Play a recording into the database of a folder; what it said."""
    settings = {"CANDLEWAX_CLICKHOUSE": str(folder), "CANDLEWAX_FEED": str(log)}
    return subprocess.run(
        within((*FLOW, *options)),
        cwd=ROOT,
        env=environment(folder, **settings),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def begin(folder: Path, log: Path, *options: str) -> subprocess.Popen[str]:
    """Begin to play a recording; returns when it reads."""
    process = _start(folder, *options, CANDLEWAX_FEED=str(log))
    assert process.stdout is not None
    assert process.stdout.readline().startswith("Reading")
    return process


def listen(folder: Path) -> subprocess.Popen[str]:
    """Begin to listen to exchanges that are not there: it keeps the database of the folder."""
    urls = {
        f"CANDLEWAX_{name}_URL": "ws://127.0.0.1:1" for name in ("BINANCE", "KRAKEN", "COINBASE")
    }
    return _start(folder, CANDLEWAX_FEED="live", **urls)


def _start(folder: Path, *options: str, **settings: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*FLOW, *options],
        cwd=ROOT,
        env=environment(folder, CANDLEWAX_CLICKHOUSE=str(folder), **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
