"""The trace of one frame: its figures are those of the page."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_trace_prints_the_figures_of_the_page() -> None:
    """Files and changes of package; how often the writer looks at its queue may differ."""
    done = subprocess.run(
        [sys.executable, "tools/trace_frame.py"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    printed = re.fullmatch(
        r"(\d+) files, \d+ calls, (\d+) changes of package", done.stdout.splitlines()[-1]
    )
    page = re.search(
        r"visits (\d+) files\s+and changes package (\d+) times",
        (ROOT / "docs" / "architecture.md").read_text("utf-8"),
    )
    assert printed
    assert page
    assert printed.groups() == page.groups()
