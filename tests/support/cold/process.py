"""A server of the cold tier as a process."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import ProxyHandler, build_opener

_READY_S: Final = 90.0
_POLL_S: Final = 0.05

JAVA: Final = ("java", "-Xms64m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


class ServerProcess:
    """A server in a folder; it can be stopped, killed and started again on its port."""

    def __init__(
        self,
        folder: Path,
        command: Sequence[str],
        is_ready: Callable[[], bool],
        environ: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        """`options` are those of `subprocess.Popen`."""
        self._command = command
        self._is_ready = is_ready
        self._environ = {**os.environ, **(environ or {})}
        self._options = options
        self._log = folder / "out.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process of a server that was started."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start, and return when the server answers."""
        with self._log.open("ab") as out:
            self._process = subprocess.Popen(
                self._command, stdout=out, stderr=out, env=self._environ, **self._options
            )
        end = time.monotonic() + _READY_S
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > end:
                self.stop(signal.SIGKILL)
                raise RuntimeError(self._log.read_text("utf-8", errors="replace"))
            time.sleep(_POLL_S)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Stop, or kill; returns when it is gone. What it holds stays for the next start."""
        if self._process:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None


def answers(address: str) -> bool:
    """Return whether HTTP at an address gives any answer, also one that refuses."""
    # A proxy from the environment must not be used.
    opener = build_opener(ProxyHandler({}))
    try:
        with opener.open(address, timeout=5):
            return True
    except HTTPError as error:
        error.close()
        return True
    except OSError:
        return False
