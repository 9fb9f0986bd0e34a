"""One connection by a clock of its own: what ends it, and when others have their turn."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest

from candlewax.exchanges.protocol.websocket import WebSocketRules
from candlewax.feeds.frame_buffer import FrameQueue, FrameRecorder, MemoryBudget
from candlewax.feeds.websocket.connection import Connection, ConnectionTimeouts, RateLimiter
from candlewax.runtime.counters import Counters
from tests.support.exchange_server import quick

TICK_S = 0.5
MODULE = "candlewax.feeds.websocket.connection.asyncio"


class Clock:
    """A loop's clock that moves as far as each wait says, or as the next of some pauses does."""

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
        """Replace what a connection knows of time."""
        return mock.patch.multiple(MODULE, get_running_loop=lambda: self, sleep=self.sleep)


class Watched(Connection):
    """A connection that is watched over some pauses between two looks."""

    def __init__(self, rules: WebSocketRules, pauses: Sequence[float]) -> None:
        line = FrameRecorder("kraken", "k", FrameQueue(), MemoryBudget(10**6), Counters())
        super().__init__(rules, line, [], ConnectionTimeouts(tick_s=TICK_S), rules.stalled_after_s)
        self._clock = Clock(pauses)
        self._opened_at = self._clock.now
        socket: Any = SimpleNamespace(close=self.count)
        self._socket = socket
        self.closed = 0

    async def count(self) -> None:
        self.closed += 1

    def watch(self, came: Sequence[tuple[int, int]]) -> str:
        """Tell why it was ended, empty if it was not; before each look so many messages, and
        heartbeats among them, have come.
        """
        left = list(came)

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
    ("pauses", "why"),
    [
        ([TICK_S] * 20, ""),
        ([TICK_S] * 21, "silent"),
        # The machine slept: nothing can have come meanwhile.
        ([TICK_S] * 19 + [3600.0], ""),
        ([TICK_S] * 19 + [3600.0] + [TICK_S] * 20, ""),
        ([TICK_S] * 19 + [3600.0] + [TICK_S] * 21, "silent"),
        # A look a little late is none after sleep.
        ([TICK_S] * 19 + [2 * TICK_S + 1], "silent"),
    ],
    ids=["in time", "too long", "asleep", "in time since", "too long since", "a late look"],
)
def test_silence_counts_from_the_end_of_a_sleep(pauses: list[float], why: str) -> None:
    """Where an exchange always says something: no message for 10 s while the machine is awake."""
    watched = Watched(RULES, pauses)
    assert watched.watch([(0, 0)] * len(pauses)) == why
    assert bool(watched.closed) == bool(why)


@pytest.mark.parametrize(
    ("came", "why"),
    [
        ([(1, 1)] * 121, "stalled"),
        ([(1, 1)] * 120, ""),
        ([(2, 1)] + [(1, 1)] * 120, ""),
        ([(2, 1)] + [(1, 1)] * 121, "stalled"),
    ],
    ids=["heartbeats only", "not for long", "since a message", "too long since a message"],
)
def test_heartbeats_alone_are_a_stall(came: list[tuple[int, int]], why: str) -> None:
    """For more than 60 s; a message beside a heartbeat is none."""
    watched = Watched(RULES, [TICK_S] * len(came))
    assert watched.watch(came) == why


def test_pause_is_not_cut_by_a_shorter_one() -> None:
    """Of what several connections were asked to wait, the longest holds for all."""
    clock, gate = Clock(), RateLimiter(2.0)

    async def wait() -> None:
        gate.pause_for(30.0)
        gate.pause_for(1.0)
        gate.pause_for(0.0)
        await gate.wait()
        await gate.wait()

    with clock.patched():
        asyncio.run(wait())
    assert clock.slept == [30.0, 2.0]
