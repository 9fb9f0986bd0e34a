"""Timeouts of websocket connections, and the pace of what is sent on them."""

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True)
class ConnectionTimeouts:
    """Timeouts and pauses of connections, in seconds."""

    open_s: float = 10
    """Time for the handshake."""
    close_s: float = 2
    """Time for the closing handshake."""
    answer_s: float = 10
    """Time for the exchange to answer a subscription."""
    refused_s: float = 5
    """First wait before a refused subscription is sent again; it doubles up to `max_backoff_s`."""
    ping_s: float = 20
    """Interval of our pings, and timeout of each."""
    tick_s: float = 0.5
    """Interval of the watchdog."""
    first_backoff_s: float = 1
    """Upper bound of the first random wait before a reconnect; it doubles with each failure."""
    max_backoff_s: float = 60
    """Largest such bound; a wait that the exchange asks for may be longer."""
    settled_s: float = 60
    """Life after which a connection counts as good and the backoff starts over."""
    jitter_s: float = 600
    """Largest random time by which a connection is replaced before its maximum age."""
    max_stalled_s: float = 900
    """Upper limit of the stall timeout of quiet markets."""


class RateLimiter:
    """Rate limiter that lets one task pass every `every_s` seconds."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._next_at = 0.0

    def pause_for(self, seconds: float) -> None:
        """Block all tasks for at least `seconds`."""
        self._next_at = max(self._next_at, asyncio.get_running_loop().time() + seconds)

    async def wait(self) -> None:
        """Wait until this task may pass."""
        now = asyncio.get_running_loop().time()
        pass_at = max(now, self._next_at)
        self._next_at = pass_at + self._every_s
        if pass_at > now:
            await asyncio.sleep(pass_at - now)
