"""Orderly stop of a process."""

import atexit
import signal


class ShutdownSignal:
    """Flag that SIGTERM and SIGINT set; called, it returns True once the process should stop.

    Sources then end. What they emitted is stored and covered by a snapshot before the exit.
    """

    def __init__(self) -> None:
        self._is_set = False

    def listen(self) -> None:
        """Set the flag on SIGTERM and SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)
            # A signal while the interpreter exits must not change the exit status.
            atexit.register(signal.signal, number, signal.SIG_IGN)

    def _handle(self, *_: object) -> None:
        self._is_set = True

    def __call__(self) -> bool:
        return self._is_set
