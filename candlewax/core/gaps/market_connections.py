"""Connections and the markets they carry, where the ids of an exchange do not count trades.

There no number shows what a lost connection cost. So its markets have an outage from the last frame
that it received until a connection is subscribed to them again. All follows from the frames: a feed
puts an event among them when a connection opens, is subscribed, or closes. If a process dies
without one, the next process that connects shows it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import polars as pl

from candlewax.core.frames import EVENT
from candlewax.core.gaps.market_outages import (
    CONNECTED,
    DISCONNECTED,
    DROPPED,
    REFUSED,
    SUBSCRIBED,
    MarketOutage,
    SubscriptionEvent,
)
from candlewax.core.schema import KIND_TRADE
from candlewax.core.shards import shard_of_connection

EVENT_START: Final = f'{{"{EVENT}":'
"""Start of a frame that holds an event of our own: it shows nothing of what an exchange sent."""


@dataclass
class Carrier:
    """A connection of a process to subscribed markets, by native symbol.

    `last_frame_us` and `last_trade_us`: when it last received a frame, and one with trades, or was
    subscribed, in microseconds since 1970.
    """

    process: str
    native_symbols: set[str]
    last_frame_us: int
    last_trade_us: int

    def record(self, received_us: int, *, is_trade: bool) -> None:
        """Record a frame."""
        self.last_frame_us = max(self.last_frame_us, received_us)
        if is_trade:
            self.last_trade_us = max(self.last_trade_us, received_us)

    def lost_since_us(self, *, has_stalled: bool) -> int:
        """Return since when its markets are lost: heartbeats of a stalled one prove nothing."""
        return self.last_trade_us if has_stalled else self.last_frame_us


@dataclass
class MarketConnections:
    """Subscribed connections of an exchange, and the markets that no connection carries any more.

    `carriers`: by connection name. `lost_since_us`: by native symbol, the last frame of the
    connection that carried the market. `known_until_us`: by connection and process, the time up to
    which the tables hold its events. Times in microseconds since 1970.
    """

    carriers: dict[str, Carrier] = field(default_factory=dict)
    lost_since_us: dict[str, int] = field(default_factory=dict)
    known_until_us: dict[tuple[str, str], int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.carriers or self.lost_since_us or self.known_until_us)

    def observe(
        self, bronze: pl.DataFrame, events: Sequence[SubscriptionEvent]
    ) -> list[MarketOutage]:
        """Apply a batch of frames (BRONZE) and its events. Return the outages that ended in it."""
        ended, begin = [], 0
        for event in events:
            self._record(bronze[begin : event.row])
            begin = event.row
            at_us = bronze["received_at"].cast(pl.Int64)[event.row]
            ended += self.apply(bronze["connection"][event.row], at_us, event)
        self._record(bronze[begin:])
        return ended

    def apply(self, name: str, at_us: int, event: SubscriptionEvent) -> list[MarketOutage]:
        """Apply an event of a connection. Return the outages that it ended."""
        if at_us <= self.known_until_us.get((name, event.process), -1):
            return []
        if event.kind == CONNECTED:
            self._close(self._find_dead(name, event.process))
        elif event.kind == DISCONNECTED:
            carrier = self.carriers.get(name)
            if carrier and not _are_different(carrier.process, event.process):
                self._close([name], has_stalled=event.has_stalled)
        elif event.kind == SUBSCRIBED:
            new = Carrier(event.process, set(), at_us, at_us)
            carrier = self.carriers.setdefault(name, new)
            carrier.native_symbols.update(event.native_symbols)
            carrier.record(at_us, is_trade=False)
            return self._end(event, at_us)
        elif event.kind in (REFUSED, DROPPED):
            # From now on the market has an outage of another kind.
            for carrier in self.carriers.values():
                carrier.native_symbols.difference_update(event.native_symbols)
            return self._end(event, at_us)
        return []

    def record_frames(self, frames: Iterable[tuple[str, int, int]]) -> None:
        """Record frames of an exchange: connection, time of receipt, and kind as in BRONZE."""
        for name, received_us, kind in frames:
            if carrier := self.carriers.get(name):
                carrier.record(received_us, is_trade=kind == KIND_TRADE)

    def _record(self, bronze: pl.DataFrame) -> None:
        if not self.carriers or bronze.is_empty():
            return
        is_event = pl.col("frame").str.starts_with(EVENT_START)
        received = bronze.lazy().filter(pl.col("connection").is_in(list(self.carriers)), ~is_event)
        time = pl.col("received_at").max().cast(pl.Int64)
        latest = received.group_by("connection", "kind").agg(time)
        latest = latest.select("connection", "received_at", "kind")
        self.record_frames(latest.collect().iter_rows())

    def _find_dead(self, name: str, process: str) -> list[str]:
        """Return the connections that must be dead if a process opens one of a name.

        Other processes read other shards.
        """
        shard = shard_of_connection(name)
        return [
            other
            for other, carrier in self.carriers.items()
            if other == name
            or (_are_different(carrier.process, process) and shard_of_connection(other) == shard)
        ]

    def _close(self, names: Sequence[str], *, has_stalled: bool = False) -> None:
        """Close connections. Markets that no other one carries are lost since the last frame."""
        closed = [self.carriers.pop(name) for name in names]
        carried = {symbol for each in self.carriers.values() for symbol in each.native_symbols}
        for carrier in closed:
            for symbol in carrier.native_symbols - carried:
                since_us = carrier.lost_since_us(has_stalled=has_stalled)
                self.lost_since_us[symbol] = max(since_us, self.lost_since_us.get(symbol, 0))

    def _end(self, event: SubscriptionEvent, at_us: int) -> list[MarketOutage]:
        ended = []
        for native_symbol, symbol in zip(event.native_symbols, event.symbols, strict=True):
            since_us = self.lost_since_us.pop(native_symbol, None)
            if since_us is not None:
                # By a clock that was set back it may have ended before it began.
                outage = MarketOutage(symbol, since_us, since_us, max(at_us, since_us + 1))
                ended.append(outage)
        return ended

    def copy(self) -> "MarketConnections":
        """Return a copy that later changes do not reach."""
        carriers = {
            name: replace(each, native_symbols=set(each.native_symbols))
            for name, each in self.carriers.items()
        }
        return MarketConnections(carriers, dict(self.lost_since_us), dict(self.known_until_us))


def _are_different(process: str, other: str) -> bool:
    """Return whether two events are known to be of different processes."""
    return bool(process and other) and process != other
