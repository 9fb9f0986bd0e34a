"""How the feeds are: each connection, what comes and how fast, and how long it takes."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, cast

import msgspec
import polars as pl

from candlewax.core.batch import Batch
from candlewax.core.frames import EVENT, is_asked_for
from candlewax.core.schema import KIND_CONTROL

SECOND: Final = 1_000_000

STALLED: Final = 15 * SECOND
"""A connection that brings nothing for so long, here, is stalled."""

OVER: Final = 600 * SECOND
"""One that brings nothing for so long, or was closed so long ago, by the time of the
feed, is shown no more, as long as another one of its exchange delivers."""

SPAN: Final = 5 * SECOND
"""What rates are taken over."""

SAMPLES: Final = 2_000
"""Batches whose time to the tables is remembered."""

_EVENTS: Final = {
    "connected": "live",
    "disconnected": "disconnected",
    "failed": "disconnected",
    "refused": "refused",
    "rotating": "rotating",
}


class Reports(Protocol):
    """What can say how the feeds are."""

    def report(self, wall: int) -> dict[str, Any]:
        """All of it, as JSON can say it; `wall` is the time here, in microseconds."""


class Clock:
    """What time it is where the trades come from: here, as they are live."""

    def now(self, wall: int) -> int:
        """The time of the feed, when it is `wall` here; microseconds since 1970."""
        return wall

    def wall(self, received: int) -> int:
        """When it was here what was received at a time of the feed."""
        return received


@dataclass
class Rate:
    """How many a second, over the last seconds."""

    total: int = 0
    _recent: deque[tuple[int, int]] = field(default_factory=deque)

    def add(self, now: int, count: int) -> None:
        """Count so many that came, and forget what is too old to matter: nobody may ever ask."""
        self.total += count
        self._recent.append((now, count))
        self._forget(now)

    def a_second(self, now: int) -> float:
        """The rate up to now."""
        self._forget(now)
        return sum(count for _, count in self._recent) / (SPAN / SECOND)

    def _forget(self, now: int) -> None:
        while self._recent and self._recent[0][0] < now - SPAN:
            self._recent.popleft()


@dataclass
class Connection:
    """What is known of one connection; times of the feed, microseconds since 1970."""

    exchange: str
    name: str
    state: str = "live"
    reason: str = ""
    heard: int = 0
    changed: int = 0
    frames: Rate = field(default_factory=Rate)
    trades: Rate = field(default_factory=Rate)

    stored: int = 0
    """When a frame of it was last stored, here."""

    def condition(self, wall: int) -> str:
        """live, stalled, or what its last event said."""
        if self.state in {"live", "rotating"} and wall - self.stored > STALLED:
            return "stalled"
        return self.state


class Feeds:
    """Learns from what was stored how the feeds are."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._connections: dict[tuple[str, str], Connection] = {}
        self._frames, self._trades = Rate(), Rate()
        self._taken: deque[tuple[int, int]] = deque(maxlen=SAMPLES)
        self.ended = False
        """Whether nothing more will come."""

    def learn(self, batches: Sequence[tuple[int, Batch]]) -> None:
        """Batches were stored, each at a time (here); those of about a second at once."""
        frames = []
        for stored, batch in batches:
            bronze = batch.tables.get("bronze_frames")
            if bronze is not None and bronze.height:
                self._frames.add(stored, bronze.height)
                frames.append(bronze)
                if (bronze["kind"] == KIND_CONTROL).any():
                    self._listen(batch.exchange, bronze)
            if "silver_trades" in batch.tables:
                self._trades.add(stored, batch.trades.height)
            if "ohlcv" in batch.tables and batch.trades.height:
                last = cast(int, batch.trades["received_at"].to_physical().max())
                self._taken.append((stored, max(0, stored - self._clock.wall(last))))
        if frames:
            self._hear(batches[-1][0], pl.concat(frames))

    def _hear(self, stored: int, frames: pl.DataFrame) -> None:
        # An answer of REST, or a piece of a dump, is no feed that could stall.
        websockets = frames.filter(~is_asked_for("connection"))
        heard = websockets.group_by("exchange", "connection").agg(
            pl.len().alias("frames"),
            pl.col("trades").cast(pl.Int64).sum(),
            pl.col("received_at").max().cast(pl.Int64).alias("last"),
        )
        for exchange, name, count, trades, last in heard.iter_rows():
            connection = self._of(str(exchange), str(name))
            connection.frames.add(stored, count)
            connection.trades.add(stored, trades)
            connection.heard = max(connection.heard, last)
            connection.stored = stored

    def _listen(self, exchange: str, frames: pl.DataFrame) -> None:
        events = frames.filter(
            (pl.col("kind") == KIND_CONTROL) & pl.col("frame").str.starts_with(f'{{"{EVENT}"')
        )
        for row in events.select("connection", "received_at", "frame").iter_rows():
            self._happened(self._of(exchange, str(row[0])), _us(row[1]), row[2])

    def _of(self, exchange: str, name: str) -> Connection:
        key = (exchange, name)
        if key not in self._connections:
            self._connections[key] = Connection(exchange, name)
        return self._connections[key]

    def _happened(self, connection: Connection, time: int, frame: str) -> None:
        state, reason = state_of(frame, "")
        if state:
            connection.state = state
            connection.changed = time
            connection.reason = reason

    def report(self, wall: int) -> dict[str, Any]:
        """All of it, as JSON can say it; `wall` is the time here."""
        now = self._clock.now(wall)
        waits = sorted(wait for stored, wait in self._taken if wall - stored < 60 * SECOND)
        return {
            "status": "ended" if self.ended else self._status(now, wall),
            "now": now // 1000,
            "feeds": [self._shown(one, now, wall) for one in self._alive(now, wall)],
            "frames_per_second": round(self._frames.a_second(wall), 1),
            "trades_per_second": round(self._trades.a_second(wall), 1),
            "frames": self._frames.total,
            "trades": self._trades.total,
            "received_to_stored_ms": {
                "p50": _quantile(waits, 0.5),
                "p95": _quantile(waits, 0.95),
                "p99": _quantile(waits, 0.99),
            },
        }

    def _status(self, now: int, wall: int) -> str:
        states = {one.condition(wall) for one in self._alive(now, wall)}
        if not states:
            return "waiting"
        return "live" if states <= {"live", "rotating"} else "degraded"

    def _alive(self, now: int, wall: int) -> list[Connection]:
        """The connections worth showing."""
        delivering = {
            one.exchange
            for one in self._connections.values()
            if one.condition(wall) in {"live", "rotating"}
        }
        return [
            one
            for _, one in sorted(self._connections.items())
            if now - max(one.heard, one.changed) < OVER or one.exchange not in delivering
        ]

    def _shown(self, one: Connection, now: int, wall: int) -> dict[str, Any]:
        return {
            "exchange": one.exchange,
            "connection": one.name,
            "state": "ended" if self.ended else one.condition(wall),
            "reason": one.reason,
            "silent_ms": max(0, now - one.heard) // 1000,
            "frames_per_second": round(one.frames.a_second(wall), 1),
            "trades_per_second": round(one.trades.a_second(wall), 1),
            "frames": one.frames.total,
            "trades": one.trades.total,
        }


def state_of(event: str, default: str = "live") -> tuple[str, str]:
    """What an event frame of ours says of its connection, and why; the default if nothing."""
    try:
        said = msgspec.json.decode(event)
    except msgspec.DecodeError:
        return default, ""
    if not isinstance(said, dict):
        return default, ""
    return _EVENTS.get(str(said.get(EVENT)), default), str(said.get("reason") or "")[:200]


def _us(time: Any) -> int:  # noqa: ANN401 - a datetime with a zone
    return int(time.timestamp() * SECOND)


def _quantile(ordered: list[int], share: float) -> float | None:
    """Milliseconds; the nearest rank."""
    if not ordered:
        return None
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)] / 1000, 1)
