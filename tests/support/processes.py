"""Programs as processes, and what they leave in an embedded database."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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


_COMMANDS: Final = """
import io, json, os, sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from candlewax.cli.main import main
from candlewax.clickhouse import engine
if os.path.isdir(os.environ["CANDLEWAX_CLICKHOUSE"]):
    # An engine that is kept open need not start anew with each command.
    with suppress(Exception), redirect_stderr(io.StringIO()):
        held = engine.connect(os.path.realpath(os.environ["CANDLEWAX_CLICKHOUSE"]))
done = []
for arguments in json.loads(sys.stdin.read()):
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", newline="") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            main(arguments)
        except SystemExit as ended:
            status = ended.code
    for text in (out, err):
        text.flush()
    done.append([status or 0, *(text.buffer.getvalue().decode() for text in (out, err))])
print(json.dumps(done))
"""


@dataclass(frozen=True)
class Done:
    """Exit status and output of one command."""

    status: int
    said: str
    complained: str


def commands(folder: Path, given: Sequence[Sequence[str]], **settings: str) -> list[Done]:
    """Run several `candlewax` commands in one process: its start takes longer than most."""
    done = subprocess.run(
        [sys.executable, "-c", _COMMANDS],
        cwd=ROOT,
        env={**environment(folder, **settings), "COLUMNS": "200"},
        input=json.dumps([list(words) for words in given]),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [Done(*each) for each in json.loads(done.stdout.splitlines()[-1])]


def outputs(folder: Path, *given: Sequence[str], **settings: str) -> list[str]:
    """Return the standard output of commands that succeed."""
    done = commands(folder, given, **settings)
    for one in done:
        assert one.status == 0, one.said[-2000:] + one.complained
    return [one.said for one in done]


def queries(folder: Path, *questions: str, **settings: str) -> list[list[list[str]]]:
    """Return the rows of each query."""
    given = [("sql", sql, "--format", "TabSeparated") for sql in questions]
    return [
        [line.split("\t") for line in text.splitlines()]
        for text in outputs(folder, *given, **settings)
    ]


def query(folder: Path, sql: str, **settings: str) -> list[list[str]]:
    (rows,) = queries(folder, sql, **settings)
    return rows
