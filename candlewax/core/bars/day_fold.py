"""Fold of a day's trades into bars, which goes on from the end of a stored bar."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise
from typing import Final

import msgspec
import polars as pl

from candlewax.core.bars.certificate import DayEvidence, proof_until
from candlewax.core.bars.fold import BARS, fold
from candlewax.core.bars.numbers import Numbers, NumberState
from candlewax.core.bars.rules import BarRule

MINUTE_US: Final = 60_000_000

STEP_US: Final = MINUTE_US
"""Shortest time in microseconds between two checkpoints of a day."""


class MinuteMarks:
    """Marks of a day by minute: what was stored before each minute of it.

    Two marks are equal if the candles before the minute have the same trades.
    """

    def __init__(self, minutes: Iterable[tuple[int, int, int]]) -> None:
        """Take begin (microseconds since 1970), trade count and missing of each 1m candle."""
        self.trades = 0
        self._begins: list[int] = []
        digest = blake2b(digest_size=8)
        self._marks = [digest.hexdigest()]
        for minute in sorted(minutes):
            self._begins.append(minute[0])
            self.trades += minute[1]
            digest.update(repr(minute).encode())
            self._marks.append(digest.hexdigest())

    def before(self, minute: int) -> str:
        """Return the mark of the minutes before one."""
        return self._marks[bisect_left(self._begins, minute)]


class Checkpoint(msgspec.Struct, frozen=True):
    """State of the fold at the end of a full bar after which time goes on.

    `number` is that of the bar, `time` that of its last trade in microseconds since 1970, `trades`
    counts those in bars up to it. As long as `mark` is that of the minutes before its last trade's,
    and `rows` trades of that minute are stored up to `time`, the trades up to it are the same.
    """

    number: int
    time: int
    trades: int
    rows: int
    mark: str
    numbers: NumberState
    proof: str = ""

    @property
    def minute(self) -> int:
        """Begin of the minute of the last trade, in microseconds since 1970."""
        return self.time - self.time % MINUTE_US

    def to_text(self, numbers: Numbers, evidence: DayEvidence) -> str:
        """Return it as text, with the proof of its bars by all trades of the day."""
        proven = msgspec.structs.replace(self, proof=proof_until(self.time, numbers, evidence))
        return msgspec.json.encode(proven).decode()

    def is_proven(self, numbers: Numbers, evidence: DayEvidence) -> bool:
        """Return whether the certificates of its bars still follow."""
        return self.proof == proof_until(self.time, numbers, evidence)


def parse_checkpoint(text: str) -> Checkpoint | None:
    """Return a stored checkpoint; None for one of another form."""
    try:
        return msgspec.json.decode(text, type=Checkpoint)
    except msgspec.DecodeError:
        return None


@dataclass(frozen=True)
class DayBars:
    """Bars (BARS) that a fold made, and checkpoints at the ends of some of them."""

    bars: pl.DataFrame
    checkpoints: list[Checkpoint]


class DayFold:
    """Bars of one rule, made of the trades of a day batch by batch.

    `numbers` are those of all trades so far, `trades` counts those in bars, and `last_time` is the
    time of the last of these in microseconds since 1970, 0 without one.
    """

    def __init__(
        self, rule: BarRule, marks: MinuteMarks, watermark: int, start: Checkpoint | None = None
    ) -> None:
        """Begin at midnight or go on from a checkpoint."""
        self.start = start
        self.trades = start.trades if start else 0
        self.last_time = start.time if start else 0
        self.numbers = Numbers(start.numbers if start else None)
        self._rule = rule
        self._marks = marks
        self._watermark = watermark
        self._after = start.time if start else None
        self._next = start.number + 1 if start else 0
        self._begun: pl.DataFrame | None = None
        self._full: list[pl.DataFrame] = []
        self._checkpoints: list[Checkpoint] = []
        self._checkpoint_time = start.time if start else None

    def add(self, batch: pl.DataFrame) -> None:
        """Add trades (DAY_TRADES) of whole minutes, none of which is before one that was added.

        Those up to the checkpoint are left out.
        """
        trades = batch
        if self._after is not None:
            trades = batch.filter(pl.col("time") > self._after)
        bars = fold(trades, self._rule, self._begun, self._next)
        full = bars.filter("is_full")
        begun = bars.filter(~pl.col("is_full"))
        place = self._checkpoint_place(bars)
        if place is None:
            self.numbers.add(trades)
        else:
            time = int(bars["close_time"].cast(pl.Int64)[place])
            self.numbers.add(trades.filter(pl.col("time") <= time))
            self._add_checkpoint(batch, bars, place, time)
            self.numbers.add(trades.filter(pl.col("time") > time))
        self.trades += int(trades["counts"].sum())
        if bars.height:
            self.last_time = int(bars["close_time"].cast(pl.Int64)[-1])
        self._begun = None if begun.is_empty() else begun
        self._next += full.height
        self._full.append(full)

    def result(self) -> DayBars:
        """Return the bars after the checkpoint; the last one is the last bar of the day."""
        parts = [*self._full, *([] if self._begun is None else [self._begun])]
        bars = pl.concat([pl.DataFrame(schema=BARS), *parts])
        last = self._next if self._begun is not None else self._next - 1
        # A bar that is followed by none may yet get the certificate of the last one of a day.
        return DayBars(bars, [one for one in self._checkpoints if one.number < last])

    def _checkpoint_place(self, bars: pl.DataFrame) -> int | None:
        """Return the place of the last bar that a checkpoint may follow; None without one."""
        closes = bars["close_time"].cast(pl.Int64).to_list()
        opens = bars["open_time"].cast(pl.Int64).to_list()
        full = int(bars["is_full"].sum())
        least = None if self._checkpoint_time is None else self._checkpoint_time + STEP_US
        for place in range(full - 1, -1, -1):
            close = closes[place]
            if least is not None and close < least:
                return None
            has_end = place + 1 == len(opens) or opens[place + 1] > close
            if has_end and close < self._watermark:
                return place
        return None

    def _add_checkpoint(
        self, batch: pl.DataFrame, bars: pl.DataFrame, place: int, time: int
    ) -> None:
        minute = time - time % MINUTE_US
        begun = 0 if self._begun is None else int(self._begun["trade_count"][0])
        counted = int(bars["trade_count"][: place + 1].sum())
        one = Checkpoint(
            self._next + place,
            time,
            self.trades - begun + counted,
            batch.filter(pl.col("time").is_between(minute, time)).height,
            self._marks.before(minute),
            self.numbers.state(),
        )
        self._checkpoints.append(one)
        self._checkpoint_time = time


def batches_of(minutes: Iterable[tuple[int, int]], end: int, rows: int) -> list[tuple[int, int]]:
    """Return spans of whole minutes that together reach from the first minute to `end`.

    `minutes` are begins in order, each with its number of trades. Each span but the last one holds
    at least `rows` trades, and not those of a further minute. Times in microseconds since 1970.
    """
    begins: list[int] = []
    held = rows
    for minute, count in minutes:
        if held >= rows:
            begins.append(minute)
            held = 0
        held += count
    return list(pairwise([*begins, end]))
