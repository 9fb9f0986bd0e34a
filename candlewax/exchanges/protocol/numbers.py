"""Whole numbers that exchanges write as text."""

from re import compile as pattern
from typing import Final

_is_whole: Final = pattern(r"[+-]?[0-9]{1,100}").fullmatch
_LIMIT: Final = 2**63


def parse_int64(text: str) -> int | None:
    """Return a whole number that fits 64 bits with a sign; None if the text is none."""
    if not _is_whole(text):
        return None
    number = int(text)
    return number if -_LIMIT <= number < _LIMIT else None
