"""Connections of a live feed, as their events report them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

CONNECTED: Final = "connected"
DISCONNECTED: Final = "disconnected"
"""Events of a connection that opened and that closed."""


@dataclass
class _Share:
    """A share of an exchange's instruments, with the counts of its connections.

    It has one connection, and two while one replaces the other. `closed_at_s` is when a
    connection last closed; None before the first one did.
    """

    exchange: str
    open_count: int = 0
    made_count: int = 0
    closed_at_s: float | None = None


@dataclass
class ConnectionStatus:
    """Connections of all exchanges that this process reads, one for each share of instruments.

    The thread that receives frames reports events; any thread may ask.
    """

    now: Callable[[], float] = time.monotonic
    shares: dict[str, _Share] = field(default_factory=dict)

    def register(self, exchange: str, name: str) -> Callable[[str], None]:
        """Add a share; return the callback for the events of its connections."""
        share = self.shares[name] = _Share(exchange)

        def on_event(event: str) -> None:
            if event == CONNECTED:
                share.open_count += 1
                share.made_count += 1
            elif event == DISCONNECTED:
                share.open_count -= 1
                share.closed_at_s = self.now()

        return on_event

    def forget(self, name: str) -> None:
        """Remove a share that has no instruments any more."""
        self.shares.pop(name, None)

    def counts(self) -> dict[str, tuple[int, int, int]]:
        """Return for each exchange its numbers of shares, of connected shares and of reconnects.

        Each connection of a share after its first one counts as a reconnect.
        """
        counts: dict[str, tuple[int, int, int]] = {}
        for share in list(self.shares.values()):
            shares, connected, reconnects = counts.get(share.exchange, (0, 0, 0))
            counts[share.exchange] = (
                shares + 1,
                connected + (share.open_count > 0),
                reconnects + max(0, share.made_count - 1),
            )
        return counts

    def problem(self, exchange: str, max_age_s: float) -> str | None:
        """Return the problem with an exchange's feed, or None.

        An open connection is enough, however quiet its markets are: the feed closes a dead or
        silent one. A share may be without connection for up to `max_age_s` seconds.
        """
        problems = []
        own = {
            name: share for name, share in list(self.shares.items()) if share.exchange == exchange
        }
        if not own:
            return "not connected yet"
        for name, share in own.items():
            if share.open_count > 0:
                continue
            if share.closed_at_s is None:
                problems.append(f"{name} has not been connected yet")
            elif (age_s := self.now() - share.closed_at_s) > max_age_s:
                problems.append(
                    f"{name} has had no connection for {age_s:.0f} s, the limit is {max_age_s:g} s"
                )
        return "; ".join(problems) or None
