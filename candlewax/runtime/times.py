"""Parsing of times that users and programs write."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_ISO: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d)(:\d\d(?:\.\d{1,9})?)?( ?Z|[+-]\d\d(?::?\d\d)?)",
    re.ASCII | re.IGNORECASE,
)
_WITHOUT_ZONE: Final = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)?", re.ASCII)
_BLANK: Final = re.compile(r"\d\d(\.\d+)? \d\d(:?\d\d)?$", re.ASCII)
_NUMBER: Final = re.compile(r"-?\d{1,25}(\.\d{1,9})?", re.ASCII)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = ((10**17, "nanoseconds"), (10**14, "microseconds"), (10**11, "milliseconds"))
"""Units of numbers that are too great for seconds: 10^11 seconds lie in the year 5138."""

EXPECTED: Final = (
    "takes ISO 8601 with its zone, as 2026-09-15T12:00:00Z, or seconds since 1970, as 1789473600"
)


def parse_time(text: str) -> datetime:
    """Return the time in UTC of ISO 8601 with a zone, or of seconds since 1970.

    Raises ValueError with a sentence on what is expected and what was given.
    """
    if _NUMBER.fullmatch(text):
        return _from_seconds(text)
    parts = _ISO.fullmatch(text)
    if parts is None:
        raise ValueError(_explain(text))
    day, minute, second, zone = parts.groups()
    zone = zone.strip().upper()
    try:
        return datetime.fromisoformat(f"{day}T{minute}{second or ':00'}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"{EXPECTED}; there is no time {text!r}") from None


def parse_time_or_utc(text: str) -> datetime:
    """Return the time in UTC of user input: also of a date, or of a time without a zone.

    A time without a zone is UTC; otherwise as `parse_time`.

    Raises ValueError with a sentence on what is expected and what was given.
    """
    text = text.strip()
    if _WITHOUT_ZONE.fullmatch(text):
        text += "T00:00Z" if len(text) == len("2026-09-15") else "Z"
    try:
        if re.fullmatch(r"\d{8}", text, re.ASCII):
            raise ValueError(f"{text} may be a date without its hyphens")
        return parse_time(text)
    except ValueError as error:
        hint = str(error).rpartition("; ")[2]
        raise ValueError(
            f"takes a date or a time, UTC if no zone is said, as 2026-09-15 or "
            f"2026-09-15T22:51:30; {hint}"
        ) from None


def _from_seconds(text: str) -> datetime:
    whole, _, fraction = text.partition(".")
    seconds = int(whole)
    for least, unit in _UNITS:
        if abs(seconds) >= least:
            raise ValueError(f"{EXPECTED}; {text} looks like {unit}")
    micros = int(fraction.ljust(6, "0")[:6]) * (-1 if text.startswith("-") else 1)
    try:
        return _EPOCH + timedelta(seconds=seconds, microseconds=micros)
    except OverflowError:
        raise ValueError(f"{EXPECTED}; {text} lies beyond the year 9999") from None


def _explain(text: str) -> str:
    if _BLANK.search(text):
        return f"{EXPECTED}; a + in an address is a blank: write %2B before the offset in {text!r}"
    if _WITHOUT_ZONE.fullmatch(text):
        return f"{EXPECTED}; {text!r} has no zone"
    return f"{EXPECTED}; got {text[:100]!r}"
