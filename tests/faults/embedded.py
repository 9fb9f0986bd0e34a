"""The whole pipeline in one process, with an embedded database."""

import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.faults.clock import ALTERED
from tests.faults.stage import VENUES
from tests.support.processes import FLOW, ROOT, environment

PIECEWISE = {"CANDLEWAX_TEST_FLOW": "ohlcv", "CANDLEWAX_TEST_BATCH_BYTES": str(48 << 10)}
"""Settings of a process that reads little of a recording at a time."""

Within = Callable[[Sequence[str]], list[str]]


def play(
    folder: Path, log: Path, *options: str, within: Within = list, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Play a recording into the database of a folder; what it said."""
    return subprocess.run(
        within(_command(settings, *options)),
        cwd=ROOT,
        env=_environment(folder, CANDLEWAX_FEED=str(log), **settings),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def begin(
    folder: Path, log: Path, *options: str, within: Within = list, **settings: str
) -> subprocess.Popen[str]:
    """Begin to play a recording; returns when it reads."""
    process = _start(folder, options, {"CANDLEWAX_FEED": str(log), **settings}, within=within)
    assert process.stdout is not None
    assert any(line.startswith("Reading") for line in process.stdout)
    return process


def listen(
    folder: Path,
    url: Callable[[str], str] = lambda _: "ws://127.0.0.1:1",
    *options: str,
    said: int | IO[str] = subprocess.PIPE,
    **settings: str,
) -> subprocess.Popen[str]:
    """Begin to listen to exchanges, at the addresses that `url` gives; where they are not there
    it keeps the database of the folder. What it says goes to `said`.
    """
    urls = {f"CANDLEWAX_{name.upper()}_URL": url(name) for name in VENUES}
    more = {"CANDLEWAX_FEED": "live", "CANDLEWAX_EXCHANGES": ",".join(VENUES), **urls, **settings}
    return _start(folder, options, more, said=said)


def _start(
    folder: Path,
    options: Sequence[str],
    settings: Mapping[str, str],
    *,
    within: Within = list,
    said: int | IO[str] = subprocess.PIPE,
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        within(_command(settings, *options)),
        cwd=ROOT,
        env=_environment(folder, **settings),
        stdout=said,
        stderr=said,
        text=True,
    )


def _command(settings: Mapping[str, str], *options: str) -> list[str]:
    flow = [*FLOW[:-1], ALTERED] if "CANDLEWAX_TEST_FLOW" in settings else FLOW
    return [*flow, *options]


def _environment(folder: Path, **settings: str) -> dict[str, str]:
    return environment(folder, **{"CANDLEWAX_CLICKHOUSE": str(folder), **settings})
