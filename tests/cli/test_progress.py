"""Bars of long work: on a terminal with rate and time left, elsewhere nothing."""

import os
import subprocess
import sys
from typing import Final

from tests.support.processes import ROOT
from tests.support.terminal import on_terminal

_WORK: Final = """
import os, sys, tty
if sys.stdin.isatty():
    tty.setcbreak(0)
def wait():
    os.read(0, 1)
from candlewax.cli.progress import show_count, show_progress
with show_progress("adding", 10, "rows") as bar:
    bar.advance(4)
    print("a line of the work")
    wait()
    bar.show(7, 10)
    wait()
with show_count("counting", 8, "frames", lambda: 2):
    wait()
print("done")
"""


def test_bar_shows_part_rate_and_time_left_below_lines_of_the_work() -> None:
    """It goes away at the end."""
    with on_terminal((sys.executable, "-c", _WORK), os.environ) as terminal:
        terminal.until(lambda: "adding" in terminal.text and "40%" in terminal.text)
        terminal.press("\n")
        terminal.until(lambda: "70%" in terminal.text and "rows/s" in terminal.text)
        terminal.press("\n")
        terminal.until(lambda: "counting" in terminal.text and "25%" in terminal.text)
        assert terminal.lines[0] == "a line of the work"
        terminal.press("\n")
        terminal.until(lambda: "done" in terminal.text)
        assert not {"adding", "counting"} & set(terminal.text.split())


def test_nothing_is_shown_in_a_pipe() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WORK],
        cwd=ROOT,
        input="\n\n\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("a line of the work\ndone\n", "")
