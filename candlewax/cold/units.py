"""Units of the cold tier: what is offloaded, compared and sealed as one."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import Final, NamedTuple

from candlewax.cold.layers import HOUR, LAYERS

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
FAR: Final = datetime(2106, 1, 1, tzinfo=UTC)
"""Bounds of all times in the tables."""


class Unit(NamedTuple):
    """Rows of one exchange in one hour or day of a layer; `begin` is 1970 if they are all rows."""

    layer: str
    exchange: str
    begin: datetime

    @property
    def end(self) -> datetime:
        """First moment after the unit."""
        span = LAYERS[self.layer].span
        return FAR if span is None else self.begin + span

    @property
    def day(self) -> datetime:
        """Begin of the day that the unit lies in."""
        return self.begin.replace(hour=0)

    def __str__(self) -> str:
        name = f"{self.layer} {self.exchange}"
        span = LAYERS[self.layer].span
        return (
            name if span is None else f"{name} {self.begin:{'%F %H:%M' if span == HOUR else '%F'}}"
        )


def group_by_day(units: Iterable[Unit]) -> Iterator[list[Unit]]:
    """Yield the units of each day in order."""
    in_order = sorted(units, key=lambda unit: (unit.begin, unit.exchange))
    for _, group in groupby(in_order, key=lambda unit: unit.day):
        yield list(group)


class Measure(NamedTuple):
    """Number of rows, hash of their content, and sum of the columns of our clock.

    `content` is two sums modulo 2^64, of the rows' hashes by xxh3 and by cityHash64, as 16
    hexadecimal digits each. `clocks` is the sum of microseconds since 1970.
    """

    rows: int
    content: str
    clocks: int


NOTHING: Final = Measure(0, "0" * 32, 0)
"""Measure of a unit without rows."""
