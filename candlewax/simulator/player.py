"""Player of a seeded market in real time."""

import asyncio
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Final

from candlewax.simulator.exchanges.venue import Venue
from candlewax.simulator.frames.channels import Bundle
from candlewax.simulator.market.market import (
    SECOND_US,
    Market,
    Path,
    Trade,
    condition,
    fills,
)
from candlewax.simulator.market.rng import below, generator
from candlewax.simulator.plan import Plan

TICK: Final = 0.004
"""Seconds between two checks for due trades."""

MOST_AT_ONCE: Final = 1_000
"""Trades made in one go before other tasks run."""

_MOST_OVERDUE: Final = 1.0
"""Seconds of overdue trades at most; a slow machine skips the rest."""

_RESTART_US: Final = 2_000
"""Microseconds between old and restarted numbers, as some exchanges tell milliseconds."""

_FLOOD_RATE: Final = 10_000
"""Trades per second of the price path while flooding."""


class TradeTape:
    """Trades of some markets, order by order.

    A seed always gives the same trades; only their times depend on when they are requested.
    """

    def __init__(self, markets: Sequence[Market], seed: int, rate: float, ids_from: int) -> None:
        self._rate = max(rate, 1.0)
        self._count = 0
        self._markets = markets
        self._bounds = list(accumulate(max(10**9 // m.gap_us, 1) for m in markets))
        self._rng = generator(seed, "live orders")
        self._rngs = [generator(seed, f"live {m.exchange} {m.native_symbol}") for m in markets]
        self._ids = [m.first_id + ids_from for m in markets]
        self._orders = [0] * len(markets)
        paths = {m.base: Path(seed, m.base, 0, 1) for m in markets}
        self._paths = [paths[m.base] for m in markets]
        self._ahead_us: dict[str, int] = {}

    def restart_ids(self, exchange: str, first_id: int) -> None:
        """Restart the trade ids of an exchange at `first_id`."""
        for place, market in enumerate(self._markets):
            if market.exchange == exchange:
                self._ids[place] = first_id

    def step_clock(self, exchange: str, seconds: float) -> None:
        """Set how far an exchange's clock is ahead of the true one; negative is behind."""
        self._ahead_us[exchange] = int(seconds * SECOND_US)

    def order(self, time_us: int) -> Bundle:
        """Return the trades of the next order, which happens at this true time."""
        place = bisect_right(self._bounds, below(self._rng, self._bounds[-1]))
        market, rng, path = self._markets[place], self._rngs[place], self._paths[place]
        second = int(self._count / self._rate)
        path.extend_to(second + 1)
        order_fills = list(fills(market, path.value(second * SECOND_US), rng))
        time_us += self._ahead_us.get(market.exchange, 0)
        bundle = tuple(
            Trade(market, number, time_us, *fill, self._orders[place], condition(market, rng))
            for number, fill in enumerate(order_fills, self._ids[place])
        )
        self._ids[place] += len(order_fills)
        self._orders[place] += 1
        self._count += len(order_fills)
        return bundle


class Player:
    """Plays trades to the exchanges while `running` is set.

    It sends `rate` trades per second, or as many as clients read.
    """

    def __init__(self, plan: Plan, venues: Mapping[str, Venue], running: asyncio.Event) -> None:
        self._plan = plan
        self._venues = venues
        self._running = running
        rate = _FLOOD_RATE if plan.flood else plan.rate
        played = plan.exchanges or tuple(venues)
        markets = [market for name in played for market in venues[name].markets.values()]
        self._tape = TradeTape(markets, plan.seed, rate, plan.ids_from)
        self._played = 0
        self._last_us = time.time_ns() // 1000

    def restart_ids(self, exchange: str, first_id: int = 1) -> None:
        """Restart an exchange's trade numbers; REST no longer returns earlier trades."""
        venue = self._venues[exchange]
        venue.send_gathered()
        venue.published.forget(exchange)
        self._tape.restart_ids(exchange, first_id)
        self._last_us = max(time.time_ns() // 1000, self._last_us) + _RESTART_US

    def step_clock(self, exchange: str, seconds: float) -> None:
        """Set how far an exchange's clock is ahead of the machine's; negative is behind."""
        self._tape.step_clock(exchange, seconds)

    async def play(self) -> None:
        """Play until all planned trades are played."""
        await (self._flood() if self._plan.flood else self._play_at_rate())
        self._send_all()

    def _send_all(self) -> None:
        """Send everything that is held back."""
        for venue in self._venues.values():
            venue.tick(self._last_us, last=True)

    async def _wait_while_paused(self) -> bool:
        """Wait while paused; return whether it was paused."""
        if self._running.is_set():
            return False
        self._send_all()
        await self._running.wait()
        self._last_us = time.time_ns() // 1000
        return True

    @property
    def _trades_left(self) -> float:
        planned = self._plan.trades
        return float("inf") if planned is None else planned - self._played

    async def _play_at_rate(self) -> None:
        loop = asyncio.get_running_loop()
        checked_at, due_trades = loop.time(), 0.0
        while self._trades_left > 0:
            if await self._wait_while_paused():
                checked_at, due_trades = loop.time(), 0.0
            now = loop.time()
            due_trades += (now - checked_at) * self._plan.rate
            checked_at = now
            due_trades = min(due_trades, _MOST_OVERDUE * self._plan.rate + 1)
            due_trades -= self._play_batch(min(due_trades, MOST_AT_ONCE, self._trades_left))
            await asyncio.sleep(TICK if due_trades < MOST_AT_ONCE else 0)

    async def _flood(self) -> None:
        while self._trades_left > 0:
            await self._wait_while_paused()
            clients = [c for venue in self._venues.values() for c in venue.clients.values()]
            if not any(client.native_symbols for client in clients):
                await asyncio.sleep(TICK)
                continue
            self._play_batch(min(MOST_AT_ONCE, self._trades_left))
            for client in clients:
                await client.drain()
            await asyncio.sleep(0)

    def _play_batch(self, due: float) -> int:
        """Play `due` trades, or a few more to complete an order; return how many."""
        now_us = max(time.time_ns() // 1000, self._last_us)
        begin_us, played = self._last_us, 0
        while played < int(due):
            # Spread the trades over the time since the last batch.
            time_us = begin_us + (now_us - begin_us) * (played + 1) // int(due)
            bundle = self._tape.order(time_us)
            self._venues[bundle[0].market.exchange].publish(bundle)
            played += len(bundle)
        self._last_us = now_us
        self._played += played
        for venue in self._venues.values():
            venue.tick(now_us)
        return played
