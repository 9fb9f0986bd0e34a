"""Connection faults at random times."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from random import Random
from typing import Final

from candlewax.simulator.exchanges.client import Client
from candlewax.simulator.exchanges.venue import Venue
from candlewax.simulator.market.rng import below, generator
from candlewax.simulator.plan import FaultRates

_REASON: Final = "requested fault"


def fault_tasks(
    fault_rates: FaultRates, seed: int, venues: Mapping[str, Venue]
) -> Iterable[Coroutine[None, None, None]]:
    """Return a task per exchange and fault that makes the fault at random times until cancelled."""

    async def drop(venue: Venue, rng: Random) -> None:
        for client in _random_client(venue, rng):
            client.cut()

    async def close(venue: Venue, rng: Random) -> None:
        for client in _random_client(venue, rng):
            await client.close(fault_rates.close_code, _REASON)

    async def stall(venue: Venue, _: Random) -> None:
        venue.stall(fault_rates.stall_seconds)

    async def freeze(venue: Venue, _: Random) -> None:
        venue.freeze(fault_rates.stall_seconds)

    faults_by_name = {
        "drop": (fault_rates.drop_every, drop),
        "close": (fault_rates.close_every, close),
        "stall": (fault_rates.stall_every, stall),
        "freeze": (fault_rates.freeze_every, freeze),
    }
    for kind, (interval_s, make_fault) in faults_by_name.items():
        for exchange, venue in venues.items():
            if interval_s:
                yield _repeat_fault(
                    venue, generator(seed, f"{kind} {exchange}"), interval_s, make_fault
                )


def _random_client(venue: Venue, rng: Random) -> list[Client]:
    """Return one random client of an exchange, or none if it has none."""
    clients = list(venue.clients.values())
    return [clients[below(rng, len(clients))]] if clients else []


async def _repeat_fault(
    venue: Venue,
    rng: Random,
    interval_s: float,
    make_fault: Callable[[Venue, Random], Awaitable[None]],
) -> None:
    while True:
        await asyncio.sleep(rng.expovariate(1 / interval_s))
        await make_fault(venue, rng)
