"""What a feed emits: frames, and what is none."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from candlewax.core.rows.records import Frame

EVENT: Final = "candlewax"
"""The key of a frame that a feed of ours put among those it received: what happened to
its connection, as {"candlewax":"disconnected",...}. To everyone it is a control frame."""

FROM_REST: Final = "rest/"
FROM_DUMP: Final = "dump/"
"""How the name of a connection begins whose frames are answers of an exchange's REST
interface, or pieces of its dump files; the symbol follows as the exchange writes it.
Frames of any other connection came over a websocket."""


def is_asked_for(column: str) -> pl.Expr:
    """Return whether each frame was asked for by REST or comes from a dump, by the names of the
    connections in a column (Boolean).
    """
    name = pl.col(column)
    return name.str.starts_with(FROM_REST) | name.str.starts_with(FROM_DUMP)


@dataclass(frozen=True)
class FrameBatch:
    """Frames of one exchange (FRAMES, with SOURCE if they came through a broker), in
    the order they came.
    """

    exchange: str
    frames: pl.DataFrame


@dataclass(frozen=True)
class FrameRows:
    """A few frames of one exchange, in the order they came; read one by one."""

    exchange: str
    frames: Sequence[Frame]


@dataclass(frozen=True)
class InvalidUtf8Frames:
    """Frames that are not UTF-8: as `FrameBatch`, with every odd byte written out, and
    beside them their bytes and what is wrong with each.
    """

    exchange: str
    frames: pl.DataFrame
    values: Sequence[bytes]
    details: Sequence[str]


@dataclass(frozen=True)
class UnreadableLines:
    """Lines that hold no frame (DEAD_LETTERS)."""

    letters: pl.DataFrame


SourceItem = FrameBatch | FrameRows | InvalidUtf8Frames | UnreadableLines
