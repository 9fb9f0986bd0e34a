"""Amounts as integers: prices and quantities in units of 10^-12, quote volumes of 10^-18."""

from decimal import Decimal
from re import compile as pattern
from typing import Final

from candlewax.core.trades.limits import PLAIN_NUMBER

DECIMALS: Final = 12
"""Decimals of prices and quantities."""

QUOTE_DECIMALS: Final = 18
"""Decimals of quote volumes."""

_CUT: Final = 10 ** (2 * DECIMALS - QUOTE_DECIMALS)
"""A price times a quantity has 24 decimals, of which a quote volume keeps 18."""

_HALF: Final = _CUT // 2
_LARGEST_EXPONENT: Final = 50

_is_plain: Final = pattern(PLAIN_NUMBER).fullmatch
_has_exponent: Final = pattern(r"[0-9]{1,100}(?:\.[0-9]{1,100})?[eE][-+]?[0-9]{1,5}").fullmatch


def parse_amount(text: str) -> int | None:
    """Return an amount in units of 10^-12; None if the text is no number of at most 19 digits and
    12 decimals. An exponent is fine.
    """
    if not _is_plain(text):
        text = expand_exponent(text)
        if not _is_plain(text):
            return None
    whole, _, fraction = text.partition(".")
    return int(whole + fraction + "0" * (DECIMALS - len(fraction)))


def expand_exponent(text: str) -> str:
    """Return a number that has an exponent in plain digits, and any other text as it is."""
    if not _has_exponent(text):
        return text
    value = Decimal(text)
    # A few characters can stand for billions of digits.
    return format(value.normalize(), "f") if abs(value.adjusted()) < _LARGEST_EXPONENT else text


def quote_volume(price: int, quantity: int) -> int:
    """Return price times quantity in units of 10^-18: exact up to 18 decimals, beyond that
    half-even.
    """
    volume, rest = divmod(price * quantity, _CUT)
    if rest > _HALF or (rest == _HALF and volume & 1):
        volume += 1
    return volume


def average_price(quote_volume_units: int, volume_units: int) -> int:
    """Return a volume-weighted average price in units of 10^-12, cut after them; 0 of no volume."""
    scale = 10 ** (2 * DECIMALS - QUOTE_DECIMALS)
    return quote_volume_units * scale // volume_units if volume_units else 0


def format_units(units: int, decimals: int) -> str:
    """Return an amount in units of its last decimal as text, without trailing zeros."""
    whole, fraction = divmod(units, 10**decimals)
    return f"{whole}.{fraction:0{decimals}d}".rstrip("0").rstrip(".") if fraction else str(whole)


def to_decimal(units: int, decimals: int) -> Decimal:
    """Return an amount in units of its last decimal as a decimal with all of them."""
    return Decimal((0, tuple(map(int, str(units))), -decimals))
