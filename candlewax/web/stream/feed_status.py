"""Status of the feeds: state of each connection, rates and delay until storage."""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import msgspec
import polars as pl

from candlewax.core.batch import Batch
from candlewax.core.frames import EVENT, is_requested
from candlewax.core.schema import KIND_CONTROL

SECOND_US: Final = 1_000_000

STALLED_US: Final = 15 * SECOND_US
"""Microseconds without a stored frame after which a connection is stalled."""

HIDE_AFTER_US: Final = 600 * SECOND_US
"""Microseconds of the feed's time without a frame or event after which a connection is hidden, if
another one of its exchange delivers."""

RATE_SPAN_US: Final = 5 * SECOND_US
"""Microseconds that rates cover."""

SAMPLES: Final = 5_000
"""Trades whose delay until storage is kept."""

BATCH_SAMPLES: Final = 20
"""Trades of a batch whose delay is measured, spread evenly: a batch may hold those of a second."""

CLOSED: Final = "closed"
"""State of a connection that we ended without a fault, as another one replaced it or its markets
were dropped. It is hidden while its exchange delivers, and else counts as disconnected."""

_EVENTS: Final = {
    "connected": "live",
    "disconnected": "disconnected",
    "failed": "disconnected",
    "refused": "refused",
    "rotating": "rotating",
}


class FeedReporter(Protocol):
    """Reporter of the feeds' status."""

    def report(self, wall_us: int) -> dict[str, Any]:
        """Return the status as JSON values; `wall_us` is the time here in microseconds."""


class Clock:
    """Clock of a live feed: the time here."""

    pace: float | None = None
    """Seconds of a recording that are played in one second; None for a live feed."""

    def feed_time_us(self, wall_us: int) -> int:
        """Return the feed's time at a time here; microseconds since 1970."""
        return wall_us

    def wall_time_us(self, received_us: int) -> int:
        """Return the time here at which a trade was received, by its time in the feed."""
        return received_us


@dataclass
class Rate:
    """Count per second over the last seconds."""

    total: int = 0
    _recent: deque[tuple[int, int]] = field(default_factory=deque)

    def add(self, now_us: int, count: int) -> None:
        """Add a count, and drop counts that are too old."""
        self.total += count
        self._recent.append((now_us, count))
        self._forget(now_us)

    def per_second(self, now_us: int) -> float:
        """Return the rate up to now."""
        self._forget(now_us)
        return sum(count for _, count in self._recent) / (RATE_SPAN_US / SECOND_US)

    def _forget(self, now_us: int) -> None:
        while self._recent and self._recent[0][0] < now_us - RATE_SPAN_US:
            self._recent.popleft()


@dataclass
class Connection:
    """Status of one connection; times of the feed, in microseconds since 1970."""

    exchange: str
    name: str
    state: str = "live"
    reason: str = ""
    received_us: int = 0
    changed_us: int = 0
    frames: Rate = field(default_factory=Rate)
    trades: Rate = field(default_factory=Rate)

    stored_us: int = 0
    """Time here at which one of its frames was last stored."""

    def current_state(self, wall_us: int) -> str:
        """Return the state: live, stalled, or as its last event says."""
        if self.state in {"live", "rotating"} and wall_us - self.stored_us > STALLED_US:
            return "stalled"
        return "disconnected" if self.state == CLOSED else self.state


