"""The exchanges' ends of a connection: what each says, and what it counts.

A feed lives as long as its connection: a new connection gets a new one.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, groupby
from typing import ClassVar, Final

from candlewax.simulator.frames import control
from candlewax.simulator.frames import trades as frames
from candlewax.simulator.market.market import Trade

_COINBASE_TICK_US: Final = 100_000
"""Advanced Trade gathers the trades of so many microseconds."""

Bundle = tuple[Trade, ...]
"""Trades of one market that happen together, oldest first."""


class Feed(ABC):
    """What an exchange sends on one connection.

    `single` tells whether each trade has a frame of its own; `history`, how many
    trades of each market it shows again to who subscribes.
    """

    exchange: ClassVar[str]
    single: ClassVar[bool] = False
    history: ClassVar[int] = 0

    @abstractmethod
    def opening(self, names: Sequence[str], time_us: int) -> Iterator[str]:
        """What a client hears who connects and subscribes to these markets."""

    @abstractmethod
    def trades(self, bundle: Bundle, sent_us: int) -> str:
        """The frame of some trades; of one if the feed is `single`."""

    def snapshot(self, bundle: Bundle, sent_us: int) -> str:
        """The frame of the last trades of a market, where there is a `history`."""
        raise NotImplementedError

    def heartbeat(self, time_us: int) -> str | None:  # noqa: ARG002 - some tell the time
        """A sign of life, where there is one."""
        return None

    def bundles(self, trades: Iterable[Trade]) -> Iterator[Bundle]:
        """The trades of one market, cut into what is sent at once: here an order's."""
        for _, fills in groupby(trades, key=lambda trade: trade.order):
            yield tuple(fills)


class BinanceSpot(Feed):
    """Combined streams of Binance spot, with times in units of so many microseconds."""

    exchange = "binance"
    single = True

    def __init__(self, unit_us: int = 1000) -> None:
        self._unit_us = unit_us

    def opening(self, names: Sequence[str], time_us: int) -> Iterator[str]:  # noqa: ARG002
        yield control.binance_ack(1)

    def trades(self, bundle: Bundle, sent_us: int) -> str:
        return frames.binance(bundle[0], sent_us, self._unit_us)


class BinanceUsdm(BinanceSpot):
    """Combined streams of Binance USD-M futures."""

    exchange = "binance_usdm"

    def trades(self, bundle: Bundle, sent_us: int) -> str:
        return frames.binance_usdm(bundle[0], sent_us, self._unit_us)


class KrakenV2(Feed):
    """The trade channel of Kraken's API v2."""

    exchange = "kraken"
    history = 50

    def opening(self, names: Sequence[str], time_us: int) -> Iterator[str]:
        yield control.kraken_status(time_us)
        for name in names:
            yield control.kraken_ack(name, time_us)

    def trades(self, bundle: Bundle, sent_us: int) -> str:  # noqa: ARG002 - v2 does not tell
        return frames.kraken_v2(bundle)

    def snapshot(self, bundle: Bundle, sent_us: int) -> str:  # noqa: ARG002 - the same
        return frames.kraken_v2(bundle, "snapshot")

    def heartbeat(self, time_us: int) -> str:  # noqa: ARG002 - the same
        return control.KRAKEN_HEARTBEAT


class KrakenV1(Feed):
    """The trade channel of Kraken's API v1."""

    exchange = "kraken"

    def opening(self, names: Sequence[str], time_us: int) -> Iterator[str]:
        yield control.kraken_v1_status(time_us)
        for name in names:
            yield control.kraken_v1_ack(name)

    def trades(self, bundle: Bundle, sent_us: int) -> str:  # noqa: ARG002 - v1 does not tell
        return frames.kraken_v1(bundle)

    def heartbeat(self, time_us: int) -> str:  # noqa: ARG002 - the same
        return control.KRAKEN_V1_HEARTBEAT


class AdvancedTrade(Feed):
    """The market_trades channel of Coinbase Advanced Trade, with its heartbeats."""

    exchange = "coinbase"
    history = 60

    def __init__(self) -> None:
        self._messages = count()
        self._beats = count(1)

    def opening(self, names: Sequence[str], time_us: int) -> Iterator[str]:
        yield control.coinbase_subscriptions(names, time_us, next(self._messages))

    def trades(self, bundle: Bundle, sent_us: int) -> str:
        return frames.coinbase_advanced(bundle, sent_us, next(self._messages))

    def snapshot(self, bundle: Bundle, sent_us: int) -> str:
        return frames.coinbase_advanced(bundle, sent_us, next(self._messages), "snapshot")

    def heartbeat(self, time_us: int) -> str:
        return control.coinbase_heartbeat(time_us, next(self._messages), next(self._beats))

    def bundles(self, trades: Iterable[Trade]) -> Iterator[Bundle]:
        """The trades of one market, cut by the clock."""
        for _, some in groupby(trades, key=lambda trade: trade.time_us // _COINBASE_TICK_US):
            yield tuple(some)


class CoinbaseExchange(Feed):
    """The matches channel of Coinbase Exchange."""

    exchange = "coinbase"
    single = True
    history = 1

    def opening(self, names: Sequence[str], time_us: int) -> Iterator[str]:  # noqa: ARG002
        yield control.coinbase_exchange_subscriptions(names)

    def trades(self, bundle: Bundle, sent_us: int) -> str:  # noqa: ARG002 - it does not tell
        return frames.coinbase_match(bundle[0])

    def snapshot(self, bundle: Bundle, sent_us: int) -> str:  # noqa: ARG002 - the same
        return frames.coinbase_match(bundle[-1], "last_match")
