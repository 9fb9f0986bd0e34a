"""Outages of an exchange, from the connection events of its feed.

A feed puts events among its frames: a connection opened, a connection closed. If a process dies
without an event, the next one that connects shows it: all connections of the other process then
count as dead since the last received frame of the exchange.
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
"""Field of an event for the process that sent it."""

_NONE: Final = pl.DataFrame(schema=OUTAGES)


class ConnectionEvent(NamedTuple):
    """A connection that opened or closed; `row` is the place of the event's frame."""

    row: int
    connected: bool
    process: str


def connection_event(row: int, content: dict[str, Any]) -> ConnectionEvent | None:
    """Read an event's frame; return None for other events."""
    kind = content[EVENT]
    if kind not in (CONNECTED, DISCONNECTED):
        return None
    process = content.get(PROCESS)
    return ConnectionEvent(row, kind == CONNECTED, process if isinstance(process, str) else "")


@dataclass
class OutageTracker:
    """Connections of an exchange and its outages; times in microseconds since 1970.

    `alive`: the process of each open connection, by the connection's name. `down_since_us`: None
    while a connection is open, and before the first one. `last_frame_us`: when a frame was last
    received. `pending`: OUTAGES that ended without a trade since. `known_until_us`: by connection,
    the time up to which the tables hold its events.
    """

    alive: dict[str, str] = field(default_factory=dict)
    down_since_us: int | None = None
    last_frame_us: int = 0
    pending: list[tuple[int, int]] = field(default_factory=list)
    known_until_us: dict[str, int] = field(default_factory=dict)

    def observe(self, bronze: pl.DataFrame, events: Sequence[ConnectionEvent]) -> pl.DataFrame:
        """Apply a batch of frames (BRONZE) and its events. Return the OUTAGES that ended in it."""
        if not events:
            self._record_frames(bronze)
            return _NONE
        ended, times = [], bronze["received_at"].cast(pl.Int64)
        for row, connected, process in events:
            name, at_us = bronze["connection"][row], times[row]
            if at_us <= self.known_until_us.get(name, -1):
                continue
            if connected:
                self._record_frames(bronze[:row])
                ended += self._apply_connect(name, process, at_us)
            else:
                self._apply_disconnect(name, process, at_us)
        self._record_frames(bronze)
        self.pending += ended
        return pl.DataFrame(ended, OUTAGES, orient="row")

    @property
    def awaits_trades(self) -> bool:
        """True if a trade would say something of an outage."""
        return bool(self.pending) or self.down_since_us is not None

    def record_received(self, received_us: int) -> None:
        """Record when a websocket frame was received, while a connection is open."""
        if self.alive:
            self.last_frame_us = max(self.last_frame_us, received_us)

    def _record_frames(self, bronze: pl.DataFrame) -> None:
        """Record when a websocket frame was last received."""
        if self.down_since_us is not None:
            self._restore_alive(bronze, self.down_since_us)
        if not self.alive or bronze.is_empty():
            return
        names, times = bronze["connection"], bronze["received_at"].cast(pl.Int64)
        first = names[0]
        # Nearly always all frames are of one connection.
        if not (names == first).all():
            times = times.filter(
                ~(names.str.starts_with(FROM_REST) | names.str.starts_with(FROM_DUMP))
            )
        elif first.startswith((FROM_REST, FROM_DUMP)):
            return
        self.last_frame_us = max(self.last_frame_us, int(times.max() or 0))  # type: ignore[arg-type]

    def _restore_alive(self, bronze: pl.DataFrame, down_since_us: int) -> None:
        """Clear the outage if a websocket delivered a trade in it.

        Such a connection belongs to another process and was open all the time.
        """
        later = pl.col("received_at").cast(pl.Int64) > down_since_us
        sources = bronze.filter(later & (pl.col("kind") == KIND_TRADE))["connection"].unique()
        alive = [name for name in sources if not name.startswith((FROM_REST, FROM_DUMP))]
        if alive:
            self.alive, self.down_since_us = dict.fromkeys(alive, ""), None

    def _apply_connect(self, name: str, process: str, at_us: int) -> list[tuple[int, int]]:
        """Open a connection, and drop those that belong to another process."""
        if self._has_stale_connection(name, process):
            for other_name, other_process in list(self.alive.items()):
                if other_name == name or not process or other_process != process:
                    del self.alive[other_name]
            if not self.alive:
                self.down_since_us = self.last_frame_us
        self.alive[name] = process
        began, self.down_since_us = self.down_since_us, None
        return [(began, at_us)] if began is not None and at_us > began else []

    def _has_stale_connection(self, name: str, process: str) -> bool:
        """Return whether any connection that counts as open must be dead."""
        has_other_process = any(
            other_process != process for other_process in self.alive.values()
        ) and bool(process)
        return name in self.alive or has_other_process

    def _apply_disconnect(self, name: str, process: str, at_us: int) -> None:
        """Close a connection, unless another process has taken over its name."""
        owner = self.alive.get(name)
        if owner is None or (owner and process and owner != process):
            return
        del self.alive[name]
        if not self.alive:
            self.down_since_us = at_us

    def take_confirmed(self, trades: pl.DataFrame) -> pl.DataFrame:
        """Return the OUTAGES that ended before one of these trades (TRADES) came, each once."""
        if not self.pending or trades.is_empty():
            return _NONE
        latest = int(trades["received_at"].cast(pl.Int64).max())  # type: ignore[arg-type]
        confirmed = [outage for outage in self.pending if outage[1] <= latest]
        self.pending = [outage for outage in self.pending if outage[1] > latest]
        return pl.DataFrame(confirmed, OUTAGES, orient="row") if confirmed else _NONE

    def copy(self) -> "OutageTracker":
        """Return a copy that later changes do not reach."""
        return OutageTracker(
            dict(self.alive),
            self.down_since_us,
            self.last_frame_us,
            self.pending[:],
            dict(self.known_until_us),
        )
