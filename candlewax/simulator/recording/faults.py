"""Faults of a recording: trades that are missing, frames that are repeated or unreadable."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Final, TypeVar

from candlewax.simulator.market.market import Trade
from candlewax.simulator.market.rng import one_in
from candlewax.simulator.recording.connections import ReceivedFrame

Spoil = Callable[[str], str]
"""Turns a frame of trades into an unreadable one."""


def drop_trades(trades: Iterable[Trade], first: int, count: int) -> Iterator[Trade]:
    """Return a market's trades without `count` of them from index `first` on."""
    for place, trade in enumerate(trades):
        if not first <= place < first + count:
            yield trade


T = TypeVar("T")


def drop_middle(page: Sequence[T]) -> Sequence[T]:
    """Return a page without three of its trades, or as many as lie between first and last."""
    if len(page) < 3:
        return page
    middle = max(1, len(page) // 2 - 1)
    return [*page[:middle], *page[min(middle + 3, len(page) - 1) :]]


def repeat_frames(
    frames: Iterable[ReceivedFrame], chance: int, rng: Random
) -> Iterator[ReceivedFrame]:
    """Return the frames; one in `chance` frames of trades is repeated at once."""
    for frame in frames:
        yield frame
        if frame.trades and one_in(rng, chance):
            yield frame


def spoil_trades(
    frames: Iterable[ReceivedFrame], write: Callable[[Trade], str], chance: int, rng: Random
) -> Iterator[ReceivedFrame]:
    """Return the frames; one in `chance` frames of several trades gets a trade of quantity zero in
    front.

    `write` returns the frame of a single trade.
    """
    for frame in frames:
        if len(frame.trades) < 2 or not one_in(rng, chance):
            yield frame
            continue
        head, bad, _ = _split(write(frame.trades[0]._replace(quantity=0)))
        mark = head[head.rindex('"', 0, -3) :]
        yield replace(frame, text=frame.text.replace(mark, f"{mark}{bad},", 1), bad_trades=1)


def _split(frame: str) -> tuple[str, str, str]:
    """Return the text before the trade of a frame, the trade, and the rest."""
    end = frame.index("}]") + 1
    begin = frame.rindex("{", 0, end)
    return frame[:begin], frame[begin:end], frame[end:]


def insert_broken_frames(
    frames: Iterable[ReceivedFrame], every: int, spoils: Sequence[Spoil]
) -> Iterator[ReceivedFrame]:
    """Return the frames, with an unreadable one after every `every` frames of trades."""
    trade_frames = 0
    for frame in frames:
        yield frame
        trade_frames += bool(frame.trades)
        fault_number, remainder = divmod(trade_frames, every)
        if frame.trades and remainder == 0 and fault_number <= len(spoils):
            spoil = spoils[fault_number - 1]
            yield replace(frame, text=spoil(frame.text), trades=(), bad_trades=0, is_dead=True)


def _replace_field(field: str, value: str) -> Spoil:
    """Return a function that replaces the value of a field, a regular expression, in all trades."""
    pattern = re.compile(rf'"({field})":("[^"]*"|[0-9.]+)')
    return lambda text: pattern.sub(rf'"\1":{value}', text)


def cut(text: str) -> str:
    """Return the first two thirds of a frame."""
    return text[: len(text) * 2 // 3]


def _replace_frame(text: str) -> Spoil:
    return lambda _: text


GATEWAY: Final = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n</html>\r\n"

ANY: Final[tuple[Spoil, ...]] = (cut, _replace_frame(GATEWAY), _replace_frame(""))
"""Faults of any exchange's frames, whatever their fields."""

BINANCE: Final[tuple[Spoil, ...]] = (
    cut,
    _replace_field("s", '"QQQZZZ"'),
    _replace_field("p", '"NaN"'),
    _replace_frame(""),
    _replace_field("q", '"-0.00100000"'),
    _replace_field("q", '"0.0000000000001"'),
    _replace_field("T", "4102444800000"),
    _replace_field("t", "null"),
    _replace_frame("upstream connect error or disconnect/reset before headers"),
)
KRAKEN: Final[tuple[Spoil, ...]] = (
    _replace_field("symbol", '"BTCUSD"'),
    _replace_field("qty", "0.0000000000001"),
    cut,
    _replace_field("price", '"soon"'),
    _replace_field("side", '"hold"'),
)
COINBASE: Final[tuple[Spoil, ...]] = (
    _replace_field("price", '"1e400"'),
    _replace_frame(GATEWAY),
    _replace_field("time", '"1969-12-31T23:59:59.999999Z"'),
    cut,
)
