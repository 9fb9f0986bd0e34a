"""Trouble that comes at random times."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from random import Random
from typing import Final

from candlewax.simulator.exchanges.client import Client
from candlewax.simulator.exchanges.venue import Venue
from candlewax.simulator.market.rng import below, generator
from candlewax.simulator.plan import Mischief

_REASON: Final = "as you asked"


def troubles(
    mischief: Mischief, seed: int, venues: Mapping[str, Venue]
) -> Iterable[Coroutine[None, None, None]]:
    """What makes trouble for each exchange until it is cancelled."""
    m = mischief

    async def drop(venue: Venue, rng: Random) -> None:
        for client in _any(venue, rng):
            client.cut()

    async def close(venue: Venue, rng: Random) -> None:
        for client in _any(venue, rng):
            await client.close(m.close_code, _REASON)

    async def stall(venue: Venue, _: Random) -> None:
        venue.stall(m.stall_seconds)

    async def freeze(venue: Venue, _: Random) -> None:
        venue.freeze(m.stall_seconds)

    kinds = {
        "drop": (m.drop_every, drop),
        "close": (m.close_every, close),
        "stall": (m.stall_every, stall),
        "freeze": (m.freeze_every, freeze),
    }
    for kind, (every, make) in kinds.items():
        for exchange, venue in venues.items():
            if every:
                yield _now_and_then(venue, generator(seed, f"{kind} {exchange}"), every, make)


def _any(venue: Venue, rng: Random) -> list[Client]:
    """One of its clients, if there is one."""
    clients = list(venue.clients.values())
    return [clients[below(rng, len(clients))]] if clients else []


async def _now_and_then(
    venue: Venue, rng: Random, every: float, make: Callable[[Venue, Random], Awaitable[None]]
) -> None:
    while True:
        await asyncio.sleep(rng.expovariate(1 / every))
        await make(venue, rng)
