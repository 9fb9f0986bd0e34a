"""A program on a terminal of a given size, and what its screen shows."""

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

import pyte

from tests.support.processes import ROOT

T = TypeVar("T")

PATIENCE_S: Final = 90.0

_BEGIN: Final = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)
"""Program that makes its terminal the controlling one, as a shell's is, and runs another."""


class Terminal:
    """Terminal of a running program, whose output is drawn as it arrives."""

    def __init__(
        self, command: Sequence[str], env: Mapping[str, str], columns: int, lines: int
    ) -> None:
        self._master, inner = pty.openpty()
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self.resize(columns, lines)
        plain = {name: text for name, text in env.items() if name not in {"COLUMNS", "LINES"}}
        self.process = subprocess.Popen(
            [sys.executable, "-c", _BEGIN, *command],
            cwd=ROOT,
            env={**plain, "TERM": "xterm"},
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
        )
        # Held open, so that what the program wrote last can be read after its end.
        self._inner = inner

    def resize(self, columns: int, lines: int) -> None:
        """Set the size; the program is told by a signal."""
        self._screen.resize(lines, columns)
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def press(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def modes(self) -> list[object]:
        """Return the modes of the terminal: whether it shows keys, and hands over lines."""
        return termios.tcgetattr(self._inner)

    @property
    def lines(self) -> list[str]:
        """Return the lines on the screen, from the top."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def until(self, found: Callable[[], T]) -> T:
        """Draw what the program writes until something is found, and return it."""
        end = time.monotonic() + PATIENCE_S
        while not (answer := found()):
            assert time.monotonic() < end, self.text
            self._draw()
        return answer

    def _draw(self) -> None:
        ready, _, _ = select.select([self._master], [], [], 0.1)
        if ready:
            self._stream.feed(os.read(self._master, 65536))

    def hang_up(self) -> None:
        """Close it, as its window is closed: its programs get SIGHUP, and can print no more."""
        os.close(self._master)
        self._master = -1

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._inner)
        if self._master >= 0:
            os.close(self._master)


@contextmanager
def on_terminal(
    command: Sequence[str], env: Mapping[str, str], columns: int = 80, lines: int = 24
) -> Iterator[Terminal]:
    """Run a program on a terminal; it is killed at the end."""
    terminal = Terminal(command, env, columns, lines)
    try:
        yield terminal
    finally:
        terminal.close()
