"""When no connection to an exchange was alive, told by what its feed says of them.

A feed puts events among the frames it receives: a connection is there, a connection is
gone. One that dies without a word is missed when the next process connects: then all
that it held are dead since the last frame that was received of the exchange.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import polars as pl

from candlewax.core.frames import EVENT, FROM_DUMP, FROM_REST
from candlewax.core.gaps.gap_state import OUTAGES
from candlewax.core.schema import KIND_TRADE

CONNECTED: Final = "connected"
DISCONNECTED: Final = "disconnected"

PROCESS: Final = "process"
"""The field of an event that tells the process it speaks for."""

_NONE: Final = pl.DataFrame(schema=OUTAGES)


class ConnectionEvent(NamedTuple):
    """What happened to a connection: `row` is the place of the frame that says so."""

    row: int
    connected: bool
    process: str


def event(row: int, content: dict[str, Any]) -> ConnectionEvent | None:
    """Read an event's frame; None if it is none that matters here."""
    kind = content[EVENT]
    if kind not in (CONNECTED, DISCONNECTED):
        return None
    process = content.get(PROCESS)
    return ConnectionEvent(row, kind == CONNECTED, process if isinstance(process, str) else "")


@dataclass
class OutageTracker:
    """The connections of an exchange; times in microseconds since 1970.

    `alive`: their processes by their names. `down`: since when none is, None while one is
    or none has ever been. `heard`: when a frame was last received. `pending`: OUTAGES
    that are over, but no trade came since. `known`: until when the events of each
    connection are known already, as the tables hold them.
    """

    alive: dict[str, str] = field(default_factory=dict)
    down: int | None = None
    heard: int = 0
    pending: list[tuple[int, int]] = field(default_factory=list)
    known: dict[str, int] = field(default_factory=dict)

    def observe(self, bronze: pl.DataFrame, events: Sequence[ConnectionEvent]) -> pl.DataFrame:
        """Follow a batch of frames (BRONZE) and the events among them; gives OUTAGES that
        end with it.
        """
        if not events:
            self._listen(bronze)
            return _NONE
        over, times = [], bronze["received_at"].cast(pl.Int64)
        for row, connected, process in events:
            name, at = bronze["connection"][row], times[row]
            if at <= self.known.get(name, -1):
                continue
            if connected:
                self._listen(bronze[:row])
                over += self._connected(name, process, at)
            else:
                self._disconnected(name, process, at)
        self._listen(bronze)
        self.pending += over
        return pl.DataFrame(over, OUTAGES, orient="row")

    def _listen(self, bronze: pl.DataFrame) -> None:
        """Note when a frame of a websocket came last."""
        if self.down is not None:
            self._doubt(bronze, self.down)
        if not self.alive or bronze.is_empty():
            return
        names, times = bronze["connection"], bronze["received_at"].cast(pl.Int64)
        first = names[0]
        # Nearly always all are of one connection.
        if not (names == first).all():
            times = times.filter(
                ~(names.str.starts_with(FROM_REST) | names.str.starts_with(FROM_DUMP))
            )
        elif first.startswith((FROM_REST, FROM_DUMP)):
            return
        self.heard = max(self.heard, int(times.max() or 0))  # type: ignore[arg-type]

    def _doubt(self, bronze: pl.DataFrame, down: int) -> None:
        """A trade that came by a websocket meanwhile shows that one was alive all the time:
        it is of another process, which had connected before.
        """
        later = pl.col("received_at").cast(pl.Int64) > down
        trading = bronze.filter(later & (pl.col("kind") == KIND_TRADE))["connection"].unique()
        alive = [name for name in trading if not name.startswith((FROM_REST, FROM_DUMP))]
        if alive:
            self.alive, self.down = dict.fromkeys(alive, ""), None

    def _connected(self, name: str, process: str, at: int) -> list[tuple[int, int]]:
        """A connection is there, and whatever another process held is not."""
        if self._is_new(name, process):
            for other, its in list(self.alive.items()):
                if other == name or not process or its != process:
                    del self.alive[other]
            if not self.alive:
                self.down = self.heard
        self.alive[name] = process
        began, self.down = self.down, None
        return [(began, at)] if began is not None and at > began else []

    def _is_new(self, name: str, process: str) -> bool:
        """Whether some connection that seems alive cannot be."""
        others = any(its != process for its in self.alive.values()) and bool(process)
        return name in self.alive or others

    def _disconnected(self, name: str, process: str, at: int) -> None:
        """A connection is gone, unless another process has taken over its name."""
        its = self.alive.get(name)
        if its is None or (its and process and its != process):
            return
        del self.alive[name]
        if not self.alive:
            self.down = at

    def take_confirmed(self, trades: pl.DataFrame) -> pl.DataFrame:
        """OUTAGES that are over and after which one of these trades (TRADES) came; each is
        given once.
        """
        if not self.pending or trades.is_empty():
            return _NONE
        latest = int(trades["received_at"].cast(pl.Int64).max())  # type: ignore[arg-type]
        over = [outage for outage in self.pending if outage[1] <= latest]
        self.pending = [outage for outage in self.pending if outage[1] > latest]
        return pl.DataFrame(over, OUTAGES, orient="row") if over else _NONE

    def copy(self) -> "OutageTracker":
        """A copy that later changes do not reach."""
        return OutageTracker(
            dict(self.alive), self.down, self.heard, self.pending[:], dict(self.known)
        )
