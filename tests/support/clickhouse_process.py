"""A ClickHouse server for tests, as a process: `tests.support.clickhouse_server`."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tests.support.ports import free_port

ROOT: Final = Path(__file__).parents[2]

USER: Final = "can dle"
PASSWORD: Final = "p@ss:/w%2F?#é&"  # noqa: S105
"""An account whose characters an address must escape."""


class Serving:
    """A front that runs as a process, and can be killed and started again."""

    def __init__(
        self,
        folder: Path,
        user: str = "default",
        password: str = "",
        within: Callable[[Sequence[str]], list[str]] = list,
    ) -> None:
        """`within` makes of its command one that runs it elsewhere."""
        self._folder = folder
        self._within = within
        self._account = (user, password)
        self._process: subprocess.Popen[str] | None = None
        self.port = free_port()
        self.start()

    @property
    def address(self) -> str:
        """Where it listens, without who may use it."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def dsn(self) -> str:
        """Where it listens and how to be let in."""
        user, password = (quote(part, safe="") for part in self._account)
        return f"http://{user}:{password}@127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Its process while it runs."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, again on the same port."""
        user, password = self._account
        options = ["--port", str(self.port), f"--user={user}", f"--password={password}"]
        self._process = subprocess.Popen(
            self._within(
                [
                    sys.executable,
                    "-m",
                    "tests.support.clickhouse_server",
                    str(self._folder),
                    *options,
                ]
            ),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        # That of a signal is negative.
        assert line.startswith("listening on "), line or f"ended with {self._process.wait()}"
        self.port = int(line.split()[-1])

    def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it; returns when it is gone."""
        if self._process:
            self._process.send_signal(number)
            self._process.communicate(timeout=60)
            self._process = None


@contextmanager
def serving(folder: Path, user: str = "default", password: str = "") -> Iterator[Serving]:
    """A front for as long as the block lasts."""
    front = Serving(folder, user, password)
    try:
        yield front
    finally:
        front.end()
