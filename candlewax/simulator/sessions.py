"""Connections that carry the market's trades, with all that happens on the way."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from random import Random
from typing import Final

from candlewax.simulator import control, frames
from candlewax.simulator.market import Trade
from candlewax.simulator.numbers import below, one_in

MILLISECOND_US: Final = 1_000
SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US


@dataclass(frozen=True)
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


Write = Callable[[Sequence[Trade]], str]


def orders(trades: Iterable[Trade]) -> Iterator[tuple[Trade, ...]]:
    """The fills of each order."""
    for _, fills in groupby(trades, key=lambda trade: (trade.market.native, trade.order)):
        yield tuple(fills)


def carry(
    trades: Iterable[Trade],
    exchange: str,
    connection: str,
    write: Write,
    rng: Random,
    *,
    single: bool,
) -> Iterator[Sent]:
    """Each order as a frame, or each fill if the exchange sends them `single`."""
    for fills in orders(trades):
        recv_us = arrival(fills[-1].time_us, rng)
        for part in [(fill,) for fill in fills] if single else [fills]:
            yield Sent(recv_us, exchange, connection, write(part), part)


def arrival(time_us: int, rng: Random) -> int:
    """When a frame sent at this time comes: most within some milliseconds, a few
    behind others, very few minutes later, as after a stall, or more.
    """
    if one_in(rng, 25_000):
        return time_us + (1_200 + below(rng, 1_200)) * SECOND_US
    if one_in(rng, 400):
        return time_us + (200 + below(rng, 3_000)) * MILLISECOND_US
    if one_in(rng, 9_000):
        return time_us + (90 + below(rng, 300)) * SECOND_US
    return time_us + (4 + below(rng, 24)) * MILLISECOND_US


def snapshot(sent: Sequence[Sent], at_us: int, write: Write, count: int) -> Sent | None:
    """What a connection repeats when it is opened again: the last trades before."""
    before = [s for s in sent if s.recv_us < at_us and s.trades]
    if not before:
        return None
    native = before[-1].trades[0].market.native
    trades = [t for s in before for t in s.trades if t.market.native == native][-count:]
    last = before[-1]
    return replace(last, recv_us=at_us, text=write(trades), trades=tuple(trades))


def beside(sent: Sequence[Sent], connection: str, begin_us: int, end_us: int) -> Iterator[Sent]:
    """The same frames on a second connection, a little later: an overlap."""
    for one in sent:
        if begin_us <= one.recv_us < end_us:
            yield replace(one, recv_us=one.recv_us + 3 * MILLISECOND_US, connection=connection)


def heartbeats(
    exchange: str, connection: str, text: Callable[[int, int], str], begin_us: int, end_us: int
) -> Iterator[Sent]:
    """A sign of life now and then; `text` is given the time and a count."""
    for count, time_us in enumerate(range(begin_us, end_us, 45 * SECOND_US)):
        yield Sent(time_us, exchange, connection, text(time_us, count))


def broken(trade: Sent) -> Iterator[Sent]:
    """Frames that cannot be read, one after another, behind a frame of Binance that
    can. None of them says anything true.
    """
    fill = trade.trades[0]
    sound = frames.binance(fill._replace(trade_id=fill.trade_id + 10**9))
    texts = (
        sound[: len(sound) // 2],
        "",
        "upstream connect error or disconnect/reset before headers",
        sound.replace(f'"s":"{fill.market.native}"', '"s":"QQQZZZ"'),
        sound.replace(f'"p":"{frames.price(fill)}', '"p":"NaN'),
        sound.replace('"q":"', '"q":"-'),
        sound.replace(f'"T":{fill.time_us // 1000}', f'"T":{fill.time_us // 1000 + 86_400_000}'),
        sound.replace(f'"p":"{frames.price(fill)}', f'"p":"{frames.price(fill)}0000000000001'),
        '[1,2,{"unfinished":',
        '{"price":"1.0"}',
    )
    for place, text in enumerate(texts):
        recv_us = trade.recv_us + (place + 1) * MILLISECOND_US
        yield replace(trade, recv_us=recv_us, text=text, trades=(), dead=True)


def with_bad_trade(sent: Sent) -> Sent:
    """A frame of Kraken with one more trade in it, of no quantity."""
    last = sent.trades[-1]._replace(quantity=0, trade_id=sent.trades[-1].trade_id + 10**9)
    text = frames.kraken_v2([*sent.trades, last])
    return replace(sent, text=text, bad=1)


def openings(sent: Sequence[Sent], begin_us: int) -> Iterator[Sent]:
    """The answers to the subscriptions of a connection."""
    first = sent[0]
    natives = sorted({t.market.native for s in sent for t in s.trades})
    texts = {
        "binance": [control.binance_ack(1)],
        "binance_usdm": [control.binance_ack(1)],
        "kraken": [
            control.kraken_status(begin_us),
            *(control.kraken_ack(name, begin_us) for name in natives),
        ],
        "coinbase": [control.coinbase_subscriptions(natives, begin_us)],
    }
    for place, text in enumerate(texts[first.exchange]):
        yield Sent(begin_us + place * MILLISECOND_US, first.exchange, first.connection, text)
