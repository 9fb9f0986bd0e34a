"""A clock that can be stepped."""

import struct
from pathlib import Path

ALTERED = "tests.faults.flows.altered"
"""The module of processes that do."""


class Clock:
    """What is added to the clock of the processes that look into this file."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.step(0)

    def step(self, nanoseconds: int) -> None:
        """Set it to so much ahead."""
        with self.file.open("r+b" if self.file.exists() else "wb") as file:
            file.write(struct.pack("=q", nanoseconds))
