"""What is played: a seeded market in the time that passes."""

import asyncio
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final

from candlewax.simulator.exchanges.venue import Venue
from candlewax.simulator.frames.channels import Bundle
from candlewax.simulator.market import market
from candlewax.simulator.market.market import SECOND_US, Market, Path, Trade
from candlewax.simulator.market.rng import below, generator
from candlewax.simulator.plan import Plan

TICK: Final = 0.004
"""Seconds between two looks at what is due."""

MOST_AT_ONCE: Final = 1_000
"""Trades that are made without a look at anything else."""

_MOST_OVERDUE: Final = 1.0
"""Seconds; what a slow machine owes from before is forgotten."""

_RESTART_US: Final = 2_000
"""So much later is the first trade of numbers that begin anew, as some times are milliseconds."""

_FLOOD_RATE: Final = 10_000
"""What a flood takes for a second of the prices' path, in trades."""


class Tape:
    """The trades of some markets, order by order: a seed gives the same ones whenever
    they are asked for, and only their times tell when that was.
    """

    def __init__(self, markets: Sequence[Market], seed: int, rate: float, ids_from: int) -> None:
        self._rate = max(rate, 1.0)
        self._count = 0
        self._markets = markets
        self._bounds = list(accumulate(max(10**9 // one.gap_us, 1) for one in markets))
        self._rng = generator(seed, "live orders")
        self._rngs = [generator(seed, f"live {one.exchange} {one.native}") for one in markets]
        self._ids = [one.first_id + ids_from for one in markets]
        self._orders = [0] * len(markets)
        paths = {one.base: Path(seed, one.base, 0, 1) for one in markets}
        self._paths = [paths[one.base] for one in markets]
        self._ahead_us: dict[str, int] = {}

    def begin_anew(self, exchange: str, first_id: int) -> None:
        """Let the markets of an exchange count their trades from this number on."""
        for place, one in enumerate(self._markets):
            if one.exchange == exchange:
                self._ids[place] = first_id

    def step_clock(self, exchange: str, seconds: float) -> None:
        """Let an exchange's clock be so far ahead of the right one; behind it, if negative."""
        self._ahead_us[exchange] = int(seconds * SECOND_US)

    def order(self, time_us: int) -> Bundle:
        """The trades of the next order, which happens at this time by a clock that is right."""
        place = bisect_right(self._bounds, below(self._rng, self._bounds[-1]))
        one, rng, path = self._markets[place], self._rngs[place], self._paths[place]
        second = int(self._count / self._rate)
        path.reach(second + 1)
        fills = list(market.fills(one, path.value(second * SECOND_US), rng))
        time_us += self._ahead_us.get(one.exchange, 0)
        bundle = tuple(
            Trade(one, number, time_us, *fill, self._orders[place], market.condition(one, rng))
            for number, fill in enumerate(fills, self._ids[place])
        )
        self._ids[place] += len(fills)
        self._orders[place] += 1
        self._count += len(fills)
        return bundle


class Player:
    """Plays the tape to the exchanges, `rate` trades a second, or as fast as they
    are taken, while `going` is set.
    """

    def __init__(self, plan: Plan, venues: Mapping[str, Venue], going: asyncio.Event) -> None:
        self._plan = plan
        self._venues = venues
        self._going = going
        rate = _FLOOD_RATE if plan.flood else plan.rate
        markets = [one for venue in venues.values() for one in venue.markets.values()]
        self._tape = Tape(markets, plan.seed, rate, plan.ids_from)
        self._played = 0
        self._last_us = time.time_ns() // 1000

    def begin_anew(self, exchange: str, first_id: int = 1) -> None:
        """Let an exchange number trades anew; REST shows those before no more."""
        venue = self._venues[exchange]
        venue.send_gathered()
        venue.books.forget(exchange)
        self._tape.begin_anew(exchange, first_id)
        self._last_us = max(time.time_ns() // 1000, self._last_us) + _RESTART_US

    def step_clock(self, exchange: str, seconds: float) -> None:
        """Let an exchange's clock be so far ahead of the machine's; behind it, if negative."""
        self._tape.step_clock(exchange, seconds)

    async def play(self) -> None:
        """Play until all that was wanted is played."""
        await (self._flood() if self._plan.flood else self._keep_time())
        self._send_all()

    def _send_all(self) -> None:
        """Keep nothing back."""
        for venue in self._venues.values():
            venue.tick(self._last_us, last=True)

    async def _may_go_on(self) -> bool:
        """Wait until it may; whether it had to."""
        if self._going.is_set():
            return False
        self._send_all()
        await self._going.wait()
        self._last_us = time.time_ns() // 1000
        return True

    @property
    def _left(self) -> float:
        wanted = self._plan.trades
        return float("inf") if wanted is None else wanted - self._played

    async def _keep_time(self) -> None:
        loop = asyncio.get_running_loop()
        seen, owed = loop.time(), 0.0
        while self._left > 0:
            if await self._may_go_on():
                seen, owed = loop.time(), 0.0
            now = loop.time()
            owed += (now - seen) * self._plan.rate
            seen = now
            owed = min(owed, _MOST_OVERDUE * self._plan.rate + 1)
            owed -= self._batch(min(owed, MOST_AT_ONCE, self._left))
            await asyncio.sleep(TICK if owed < MOST_AT_ONCE else 0)

    async def _flood(self) -> None:
        while self._left > 0:
            await self._may_go_on()
            clients = [c for venue in self._venues.values() for c in venue.clients.values()]
            if not any(client.native for client in clients):
                await asyncio.sleep(TICK)
                continue
            self._batch(min(MOST_AT_ONCE, self._left))
            for client in clients:
                await client.drain()
            await asyncio.sleep(0)

    def _batch(self, due: float) -> int:
        """Play so many trades or a few more, for an order is not torn apart."""
        now_us = max(time.time_ns() // 1000, self._last_us)
        begin_us, played = self._last_us, 0
        while played < int(due):
            # They happened one after another since the last look.
            time_us = begin_us + (now_us - begin_us) * (played + 1) // int(due)
            bundle = self._tape.order(time_us)
            self._venues[bundle[0].market.exchange].publish(bundle)
            played += len(bundle)
        self._last_us = now_us
        self._played += played
        for venue in self._venues.values():
            venue.tick(now_us)
        return played
