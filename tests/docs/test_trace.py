"""The traces of one frame: their figures are those of the page."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "architecture.md").read_text("utf-8")

MOST_CHANGES: Final = 33
"""Changes of package on the way of one frame through one process."""


def printed(*options: str) -> list[tuple[str, ...]]:
    """Return process, files and changes of package of each line of totals.

    How often the writer looks at its queue, and so the number of calls, may differ.
    """
    done = subprocess.run(
        [sys.executable, "tools/trace_frame.py", *options],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    totals = r"^(?:(\w+): )?(\d+) files, \d+ calls, (\d+) changes of package$"
    return re.findall(totals, done.stdout, re.MULTILINE)


def test_trace_prints_the_figures_of_the_page() -> None:
    page = re.search(r"visits (\d+) files\s+and changes package (\d+) times", PAGE)
    assert page
    assert printed() == [("", *page.groups())]
    assert int(page[2]) <= MOST_CHANGES


def test_trace_behind_a_broker_prints_the_figures_of_the_page() -> None:
    """Of each process and of all together."""
    page = re.findall(r"^\| `?(\w+)`? \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)
    assert [process for process, *_ in page] == ["ingest", "silver", "ohlcv", "together"]
    assert printed("--broker") == page
    assert all(int(changes) <= MOST_CHANGES for *_, changes in page[:-1])
