"""The way of a process to stop."""

import atexit
import signal


class ShutdownSignal:
    """Whether the process was asked to stop: sources then end, and what they emitted
    is stored and remembered before the process exits.
    """

    def __init__(self) -> None:
        self._asked = False

    def listen(self) -> None:
        """Stop on SIGTERM and SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)
            # All is done when the interpreter ends; being asked then is no failure.
            atexit.register(signal.signal, number, signal.SIG_IGN)

    def _ask(self, *_: object) -> None:
        self._asked = True

    def __call__(self) -> bool:
        return self._asked
