"""Connections: when trades are published, and who hears of them when."""

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
class Sent:
    """A frame as it was received; `trades` are those it says, `bad` counts what
    looks like a trade and is none. A dead frame says nothing at all.
    """

    recv_us: int
    exchange: str
    connection: str
    text: str
    trades: tuple[Trade, ...] = ()
    bad: int = 0
    dead: bool = False


Published = tuple[int, Bundle]
"""When an exchange sends a bundle, in microseconds, and the bundle."""


def publish(
    feed: Feed, markets: Iterable[Iterable[Trade]], begin_us: int, end_us: int, rng: Random
) -> list[Published]:
    """When each bundle is sent, in that order. Between begin and end a few are late."""
    published = []
    for trades in markets:
        ordinary_us = 0
        for bundle in feed.bundles(trades):
            last_us = bundle[-1].time_us
            # A market's bundles pass each other only when one of them is late.
            ordinary_us = max(ordinary_us, last_us + (1 + below(rng, 3)) * MILLISECOND_US)
            late_us = ordinary_us + _lateness(rng)
            sent_us = late_us if begin_us <= last_us and late_us < end_us else ordinary_us
            parts = [(trade,) for trade in bundle] if feed.single else [bundle]
            published += [(sent_us, part) for part in parts]
    return sorted(published, key=lambda one: one[0])


def _lateness(rng: Random) -> int:
    """Mostly none; at times some seconds, rarely minutes, very rarely half an hour."""
    if one_in(rng, 300):
        return (200 + below(rng, 3_000)) * MILLISECOND_US
    if one_in(rng, 6_000):
        return (90 + below(rng, 300)) * SECOND_US
    if one_in(rng, 10_000):
        return (20 * 60 + below(rng, 1_200)) * SECOND_US
    return 0


@dataclass(frozen=True)
class Line:
    """A connection by its name, while it is up: spans from a begin to an end, in
    microseconds. What is published between two of them it does not hear, but for
    what the exchange shows again.
    """

    name: str
    spans: Sequence[tuple[int, int]]
    beat_us: int = 45 * SECOND_US
    """Time between two heartbeats."""


@dataclass(slots=True)
class _Clock:
    """Receive times of a connection: some milliseconds after sending, never back."""

    rng: Random
    last_us: int = field(default=0)

    def receive(self, sent_us: int) -> int:
        self.last_us = max(self.last_us, sent_us + (3 + below(self.rng, 20)) * MILLISECOND_US)
        return self.last_us


def carry(
    new_feed: Callable[[], Feed], line: Line, published: Sequence[Published], rng: Random
) -> Iterator[Sent]:
    """All that comes on a connection, in order."""
    clock = _Clock(rng)
    names = sorted({bundle[0].market.native for _, bundle in published})
    for begin_us, end_us in line.spans:
        feed = new_feed()
        for text in feed.opening(names, begin_us):
            yield Sent(clock.receive(begin_us), feed.exchange, line.name, text)
        for bundle in _histories(published, begin_us, feed.history):
            text = feed.snapshot(bundle, begin_us)
            yield Sent(clock.receive(begin_us), feed.exchange, line.name, text, bundle)
        heard = [one for one in published if begin_us <= one[0] < end_us]
        beats: Iterator[Published] = ((at, ()) for at in range(begin_us, end_us, line.beat_us))
        for sent_us, bundle in heapq.merge(beats, heard, key=lambda one: one[0]):
            said = feed.trades(bundle, sent_us) if bundle else feed.heartbeat(sent_us)
            if said is not None:
                yield Sent(clock.receive(sent_us), feed.exchange, line.name, said, bundle)


def _histories(published: Sequence[Published], at_us: int, count: int) -> Iterator[Bundle]:
    """The last trades of each market that were published before this time."""
    if not count:
        return
    before: dict[str, list[Trade]] = {}
    for sent_us, bundle in published:
        if sent_us < at_us:
            before.setdefault(bundle[0].market.native, []).extend(bundle)
    for name in sorted(before):
        yield tuple(sorted(before[name], key=lambda trade: trade.trade_id)[-count:])


def aside(
    sent: Iterable[Sent], every: int, texts: Sequence[Callable[[Trade, int], str]]
) -> Iterator[Sent]:
    """The same frames; behind every so many of them the next control frame, made of
    a trade and the time.
    """
    for place, one in enumerate(sent, 1):
        yield one
        if place % every == 0 and one.trades:
            text = texts[place // every % len(texts)](one.trades[-1], one.recv_us)
            yield replace(one, text=text, trades=())


def spans(begin_us: int, end_us: int, outages: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """From begin to end without the outages, each of which is a minute counted from
    begin, and how many seconds it lasts.
    """
    downs = [begin_us + minute * MINUTE_US for minute, _ in outages]
    ups = [down + seconds * SECOND_US for down, (_, seconds) in zip(downs, outages, strict=True)]
    return list(zip([begin_us, *ups], [*downs, end_us], strict=True))
