"""One websocket connection with a clock of its own: why it ends, and its rate limit."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from candlewax.exchanges.protocol.websocket import WebSocketRules
from candlewax.feeds.frame_buffer import FrameQueue, FrameRecorder, MemoryBudget
from candlewax.feeds.websocket.connection import Connection
from candlewax.feeds.websocket.pacing import ConnectionTimeouts, RateLimiter
from candlewax.runtime.counters import Counters
from tests.support.exchange_server import quick

TICK_S = 0.5
MODULE = "candlewax.feeds.websocket.connection.asyncio"


class Clock:
    """Clock of an event loop that moves by each wait, or by the next of the given pauses."""

    def __init__(self, pauses: Sequence[float] = ()) -> None:
        self.now = 1000.0
        self._pauses = list(pauses)
        self.slept: list[float] = []

    def time(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += self._pauses.pop(0) if self._pauses else seconds

    def patched(self) -> Any:
        """Replace the clock that a connection uses."""
        return mock.patch.multiple(MODULE, get_running_loop=lambda: self, sleep=self.sleep)


class WatchedConnection(Connection):
    """A connection that is checked after each of the given pauses."""

    def __init__(self, rules: WebSocketRules, pauses: Sequence[float]) -> None:
        recorder = FrameRecorder("kraken", "k", FrameQueue(), MemoryBudget(10**6), Counters())
        super().__init__(
            rules, recorder, [], ConnectionTimeouts(tick_s=TICK_S), rules.stalled_after_s
        )
        self._clock = Clock(pauses)
        self._opened_at = self._clock.now
        socket: Any = SimpleNamespace(close=self.count)
        self._socket = socket
        self.closed = 0

    async def count(self) -> None:
        self.closed += 1

    def watch(self, received: Sequence[tuple[int, int]]) -> str:
        """Return why the connection was ended, or "". Each pair counts the messages, and the
        heartbeats among them, before a check.
        """
        left = list(received)

        async def sleep(seconds: float) -> None:
            if not left:
                raise asyncio.CancelledError
            messages, beats = left.pop(0)
            self._messages += messages
            self._heartbeats += beats
            await self._clock.sleep(seconds)

        with (
            mock.patch.multiple(MODULE, get_running_loop=lambda: self._clock, sleep=sleep),
            pytest.raises(asyncio.CancelledError),
        ):
            asyncio.run(self._watch(None))
        return self.close_reason


RULES = quick("kraken", dead_after_s=10, stalled_after_s=60)["kraken"]


@pytest.mark.parametrize(
    ("pauses", "reason"),
    [
        ([TICK_S] * 20, ""),
        ([TICK_S] * 21, "silent"),
        # The machine was suspended: no message could arrive.
        ([TICK_S] * 19 + [3600.0], ""),
        ([TICK_S] * 19 + [3600.0] + [TICK_S] * 20, ""),
        ([TICK_S] * 19 + [3600.0] + [TICK_S] * 21, "silent"),
        # A check that is slightly late is no suspension.
        ([TICK_S] * 19 + [2 * TICK_S + 1], "silent"),
    ],
    ids=["in time", "too long", "asleep", "in time since", "too long since", "a late look"],
)
def test_silent_connection_ends_after_its_limit_not_counting_suspension(
    pauses: list[float], reason: str
) -> None:
    """Without a message for 10 s while the machine is awake."""
    watched = WatchedConnection(RULES, pauses)
    assert watched.watch([(0, 0)] * len(pauses)) == reason
    assert bool(watched.closed) == bool(reason)


@pytest.mark.parametrize(
    ("received", "reason"),
    [
        ([(1, 1)] * 121, "stalled"),
        ([(1, 1)] * 120, ""),
        ([(2, 1)] + [(1, 1)] * 120, ""),
        ([(2, 1)] + [(1, 1)] * 121, "stalled"),
    ],
    ids=["heartbeats only", "not for long", "since a message", "too long since a message"],
)
def test_connection_with_heartbeats_only_ends_as_stalled_after_its_limit(
    received: list[tuple[int, int]], reason: str
) -> None:
    """The limit is 60 s without any other message."""
    watched = WatchedConnection(RULES, [TICK_S] * len(received))
    assert watched.watch(received) == reason


def test_rate_limiter_keeps_the_longest_pause() -> None:
    """The longest pause holds for all connections."""
    clock, limiter = Clock(), RateLimiter(2.0)

    async def wait() -> None:
        limiter.pause_for(30.0)
        limiter.pause_for(1.0)
        limiter.pause_for(0.0)
        await limiter.wait()
        await limiter.wait()

    with clock.patched():
        asyncio.run(wait())
    assert clock.slept == [30.0, 2.0]
