"""`candlewax up` and `candlewax serve` as processes whose page is asked."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.processes import ROOT, environment
from tests.support.web_server import Client

CODE = "import sys; from candlewax.cli.main import main; main(sys.argv[1:])"
PATIENCE = 120.0


@contextmanager
def started(folder: Path, *arguments: str, **settings: str) -> Iterator[tuple[Client, Any]]:
    """Start a command, wait for its address, and stop it; it must end with status 0."""
    process = subprocess.Popen(
        [sys.executable, "-c", CODE, *arguments, "--port=0"],
        cwd=ROOT,
        env=environment(folder, PYTHONUNBUFFERED="1", TMPDIR=str(folder), **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        output = ""
        while not (address := re.search(r"^ {4}http://127\.0\.0\.1:(\d+)$", output, re.MULTILINE)):
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            output += line
        yield Client(int(address[1])), process
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors
    finally:
        process.kill()
        process.communicate()
