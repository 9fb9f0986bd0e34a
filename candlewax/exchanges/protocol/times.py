"""Times that exchanges send as text."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

import polars as pl

ISO_EXPECTED: Final = "an ISO 8601 time with its zone, such as 2026-09-15T12:00:07.5Z"

_ISO: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:(\.\d{1,6})\d*)?([Zz]|[+-]\d\d:?\d\d)", re.ASCII
)
_PLAIN: Final = r"^[12][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,9})?Z$"
"""The spelling that is parsed as a column. Polars would accept others that are no such time."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def iso_time(field: str) -> pl.Expr:
    """Return an ISO 8601 time of a text column as Int64, microseconds since 1970.

    Digits beyond the microsecond are cut. Null if the text is not a time with a zone.
    """
    return pl.col(field).map_batches(_to_microseconds, return_dtype=pl.Int64)


def _to_microseconds(texts: pl.Series) -> pl.Series:
    # Nearly all times are UTC; those with an offset are parsed one by one.
    plain = texts.str.contains(_PLAIN)
    times = texts.str.strptime(pl.Datetime("us"), "%Y-%m-%dT%H:%M:%S%.fZ", strict=False)
    parsed_us = times.cast(pl.Int64)
    if not plain.all():
        parsed_us = parsed_us.zip_with(plain, pl.Series([None], dtype=pl.Int64))
    if parsed_us.null_count() == texts.null_count():
        return parsed_us
    unparsed = parsed_us.is_null().arg_true()
    return parsed_us.scatter(unparsed, [parse_iso_time(text) for text in texts.gather(unparsed)])


def parse_iso_time(text: str | None) -> int | None:
    """Return an ISO 8601 time with its zone in microseconds since 1970, or None."""
    parts = _ISO.fullmatch(text or "")
    if parts is None:
        return None
    day, clock, fraction, zone = parts.groups()
    # Python knows no leap second; it is the first second of the next minute.
    is_leap = clock.endswith(":60")
    clock = clock[:-2] + "59" if is_leap else clock
    try:
        time = datetime.fromisoformat(f"{day}T{clock}{fraction or ''}{zone.upper()}")
        since_1970 = time - _EPOCH + timedelta(seconds=is_leap)
    except (ValueError, OverflowError):
        return None
    return (since_1970.days * 86_400 + since_1970.seconds) * 1_000_000 + since_1970.microseconds


_is_whole: Final = re.compile(r"[+-]?[0-9]{1,100}").fullmatch
_INT64_LIMIT: Final = 2**63


def parse_int64(text: str) -> int | None:
    """Return a whole number that fits 64 bits with a sign, or None."""
    if not _is_whole(text):
        return None
    number = int(text)
    return number if -_INT64_LIMIT <= number < _INT64_LIMIT else None


MS_EXPECTED: Final = "milliseconds since 1970"

_MS: Final = r"^[0-9]{1,15}$"
_is_ms: Final = re.compile(_MS).fullmatch


def ms_time(field: str) -> pl.Expr:
    """Return milliseconds of a text column as Int64, microseconds since 1970; null if none."""
    text = pl.col(field)
    return pl.when(text.str.contains(_MS)).then(text).cast(pl.Int64) * 1000


def parse_ms(text: str) -> int | None:
    """Return milliseconds since 1970 in microseconds, or None."""
    return int(text) * 1000 if _is_ms(text) else None


SECONDS_EXPECTED: Final = "seconds since 1970, with up to 6 decimals kept"

_match_seconds = re.compile(r"([0-9]{1,11})(?:\.([0-9]{1,6})[0-9]*)?").fullmatch


def seconds_time(field: str) -> pl.Expr:
    """Return seconds with a fraction of a text column as Int64, microseconds since 1970.

    Digits beyond the microsecond are cut. Null if the text is no such time.
    """
    # Polars rounds digits beyond the scale of a decimal, so they are cut first. The boundary keeps
    # whole digits from being cut, too: milliseconds are no seconds.
    cut = pl.col(field).str.extract(r"^([0-9]{1,11}\b(?:\.[0-9]{1,6})?)[0-9]*$")
    return (cut.cast(pl.Decimal(38, 6)) * 1_000_000).cast(pl.Int64)


def parse_seconds(text: str) -> int | None:
    """Return seconds with a fraction in microseconds since 1970, or None."""
    parts = _match_seconds(text)
    return int(parts[1] + (parts[2] or "").ljust(6, "0")) if parts else None


_US: Final = r"^[0-9]{1,18}$"
_is_us: Final = re.compile(_US).fullmatch


def us_time(field: str) -> pl.Expr:
    """Return microseconds since 1970 of a text column as Int64; null if none."""
    text = pl.col(field)
    return pl.when(text.str.contains(_US)).then(text).cast(pl.Int64)


def parse_us(text: str) -> int | None:
    """Return microseconds since 1970, or None."""
    return int(text) if _is_us(text) else None


def ns_time(field: str) -> pl.Expr:
    """Return nanoseconds of a text column as Int64, microseconds since 1970; null if none."""
    return pl.col(field).cast(pl.Int64, strict=False) // 1000


def parse_ns(text: str) -> int | None:
    """Return nanoseconds since 1970 in microseconds, or None."""
    time_ns = parse_int64(text)
    return None if time_ns is None else time_ns // 1000


class TimeForm(NamedTuple):
    """Form of a time: how a column of texts, and one text, are read; the text expected."""

    column: Callable[[str], pl.Expr]
    parse: Callable[[str], int | None]
    expected: str


ISO: Final = TimeForm(iso_time, parse_iso_time, ISO_EXPECTED)
SECONDS: Final = TimeForm(seconds_time, parse_seconds, SECONDS_EXPECTED)
MILLISECONDS: Final = TimeForm(ms_time, parse_ms, MS_EXPECTED)
MICROSECONDS: Final = TimeForm(us_time, parse_us, "microseconds since 1970")
NANOSECONDS: Final = TimeForm(ns_time, parse_ns, "nanoseconds since 1970")
