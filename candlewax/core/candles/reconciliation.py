"""Comparison of a closed one-minute candle with the exchange's own; pure functions.

Every field that the exchange publishes must be equal as an exact decimal.
"""

from dataclasses import dataclass
from decimal import ROUND_DOWN, Context, Decimal
from enum import IntEnum
from typing import Final, NamedTuple

from candlewax.exchanges.protocol.venue_candles import CandleRules, VenueCandle

AMOUNTS: Final = (
    "open", "high", "low", "close", "volume", "quote_volume", "buy_volume", "buy_quote_volume",
)  # fmt: skip
"""Fields that are compared as amounts; `vwap` and `trade_count` are compared besides."""

_EXACT: Final = Context(prec=200)
"""Context in which no amount of the tables is rounded."""


class Result(IntEnum):
    """Result of a comparison, as `reconciliations` stores it."""

    EQUAL = 1
    DIFFERS = 2
    UNAVAILABLE = 3


class OurCandle(NamedTuple):
    """A closed one-minute candle of ours, as in `ohlcv`; `start_s` in seconds since 1970."""

    start_s: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    quote_volume: Decimal
    buy_volume: Decimal
    buy_quote_volume: Decimal
    trade_count: int
    version: int = 0
    revision: int = 0
    status: str = ""


class Difference(NamedTuple):
    """Field that differs, with our value and the exchange's; "" if a side has no candle."""

    field: str
    ours: str
    theirs: str

    def __str__(self) -> str:
        return f"{self.field}: ours {self.ours or 'none'}, theirs {self.theirs or 'none'}"


@dataclass(frozen=True)
class Comparison:
    """Result of a comparison: the fields that differ, or why nothing could be compared."""

    result: Result
    differences: tuple[Difference, ...] = ()
    reason: str = ""


EQUAL: Final = Comparison(Result.EQUAL)


def compare(ours: OurCandle, theirs: VenueCandle | None, rules: CandleRules) -> Comparison:
    """Compare a candle with the exchange's; None if its answer left the minute out."""
    if theirs is None:
        return Comparison(Result.UNAVAILABLE, reason="the exchange shows no candle of this minute")
    differences = tuple(
        difference
        for name in (*AMOUNTS, "vwap", "trade_count")
        if (difference := _compare_field(name, ours, theirs, rules))
    )
    return Comparison(Result.DIFFERS, differences) if differences else EQUAL


def missing_candle(theirs: VenueCandle) -> Comparison:
    """Return the comparison of a minute of which the exchange has trades, and we have no candle."""
    values = theirs._asdict()
    names = [name for name in (*AMOUNTS, "trade_count") if values[name] is not None]
    return Comparison(
        Result.DIFFERS, tuple(Difference(name, "", format_value(values[name])) for name in names)
    )


def _compare_field(
    name: str, ours: OurCandle, theirs: VenueCandle, rules: CandleRules
) -> Difference | None:
    """Return the difference of a field; None if it is equal or the exchange has no such field."""
    text = getattr(theirs, name)
    if text is None:
        return None
    published = Decimal(text)
    if name == "vwap":
        if theirs.is_empty:
            return None
        own = _cut(_EXACT.divide(ours.quote_volume, ours.volume), published)
        is_equal = own == published
    else:
        own = Decimal(getattr(ours, name))
        is_equal = own == published or _is_cut_quote(name, own, published, ours, rules)
    return None if is_equal else Difference(name, format_value(own), format_value(published))


def _cut(amount: Decimal, like: Decimal) -> Decimal:
    """Cut an amount after as many decimals as another one has."""
    return amount.quantize(Decimal(1).scaleb(_exponent(like)), ROUND_DOWN, _EXACT)


def _is_cut_quote(
    name: str, own: Decimal, published: Decimal, ours: OurCandle, rules: CandleRules
) -> bool:
    """Return whether a quote volume differs only as the exchange cuts that of each trade."""
    decimals = rules.quote_decimals
    if decimals is None or not name.endswith("quote_volume"):
        return False
    if -_exponent(own.normalize(_EXACT)) <= decimals:
        return False
    lost = _EXACT.subtract(own, published)
    return 0 <= lost < ours.trade_count * Decimal(1).scaleb(-decimals)


def _exponent(amount: Decimal) -> int:
    return int(amount.as_tuple().exponent)


def format_value(value: Decimal | str | int) -> str:
    """Return the plain text of a value, without trailing zeros and exponent."""
    text = f"{Decimal(value):f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
