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
_LEAST: Final = {unit: least for least, unit in _UNITS}

_OTHER_ISO: Final = re.compile(
    r"[0-9-]{8,10}T[0-9:]{2,8}([.,]\d{1,9})?(Z|[+-]\d\d(:?\d\d)?)", re.ASCII | re.IGNORECASE
)
"""Also of basic form (20260915T120000Z), of a week's day, and of whole hours."""

EXPECTED: Final = (
    "takes ISO 8601 with its zone, as 2026-09-15T12:00:00Z, or seconds since 1970, as 1789473600"
)

EXPECTED_ANY: Final = (
    "takes ISO 8601 with its zone, as 2026-09-15T12:00:00Z, a date in UTC, as 2026-09-15, or "
    "seconds, milliseconds or microseconds since 1970, as 1789473600"
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


def parse_time_of_any_unit(text: str) -> datetime:
    """Return the time in UTC of ISO 8601 with a zone, of a date, or of a number since 1970.

    Numbers are told apart by their size: seconds, and whole milliseconds (10^11 and more),
    microseconds (10^14) and nanoseconds (10^17), of which whole microseconds are kept. A date is
    its midnight in UTC. A blank before an offset is the + that an address turns into one.

    Raises ValueError with a sentence on what is expected and what was given.
    """
    if re.fullmatch(r"(19|20)\d{6}", text, re.ASCII):
        raise ValueError(f"{EXPECTED_ANY}; {text} may be a date without its hyphens")
    if re.fullmatch(r"\d{4}-\d\d-\d\d", text, re.ASCII):
        text += "T00:00Z"
    elif _BLANK.search(text):
        text = "+".join(text.rsplit(" ", 1))
    elif re.fullmatch(r"-?\d{12,25}", text, re.ASCII):
        return _from_small_unit(int(text))
    try:
        return _from_other_iso(text) or parse_time(text)
    except ValueError as error:
        raise ValueError(f"{EXPECTED_ANY}{str(error).removeprefix(EXPECTED)}") from None


def _from_small_unit(number: int) -> datetime:
    """Return the time of milliseconds, microseconds or nanoseconds since 1970."""
    if abs(number) >= _LEAST["nanoseconds"]:
        micros = number // 1000
    else:
        micros = number if abs(number) >= _LEAST["microseconds"] else number * 1000
    try:
        return _EPOCH + timedelta(microseconds=micros)
    except OverflowError:
        raise ValueError(f"{EXPECTED_ANY}; {number} lies beyond the year 9999") from None


def _from_other_iso(text: str) -> datetime | None:
    """Return the time of ISO 8601 with a zone but without separators; None for other text."""
    if not _OTHER_ISO.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


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
