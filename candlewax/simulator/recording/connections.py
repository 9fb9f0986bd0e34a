"""Recorded connections: when trades are published, and which connection receives them."""

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from candlewax.simulator.frames.channels import Bundle, Feed
from candlewax.simulator.market.market import MINUTE_US, SECOND_US, Trade
from candlewax.simulator.market.rng import below, one_in

MILLISECOND_US: Final = 1_000


@dataclass(frozen=True, slots=True)
class ReceivedFrame:
    """Received frame with its trades.

    `bad_trades` counts unreadable entries among its trades. If `is_dead`, the whole frame is
    unreadable.
    """

    recv_us: int
    exchange: str
    connection: str
    text: str
    trades: tuple[Trade, ...] = ()
    bad_trades: int = 0
    is_dead: bool = False


Published = tuple[int, Bundle]
"""Send time of a bundle in microseconds, and the bundle."""


def publish(
    feed: Feed, markets: Iterable[Iterable[Trade]], begin_us: int, end_us: int, rng: Random
) -> list[Published]:
    """Return the send time of each bundle, in order. Between begin and end a few are late."""
    published = []
    for trades in markets:
        ordinary_us = 0
        for bundle in feed.bundles(trades):
            last_us = bundle[-1].time_us
            # Bundles of a market are reordered only if one of them is late.
            ordinary_us = max(ordinary_us, last_us + (1 + below(rng, 3)) * MILLISECOND_US)
            late_us = ordinary_us + _delay_us(rng)
            sent_us = late_us if begin_us <= last_us and late_us < end_us else ordinary_us
            parts = [(trade,) for trade in bundle] if feed.single else [bundle]
            published += [(sent_us, part) for part in parts]
    return sorted(published, key=lambda item: item[0])


def _delay_us(rng: Random) -> int:
    """Return a delay: mostly none, sometimes seconds, rarely minutes, very rarely half an hour."""
    if one_in(rng, 300):
        return (200 + below(rng, 3_000)) * MILLISECOND_US
    if one_in(rng, 6_000):
        return (90 + below(rng, 300)) * SECOND_US
    if one_in(rng, 10_000):
        return (20 * 60 + below(rng, 1_200)) * SECOND_US
    return 0


@dataclass(frozen=True)
class RecordedConnection:
    """Connection of a recording, with the spans in microseconds during which it is up.

    Between two spans it receives nothing, except what the exchange repeats after a reconnect.
    """

    name: str
    spans: Sequence[tuple[int, int]]
    heartbeat_us: int = 45 * SECOND_US
    """Time between two heartbeats."""


@dataclass(slots=True)
class _Clock:
    """Receive times of a connection: some milliseconds after sending, never decreasing."""

    rng: Random
    last_us: int = field(default=0)

    def receive(self, sent_us: int) -> int:
        self.last_us = max(self.last_us, sent_us + (3 + below(self.rng, 20)) * MILLISECOND_US)
        return self.last_us


def receive(
    new_feed: Callable[[], Feed],
    connection: RecordedConnection,
    published: Sequence[Published],
    rng: Random,
) -> Iterator[ReceivedFrame]:
    """Return all frames that a connection receives, in order."""
    clock = _Clock(rng)
    names = sorted({bundle[0].market.native_symbol for _, bundle in published})
    for begin_us, end_us in connection.spans:
        feed = new_feed()
        for text in feed.opening(names, begin_us):
            yield ReceivedFrame(clock.receive(begin_us), feed.exchange, connection.name, text)
        for bundle in _histories(published, begin_us, feed.history):
            text = feed.snapshot(bundle, begin_us)
            yield ReceivedFrame(
                clock.receive(begin_us), feed.exchange, connection.name, text, bundle
            )
        received = [item for item in published if begin_us <= item[0] < end_us]
        heartbeats: Iterator[Published] = (
            (at, ()) for at in range(begin_us, end_us, connection.heartbeat_us)
        )
        for sent_us, bundle in heapq.merge(heartbeats, received, key=lambda item: item[0]):
            frame = feed.trades(bundle, sent_us) if bundle else feed.heartbeat(sent_us)
            if frame is not None:
                yield ReceivedFrame(
                    clock.receive(sent_us), feed.exchange, connection.name, frame, bundle
                )


def _histories(published: Sequence[Published], at_us: int, count: int) -> Iterator[Bundle]:
    """Return the last trades of each market that were published before a time."""
    if not count:
        return
    earlier: dict[str, list[Trade]] = {}
    for sent_us, bundle in published:
        if sent_us < at_us:
            earlier.setdefault(bundle[0].market.native_symbol, []).extend(bundle)
    for name in sorted(earlier):
        yield tuple(sorted(earlier[name], key=lambda trade: trade.trade_id)[-count:])


def insert_control_frames(
    frames: Iterable[ReceivedFrame], every: int, texts: Sequence[Callable[[Trade, int], str]]
) -> Iterator[ReceivedFrame]:
    """Return the frames with a control frame after every `every` of them.

    Control frames are made of the last trade and its receive time, in turn by each of `texts`.
    """
    for place, frame in enumerate(frames, 1):
        yield frame
        if place % every == 0 and frame.trades:
            text = texts[place // every % len(texts)](frame.trades[-1], frame.recv_us)
            yield replace(frame, text=text, trades=())


def spans(begin_us: int, end_us: int, outages: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the spans from begin to end without the outages.

    An outage is its start in minutes after begin, and its length in seconds.
    """
    downs = [begin_us + minute * MINUTE_US for minute, _ in outages]
    ups = [down + seconds * SECOND_US for down, (_, seconds) in zip(downs, outages, strict=True)]
    return list(zip([begin_us, *ups], [*downs, end_us], strict=True))
