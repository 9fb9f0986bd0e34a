"""Feeds: frames of one connection, and the numbers that the connection counts.

A feed lives as long as its connection; a new connection gets a new feed.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from itertools import count, groupby
from typing import ClassVar, Final

from candlewax.simulator.frames import control
from candlewax.simulator.frames import trades as frames
from candlewax.simulator.market.market import Trade

_COINBASE_TICK_US: Final = 100_000
"""Microseconds of trades that Advanced Trade sends together."""

Bundle = tuple[Trade, ...]
"""Trades of one market that are sent together, oldest first."""


class Feed(ABC):
    """Frames that an exchange sends on one connection.

    `single` tells whether each trade has a frame of its own. `history` is how many past trades of
    each market a new subscriber gets.
    """

    exchange: ClassVar[str]
    single: ClassVar[bool] = False
    history: ClassVar[int] = 0

    @abstractmethod
    def opening(self, names: Sequence[str], time_us: int) -> Iterator[str]:
        """Return the frames a client gets after it connects and subscribes to these markets."""

    @abstractmethod
    def trades(self, bundle: Bundle, sent_us: int) -> str:
        """Return the frame of some trades, or of one if the feed is `single`."""

    def snapshot(self, bundle: Bundle, sent_us: int) -> str:
        """Return the frame of a market's last trades, if there is a `history`."""
        raise NotImplementedError

    def heartbeat(self, time_us: int) -> str | None:  # noqa: ARG002 - some feeds use it
        """Return a heartbeat; None if the feed has none."""
        return None

    def trade_id(self, trade: Trade) -> str:
        """Return the id that the exchange gives a trade: here its number."""
        return str(trade.trade_id)

    def bundles(self, trades: Iterable[Trade]) -> Iterator[Bundle]:
        """Return the trades of one market, split into frames: here one per order."""
        for _, fills in groupby(trades, key=lambda trade: trade.order):
            yield tuple(fills)


class BinanceSpot(Feed):
    """Combined streams of Binance spot; `unit_us` is the unit of times in microseconds."""

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
    """Trade channel of Kraken's API v2."""

    exchange = "kraken"
    history = 50

    def opening(self, names: Sequence[str], time_us: int) -> Iterator[str]:
        yield control.kraken_status(time_us)
        for name in names:
            yield control.kraken_ack(name, time_us)

    def trades(self, bundle: Bundle, sent_us: int) -> str:  # noqa: ARG002 - v2 has no send time
        return frames.kraken_v2(bundle)

    def snapshot(self, bundle: Bundle, sent_us: int) -> str:  # noqa: ARG002 - the same
        return frames.kraken_v2(bundle, "snapshot")

    def heartbeat(self, time_us: int) -> str:  # noqa: ARG002 - the same
        return control.KRAKEN_HEARTBEAT


class KrakenV1(Feed):
    """Trade channel of Kraken's API v1."""

    exchange = "kraken"

    def opening(self, names: Sequence[str], time_us: int) -> Iterator[str]:
        yield control.kraken_v1_status(time_us)
        for name in names:
            yield control.kraken_v1_ack(name)

    def trades(self, bundle: Bundle, sent_us: int) -> str:  # noqa: ARG002 - v1 has no send time
        return frames.kraken_v1(bundle)

    def heartbeat(self, time_us: int) -> str:  # noqa: ARG002 - the same
        return control.KRAKEN_V1_HEARTBEAT


class AdvancedTrade(Feed):
    """Channel market_trades of Coinbase Advanced Trade, with its heartbeats."""

    exchange = "coinbase"
    history = 60

    def __init__(self) -> None:
        self._message_numbers = count()
        self._heartbeat_numbers = count(1)

    def opening(self, names: Sequence[str], time_us: int) -> Iterator[str]:
        yield control.coinbase_subscriptions(names, time_us, next(self._message_numbers))

    def trades(self, bundle: Bundle, sent_us: int) -> str:
        return frames.coinbase_advanced(bundle, sent_us, next(self._message_numbers))

    def snapshot(self, bundle: Bundle, sent_us: int) -> str:
        return frames.coinbase_advanced(bundle, sent_us, next(self._message_numbers), "snapshot")

    def heartbeat(self, time_us: int) -> str:
        return control.coinbase_heartbeat(
            time_us, next(self._message_numbers), next(self._heartbeat_numbers)
        )

    def bundles(self, trades: Iterable[Trade]) -> Iterator[Bundle]:
        """Return the trades of one market, split by time."""
        for _, bundle in groupby(trades, key=lambda trade: trade.time_us // _COINBASE_TICK_US):
            yield tuple(bundle)


class CoinbaseExchange(Feed):
    """Matches channel of Coinbase Exchange."""

    exchange = "coinbase"
    single = True
    history = 1

    def opening(self, names: Sequence[str], time_us: int) -> Iterator[str]:  # noqa: ARG002
        yield control.coinbase_exchange_subscriptions(names)

    def trades(self, bundle: Bundle, sent_us: int) -> str:  # noqa: ARG002 - no send time
        return frames.coinbase_match(bundle[0])

    def snapshot(self, bundle: Bundle, sent_us: int) -> str:  # noqa: ARG002 - the same
        return frames.coinbase_match(bundle[-1], "last_match")
