"""Orderly stop of a process."""

import atexit
import signal

from candlewax.runtime.terminal import leave_lost_terminal


class ShutdownSignal:
    """Flag that signals set; called, it returns True once the process should stop.

    Sources then end. What they emitted is stored and covered by a snapshot before the exit.
    """

    def __init__(self) -> None:
        self._is_set = False

    def listen(self) -> None:
        """Set the flag on SIGTERM and SIGINT, and on SIGHUP unless the process ignores it.

        It is ignored below nohup.
        """
        numbers = [signal.SIGTERM, signal.SIGINT]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)
        for number in numbers:
            signal.signal(number, self._handle)
            # A signal while the interpreter exits must not change the exit status.
            atexit.register(signal.signal, number, signal.SIG_IGN)

    def set(self) -> None:
        """Set the flag."""
        self._is_set = True

    def _handle(self, *_: object) -> None:
        leave_lost_terminal()
        self._is_set = True

    def __call__(self) -> bool:
        return self._is_set
