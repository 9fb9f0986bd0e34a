"""Commands that are run to their end, and what they may say then."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.support.processes import ROOT, environment

INNARDS = ("Traceback", "DB::", "Error(", "panicked", "errno", "HTTPConnection", "Stack trace")
"""What libraries say and nobody is helped by."""

WITHIN = """
import os, resource, runpy, signal, sys
from candlewax.clickhouse import client as clickhouse
{change}
sys.argv = ["bytewax.run", "dataflows.ohlcv"]
runpy.run_module("bytewax.run", run_name="__main__", alter_sys=True)
"""
"""A dataflow in which something happens at a moment that is known."""

AT_FIRST_INSERT = """
insert = clickhouse.Database.insert
def struck(self, *rows):
    {change}
    insert(self, *rows)
clickhouse.Database.insert = struck
"""


def end(
    folder: Path, *command: str, before: Callable[[], None] | None = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. Stacks of Rust are asked for, and must not come."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**environment(folder, **settings), "RUST_BACKTRACE": "1"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
        preexec_fn=before,
    )


def check(done: subprocess.CompletedProcess[str], sentence: str, status: int = 1) -> None:
    """The last line is the sentence, and no library is heard before."""
    lines = done.stderr.splitlines()
    assert lines, done.stdout
    assert lines[-1].startswith("candlewax: "), done.stderr
    assert sentence in lines[-1], done.stderr
    assert not [word for word in INNARDS if word in done.stderr], done.stderr
    assert "the feed has ended" not in (done.stdout + done.stderr).lower()
    assert done.returncode == status, done.stderr


def command(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-c", "from candlewax.cli.main import main; main()", *arguments)


def within(change: str) -> tuple[str, ...]:
    return (sys.executable, "-c", WITHIN.format(change=change))