class LiveFeedStatus:
    """Status of the feeds, derived from the batches that were stored."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._connections: dict[tuple[str, str], Connection] = {}
        self._frames, self._trades = Rate(), Rate()
        self._delays: deque[tuple[int, int]] = deque(maxlen=SAMPLES)
        self.has_ended = False
        """True once the feed has ended."""

    def read_batches(self, batches: Sequence[tuple[int, Batch]]) -> None:
        """Add stored batches, each with its time here; those of about a second at once."""
        frames = []
        for stored_us, batch in batches:
            bronze = batch.tables.get("bronze_frames")
            if bronze is not None and bronze.height:
                self._frames.add(stored_us, bronze.height)
                frames.append(bronze)
                if (bronze["kind"] == KIND_CONTROL).any():
                    self._read_events(batch.exchange, bronze)
            if "silver_trades" in batch.tables:
                self._trades.add(stored_us, batch.trades.height)
                self._measure_delays(stored_us, batch.trades["received_at"])
        if frames:
            self._count_frames(batches[-1][0], pl.concat(frames))

    def _measure_delays(self, stored_us: int, received_at: pl.Series) -> None:
        newest_first = received_at.to_physical().reverse()
        step = max(1, len(newest_first) // BATCH_SAMPLES)
        for received_us in newest_first.gather_every(step).to_list():
            delay = stored_us - self._clock.wall_time_us(received_us)
            self._delays.append((stored_us, max(0, delay)))

    def _count_frames(self, stored_us: int, frames: pl.DataFrame) -> None:
        # REST and dump files are no feed that could stall.
        websockets = frames.filter(~is_requested("connection"))
        counts = websockets.group_by("exchange", "connection").agg(
            pl.len().alias("frames"),
            pl.col("trades").cast(pl.Int64).sum(),
            pl.col("received_at").max().cast(pl.Int64).alias("last"),
        )
        for exchange, name, count, trades, last in counts.iter_rows():
            connection = self._connection(str(exchange), str(name))
            connection.frames.add(stored_us, count)
            connection.trades.add(stored_us, trades)
            connection.received_us = max(connection.received_us, last)
            connection.stored_us = stored_us

    def _read_events(self, exchange: str, frames: pl.DataFrame) -> None:
        events = frames.filter(
            (pl.col("kind") == KIND_CONTROL) & pl.col("frame").str.starts_with(f'{{"{EVENT}"')
        )
        for row in events.select("connection", "received_at", "frame").iter_rows():
            self._apply_event(self._connection(exchange, str(row[0])), _to_us(row[1]), row[2])

    def _connection(self, exchange: str, name: str) -> Connection:
        key = (exchange, name)
        if key not in self._connections:
            self._connections[key] = Connection(exchange, name)
        return self._connections[key]

    def _apply_event(self, connection: Connection, time_us: int, frame: str) -> None:
        state, reason = state_of(frame, "")
        if state:
            connection.state = state
            connection.changed_us = time_us
            connection.reason = reason

    def report(self, wall_us: int) -> dict[str, Any]:
        """Return the status as JSON values; `wall_us` is the time here."""
        now_us = self._clock.feed_time_us(wall_us)
        recent = (
            delay for stored_us, delay in self._delays if wall_us - stored_us < 60 * SECOND_US
        )
        delays = sorted(recent)
        return {
            "status": "ended" if self.has_ended else self._status(now_us, wall_us),
            "replay": self._clock.pace,
            "now": now_us // 1000,
            "feeds": [
                self._as_json(c, now_us, wall_us) for c in self._shown_connections(now_us, wall_us)
            ],
            "frames_per_second": round(self._frames.per_second(wall_us), 1),
            "trades_per_second": round(self._trades.per_second(wall_us), 1),
            "frames": self._frames.total,
            "trades": self._trades.total,
            "received_to_stored_ms": {
                "p50": _quantile(delays, 0.5),
                "p95": _quantile(delays, 0.95),
                "p99": _quantile(delays, 0.99),
            },
        }

    def _status(self, now_us: int, wall_us: int) -> str:
        states = {c.current_state(wall_us) for c in self._shown_connections(now_us, wall_us)}
        if not states:
            return "waiting"
        return "live" if states <= {"live", "rotating"} else "degraded"

    def _shown_connections(self, now_us: int, wall_us: int) -> list[Connection]:
        """Return the connections to show."""
        delivering = {
            connection.exchange
            for connection in self._connections.values()
            if connection.current_state(wall_us) in {"live", "rotating"}
        }
        return [
            c
            for _, c in sorted(self._connections.items())
            if c.exchange not in delivering
            or (c.state != CLOSED and now_us - max(c.received_us, c.changed_us) < HIDE_AFTER_US)
        ]

    def _as_json(self, connection: Connection, now_us: int, wall_us: int) -> dict[str, Any]:
        return {
            "exchange": connection.exchange,
            "connection": connection.name,
            "state": "ended" if self.has_ended else connection.current_state(wall_us),
            "reason": connection.reason,
            "silent_ms": max(0, now_us - connection.received_us) // 1000,
            "frames_per_second": round(connection.frames.per_second(wall_us), 1),
            "trades_per_second": round(connection.trades.per_second(wall_us), 1),
            "frames": connection.frames.total,
            "trades": connection.trades.total,
        }


def state_of(event: str, default: str = "live") -> tuple[str, str]:
    """Return the state and reason in one of our event frames; `default` if it has none."""
    try:
        fields = msgspec.json.decode(event)
    except msgspec.DecodeError:
        return default, ""
    if not isinstance(fields, dict):
        return default, ""
    state = _EVENTS.get(str(fields.get(EVENT)), default)
    if state == "disconnected" and fields.get("by") == "us" and not fields.get("why"):
        state = CLOSED
    return state, str(fields.get("reason") or "")[:200]


def _to_us(time_us: Any) -> int:  # noqa: ANN401 - a datetime with a zone
    return int(time_us.timestamp() * SECOND_US)


def _quantile(ordered: list[int], share: float) -> float | None:
    """Return a quantile by nearest rank, in milliseconds."""
    if not ordered:
        return None
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)] / 1000, 1)
