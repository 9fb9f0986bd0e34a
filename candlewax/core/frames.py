"""Items that sources emit: frames, invalid frames and unreadable lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from candlewax.core.rows.records import Frame
from candlewax.core.rows.table import build_table
from candlewax.core.schema import FRAMES, SOURCE, Columns

_COLUMNS: Final[Columns] = {**FRAMES, **SOURCE}

EVENT: Final = "candlewax"
"""Key of an event: a frame that a feed of ours puts among the received ones.

{"candlewax":"disconnected",...} says what happened to its connection. An event is a control frame.
"""

FROM_REST: Final = "rest/"
FROM_DUMP: Final = "dump/"
"""Prefixes of connection names for REST responses and for pieces of dump files.

The native symbol follows. Frames of all other connections came over a websocket.
"""


def is_requested(column: str) -> pl.Expr:
    """Return whether each frame is a REST response or of a dump file (Boolean).

    `column`: the names of the connections.
    """
    name = pl.col(column)
    return name.str.starts_with(FROM_REST) | name.str.starts_with(FROM_DUMP)


class FrameBatch:
    """Frames of one exchange in the order received.

    `frames`: FRAMES, with SOURCE if a broker carried them or if the batch was made of rows. `rows`:
    the same frames as rows, if the batch was made of rows. `processed`: FRAMES and SOURCE received
    between these, which a process before this one processed: they only tell of channels.
    """

    def __init__(
        self,
        exchange: str,
        frames: pl.DataFrame | None = None,
        rows: Sequence[Frame] = (),
        processed: pl.DataFrame | None = None,
    ) -> None:
        self.exchange = exchange
        self.rows = rows
        self.processed = processed
        self._frames = frames

    @property
    def frames(self) -> pl.DataFrame:
        """Frames as columns, built at the first access."""
        if self._frames is None:
            self._frames = build_table(_COLUMNS, self.rows)
        return self._frames

    @property
    def count(self) -> int:
        """Number of frames."""
        return len(self.rows) if self._frames is None else self._frames.height


@dataclass(frozen=True)
class InvalidUtf8Frames:
    """Frames that are not UTF-8.

    `frames`: as in `FrameBatch`, with invalid bytes escaped. `values`: the bytes of each;
    `details`: its fault.
    """

    exchange: str
    frames: pl.DataFrame
    values: Sequence[bytes]
    details: Sequence[str]


@dataclass(frozen=True)
class UnreadableLines:
    """Lines without a frame (DEAD_LETTERS)."""

    dead_letters: pl.DataFrame


SourceItem = FrameBatch | InvalidUtf8Frames | UnreadableLines
