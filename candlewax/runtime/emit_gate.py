"""Backpressure: sources wait while the writer stores a small block.

An insert costs by itself, not by its rows. So what arrives during an insert waits, and shares the
next one.
"""

import threading
from collections.abc import Callable


class EmitGate:
    """Backpressure for all sources of a process. Any thread may use it.

    While the writer is backlogged, each partition may emit once more at most: if it has not
    emitted since the last backlog ended. In the first backlog of a process none may emit.
    """

    def __init__(self) -> None:
        self._checks: list[Callable[[], bool]] = []
        self._lock = threading.Lock()
        self._turn = 0
        self._was_backlogged = False

    def add_backpressure(self, is_backlogged: Callable[[], bool]) -> None:
        """Hold sources back while the check returns True."""
        self._checks.append(is_backlogged)

    def for_partition(self) -> Callable[[], bool]:
        """Return a check for one source partition: may it emit now? True uses up its turn."""
        used_turn = 0

        def may_emit() -> bool:
            nonlocal used_turn
            turn, is_backlogged = self._current_turn()
            if is_backlogged and used_turn == turn:
                return False
            used_turn = turn
            return True

        return may_emit

    def _current_turn(self) -> tuple[int, bool]:
        """Return the number of the current turn, and True if the writer is backlogged."""
        is_backlogged = False
        for check in self._checks:
            is_backlogged = is_backlogged or check()
        with self._lock:
            if self._was_backlogged and not is_backlogged:
                self._turn += 1
            self._was_backlogged = is_backlogged
            return self._turn, is_backlogged
