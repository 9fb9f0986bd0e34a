"""Which connections of a live feed stand, as far as they tell."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

CONNECTED: Final = "connected"
DISCONNECTED: Final = "disconnected"
"""What is said of a connection when it begins, and when it is over."""


@dataclass
class _Share:
    """A share of an exchange's instruments. It has one connection, and for a while two
    when one replaces the other; `since` is when it last had none, or None if it never
    had any.
    """

    exchange: str
    open: int = 0
    made: int = 0
    since: float | None = None


@dataclass
class ConnectionStatus:
    """The shares of all exchanges' instruments that this process reads.

    Told by the thread that receives, asked by any other.
    """

    now: Callable[[], float] = time.monotonic
    shares: dict[str, _Share] = field(default_factory=dict)

    def register(self, exchange: str, name: str) -> Callable[[str], None]:
        """Know of one more share; gives what hears of its connections' events."""
        share = self.shares[name] = _Share(exchange)

        def hear(event: str) -> None:
            if event == CONNECTED:
                share.open += 1
                share.made += 1
            elif event == DISCONNECTED:
                share.open -= 1
                share.since = self.now()

        return hear

    def counts(self) -> dict[str, tuple[int, int, int]]:
        """By exchange: connections wanted, shares of them that have one, and connections
        made beyond the first of each share.
        """
        found: dict[str, tuple[int, int, int]] = {}
        for share in list(self.shares.values()):
            wanted, standing, again = found.get(share.exchange, (0, 0, 0))
            found[share.exchange] = (
                wanted + 1,
                standing + (share.open > 0),
                again + max(0, share.made - 1),
            )
        return found

    def problem(self, exchange: str, fresh_s: float) -> str | None:
        """What is wrong with the feed of an exchange, if anything.

        A connection that stands is enough, however quiet its markets are: whoever holds
        it ends it when it is dead or brings nothing for too long. So is one that was
        lost less than `fresh_s` seconds ago.
        """
        wrong = []
        own = {name: one for name, one in list(self.shares.items()) if one.exchange == exchange}
        if not own:
            return "not connected yet"
        for name, share in own.items():
            if share.open > 0:
                continue
            if share.since is None:
                wrong.append(f"{name} has not been connected yet")
            elif (silent_s := self.now() - share.since) > fresh_s:
                wrong.append(
                    f"{name} has had no connection for {silent_s:.0f} s, "
                    f"{fresh_s:g} s is the most that is fresh"
                )
        return "; ".join(wrong) or None
