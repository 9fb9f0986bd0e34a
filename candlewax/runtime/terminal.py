"""The terminal that a process runs in, and its loss."""

import errno
import os
import sys
import termios


def leave_lost_terminal() -> bool:
    """Return True if the terminal of the standard input or of an output is gone.

    What is printed from then on is dropped, as printing to a terminal that is gone fails.
    """
    lost = [file for file in {0, 1, 2, *_error_files()} if _is_lost(file)]
    if lost:
        nowhere = os.open(os.devnull, os.O_RDWR)
        for file in lost:
            os.dup2(nowhere, file)
        os.close(nowhere)
    return bool(lost)


def _error_files() -> list[int]:
    """Return the descriptor of Python's standard error, which may have one of its own."""
    try:
        return [sys.stderr.fileno()]
    except (AttributeError, OSError, ValueError):  # it is absent, closed or no file
        return []


def _is_lost(file: int) -> bool:
    """Return True for a file of a terminal that was closed; False for a terminal and all else."""
    try:
        termios.tcgetattr(file)
    except termios.error as error:
        return bool(error.args[0] == errno.EIO)
    return False
