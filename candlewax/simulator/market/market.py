"""Seeded market: trades of many instruments in the order of time.

Prices are whole ticks, quantities whole lots, and nothing is a float, so a seed gives the same
trades on every machine. Times are microseconds since 1970.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from candlewax.simulator.market.rng import below, generator, one_in

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US

PARITY: Final = 10**9
"""Value of a path at the asset's first price."""


@dataclass(frozen=True, slots=True)
class Market:
    """Instrument at an exchange, and how it trades.

    `price` is the start of its asset's path, in ticks of `price_decimals`. `lots` is an ordinary
    quantity in lots of `lot_decimals`. `gap_us` is the mean time between two orders. `premium`
    moves the price off the path, in millionths.
    """

    exchange: str
    native_symbol: str
    base: str
    quote: str
    symbol: str
    price_decimals: int
    lot_decimals: int
    price: int
    lots: int
    gap_us: int
    first_id: int
    premium: int = 0
    conditions: tuple[str, ...] = ()
    """Flags that a few trades carry."""
    dust: int = 0
    """Size of a few smallest orders in lots; 0 for none."""
    has_ids: bool = True
    """True if the exchange shows the ids of its trades."""


class Trade(NamedTuple):
    """One fill: `price` in ticks, `quantity` in lots.

    `bought` and `limit` describe the taker's order; `order` numbers the orders of the market.
    """

    market: Market
    trade_id: int
    time_us: int
    price: int
    quantity: int
    bought: bool
    limit: bool
    order: int
    condition: str = ""


class Path:
    """Price of an asset by second, in parts of PARITY, and activity of its markets by minute, in
    hundredths.
    """

    _STEP_BITS: Final = 18
    _JUMP_ONE_IN: Final = 900
    _JUMP: Final = 12
    _QUIET, _BUSY = 45, 260

    def __init__(self, seed: int, asset: str, start_us: int, seconds: int) -> None:
        self._rng = generator(seed, f"path {asset}")
        self._common = generator(seed, "path of all")
        self._start_us = start_us
        self._values = [PARITY]
        self._activity = [100]
        self.extend_to(seconds)

    def extend_to(self, seconds: int) -> None:
        """Extend the path to at least `seconds` seconds."""
        for second in range(len(self._values) - 1, seconds):
            step = self._step(self._common) + self._step(self._rng) // 2
            self._values.append(self._values[-1] + step)
            if second % 60 == 0:
                activity = self._activity[-1] + below(self._rng, 71) - 35
                self._activity.append(min(max(activity, self._QUIET), self._BUSY))

    def _step(self, rng: random.Random) -> int:
        step = rng.getrandbits(self._STEP_BITS) - (1 << self._STEP_BITS - 1)
        return step * self._JUMP if one_in(rng, self._JUMP_ONE_IN) else step

    def value(self, time_us: int) -> int:
        """Return the value at a time."""
        return self._values[(time_us - self._start_us) // SECOND_US]

    def activity(self, time_us: int) -> int:
        """Return the activity at a time."""
        return self._activity[(time_us - self._start_us) // MINUTE_US]


def trades(market: Market, path: Path, start_us: int, end_us: int, seed: int) -> Iterator[Trade]:
    """Return the trades of one market from start to end, with consecutive ids.

    Fills of one order share its time; orders of one market never do.
    """
    rng = generator(seed, f"trades {market.exchange} {market.native_symbol}")
    time_us = start_us + below(rng, market.gap_us)
    trade_id, order = market.first_id, 0
    while time_us < end_us:
        for fill in fills(market, path.value(time_us), rng):
            yield Trade(market, trade_id, time_us, *fill, order, condition(market, rng))
            trade_id += 1
        order += 1
        # Product of two uniform draws: gaps are mostly short, sometimes long.
        gap = 4 * market.gap_us * rng.getrandbits(16) * rng.getrandbits(16) >> 32
        time_us += 1 + gap * 100 // path.activity(time_us)


def fills(market: Market, value: int, rng: random.Random) -> Iterator[tuple[int, int, bool, bool]]:
    """Return the fills of one order, each at the previous price or slightly worse.

    A fill is price, quantity, whether the taker bought, and whether its order was a limit order.
    """
    bought = rng.getrandbits(1) == 1
    limit = below(rng, 100) < 55
    price = market.price * value * (1_000_000 + market.premium) // (PARITY * 1_000_000)
    price += 1 if bought else 0
    if market.dust and one_in(rng, 700):
        yield price, market.dust, bought, limit
        return
    quantity = _quantity(market, rng)
    yield price, quantity, bought, limit
    while below(rng, 100) < 36:
        if below(rng, 100) < 25:
            worse = 1 + below(rng, 3)
            price += worse if bought else -worse
        if not one_in(rng, 5):
            quantity = _quantity(market, rng)
        yield price, quantity, bought, limit


def _quantity(market: Market, rng: random.Random) -> int:
    """Return a quantity: mostly small, sometimes large, and round half of the time."""
    lots = 1 + (4 * market.lots * rng.getrandbits(16) * rng.getrandbits(16) >> 32)
    if one_in(rng, 60):
        lots *= 5 + below(rng, 20)
    digits = (1, 1, 2, 2, 3, 4, 5, 8)[rng.getrandbits(3)]
    unit: int = 10 ** max(len(str(lots)) - digits, 0)
    return max(lots - lots % unit, 2 * market.dust, 1)


def condition(market: Market, rng: random.Random) -> str:
    """Return a flag for a few trades of a market, else an empty text."""
    if market.conditions and one_in(rng, 150):
        return market.conditions[below(rng, len(market.conditions))]
    return ""
