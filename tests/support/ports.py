"""Ports for what tests start, and start again on the same port."""

import random
import socket
from contextlib import closing

_FROM, _TO = 10_000, 30_000
"""Below those that the system gives to connections of its own: nobody takes one while what
listened there is being started again.
"""

_chance = random.SystemRandom()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    while True:
        port = _chance.randrange(_FROM, _TO)
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
