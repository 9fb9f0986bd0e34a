"""What goes wrong: trades that never come, frames that come twice or unreadable."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Final, TypeVar

from candlewax.simulator.market.market import Trade
from candlewax.simulator.market.rng import one_in
from candlewax.simulator.recording.connections import Sent

Spoil = Callable[[str], str]
"""Makes of a frame of trades one that says nothing."""


def without(trades: Iterable[Trade], first: int, count: int) -> Iterator[Trade]:
    """A market's trades but for some: from this place on, so many."""
    for place, trade in enumerate(trades):
        if not first <= place < first + count:
            yield trade


T = TypeVar("T")


def thinned(page: Sequence[T]) -> Sequence[T]:
    """Return an answer without three of its trades, or as many as lie between the first and the
    last one.
    """
    if len(page) < 3:
        return page
    middle = max(1, len(page) // 2 - 1)
    return [*page[:middle], *page[min(middle + 3, len(page) - 1) :]]


def twice(sent: Iterable[Sent], chance: int, rng: Random) -> Iterator[Sent]:
    """The same frames; once in `chance` a frame of trades comes again at once."""
    for one in sent:
        yield one
        if one.trades and one_in(rng, chance):
            yield one


def spoiled(
    sent: Iterable[Sent], write: Callable[[Trade], str], chance: int, rng: Random
) -> Iterator[Sent]:
    """The same frames; once in `chance` one of several trades gets one more in
    front, of no quantity. `write` gives the frame of a single trade.
    """
    for one in sent:
        if len(one.trades) < 2 or not one_in(rng, chance):
            yield one
            continue
        head, bad, _ = _split(write(one.trades[0]._replace(quantity=0)))
        mark = head[head.rindex('"', 0, -3) :]
        yield replace(one, text=one.text.replace(mark, f"{mark}{bad},", 1), bad=1)


def _split(frame: str) -> tuple[str, str, str]:
    """What stands before the trade of a frame, the trade, and the rest."""
    end = frame.index("}]") + 1
    begin = frame.rindex("{", 0, end)
    return frame[:begin], frame[begin:end], frame[end:]


def broken(sent: Iterable[Sent], every: int, spoils: Sequence[Spoil]) -> Iterator[Sent]:
    """The same frames; behind every so many frames of trades an unreadable one."""
    trading = 0
    for one in sent:
        yield one
        trading += bool(one.trades)
        turn, rest = divmod(trading, every)
        if one.trades and rest == 0 and turn <= len(spoils):
            spoil = spoils[turn - 1]
            yield replace(one, text=spoil(one.text), trades=(), bad=0, dead=True)


def _put(field: str, value: str) -> Spoil:
    """Give a field, as a regular expression, another value in all trades."""
    found = re.compile(rf'"({field})":("[^"]*"|[0-9.]+)')
    return lambda text: found.sub(rf'"\1":{value}', text)


def cut(text: str) -> str:
    """The first part of a frame."""
    return text[: len(text) * 2 // 3]


def _say(text: str) -> Spoil:
    return lambda _: text


GATEWAY: Final = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n</html>\r\n"

BINANCE: Final[tuple[Spoil, ...]] = (
    cut,
    _put("s", '"QQQZZZ"'),
    _put("p", '"NaN"'),
    _say(""),
    _put("q", '"-0.00100000"'),
    _put("q", '"0.0000000000001"'),
    _put("T", "4102444800000"),
    _put("t", "null"),
    _say("upstream connect error or disconnect/reset before headers"),
)
KRAKEN: Final[tuple[Spoil, ...]] = (
    _put("symbol", '"BTCUSD"'),
    _put("qty", "0.0000000000001"),
    cut,
    _put("price", '"soon"'),
    _put("side", '"hold"'),
)
COINBASE: Final[tuple[Spoil, ...]] = (
    _put("price", '"1e400"'),
    _say(GATEWAY),
    _put("time", '"1969-12-31T23:59:59.999999Z"'),
    cut,
)
