"""Keys that turn the pages of a report, read from the terminal."""

import atexit
import os
import re
import select
import sys
import termios
import threading
import time
import tty
from types import TracebackType
from typing import Any, Final, Self

_KEYS: Final = re.compile(rb"\x1b[\[O][A-D]|\x1b\[[56]~|[nNpP ]")

_STEPS: Final = {b"C": 1, b"B": 1, b"6": 1, b"n": 1, b"N": 1, b" ": 1}
"""Last letters of keys for the next page; the other keys are for the page before."""

_READ_BYTES: Final = 256


class PageKeys:
    """Keys of a terminal: n, space, right, down for the next page; p, left, up for the one before.

    Without a terminal at the standard input there are none, and nothing is read. Ctrl-C and Ctrl-Z
    work as ever.
    """

    def __init__(self) -> None:
        self._file = _find_terminal()
        self._woken, self._waker = os.pipe()
        self._is_ended = threading.Event()
        self._modes: list[Any] | None = None

    @property
    def are_read(self) -> bool:
        """True if there is a terminal to press keys on."""
        return self._file is not None

    def __enter__(self) -> Self:
        """Let the terminal hand over each key at once, without showing it."""
        if self._file is not None:
            self._modes = termios.tcgetattr(self._file)
            atexit.register(self._restore)
            tty.setcbreak(self._file, termios.TCSANOW)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Set the terminal as it was."""
        self._restore()
        os.close(self._woken)

    def wake(self) -> None:
        """End all waiting, from any thread, for good."""
        self._is_ended.set()
        os.close(self._waker)

    def wait(self, seconds: float) -> int | None:
        """Wait for a key; return how many pages to go on, 0 without one, None once woken."""
        files = [self._woken]
        # In the background of a shell, reading would stop the process.
        if self._file is not None and _is_in_foreground(self._file):
            files.append(self._file)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            ready, _, _ = select.select(files, [], [], left)
            if self._is_ended.is_set():
                return None
            if self._file in ready:
                if steps := self._read():
                    return steps
                if self._file is None:
                    files.pop()
        return 0

    def _read(self) -> int:
        """Return how many pages the pressed keys go on, and forget a terminal that is gone."""
        try:
            pressed = os.read(self._file or 0, _READ_BYTES)
        except OSError:
            pressed = b""
        if not pressed:
            self._file = None
        keys = [key[2:3] if key.startswith(b"\x1b") else key for key in _KEYS.findall(pressed)]
        return sum(_STEPS.get(key, -1) for key in keys)

    def _restore(self) -> None:
        if self._modes is None or self._file is None:
            return
        if _is_in_foreground(self._file):
            termios.tcsetattr(self._file, termios.TCSANOW, self._modes)
        self._modes = None
        atexit.unregister(self._restore)


def _find_terminal() -> int | None:
    """Return the standard input if it is a terminal that this process may read."""
    try:
        file = sys.stdin.fileno()
    except (AttributeError, OSError, ValueError):
        return None
    return file if os.isatty(file) and _is_in_foreground(file) else None


def _is_in_foreground(file: int) -> bool:
    try:
        return os.tcgetpgrp(file) == os.getpgrp()
    except OSError:
        return False
