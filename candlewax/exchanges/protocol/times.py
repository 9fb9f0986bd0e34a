"""Times that exchanges write as text."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl

ISO_EXPECTED: Final = "an ISO 8601 time with its zone, such as 2026-09-15T12:00:07.5Z"

_ISO: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:(\.\d{1,6})\d*)?([Zz]|[+-]\d\d:?\d\d)", re.ASCII
)
_PLAIN: Final = r"^[12][0-9]{3}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,9})?Z$"
"""The one spelling that is read as a column; Polars would read others as well."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def iso_time(field: str) -> pl.Expr:
    """Return an ISO 8601 time in a text column as Int64, microseconds since 1970.

    Digits beyond the microsecond are cut. Null where the text is no such time, or names no zone.
    """
    return pl.col(field).map_batches(_microseconds, return_dtype=pl.Int64)


def _microseconds(texts: pl.Series) -> pl.Series:
    # Times in UTC are nearly all there are; an offset is read one by one.
    plain = texts.str.contains(_PLAIN)
    times = texts.str.strptime(pl.Datetime("us"), "%Y-%m-%dT%H:%M:%S%.fZ", strict=False)
    found = times.cast(pl.Int64)
    if not plain.all():
        found = found.zip_with(plain, pl.Series([None], dtype=pl.Int64))
    if found.null_count() == texts.null_count():
        return found
    missing = found.is_null().arg_true()
    return found.scatter(missing, [read_iso(text) for text in texts.gather(missing)])


def read_iso(text: str | None) -> int | None:
    """Return an ISO 8601 time with its zone in microseconds since 1970; None if it is none."""
    parts = _ISO.fullmatch(text or "")
    if parts is None:
        return None
    day, clock, fraction, zone = parts.groups()
    # Python knows no leap second; it is the first second of the next minute.
    leap = clock.endswith(":60")
    clock = clock[:-2] + "59" if leap else clock
    try:
        time = datetime.fromisoformat(f"{day}T{clock}{fraction or ''}{zone.upper()}")
        since = time - _EPOCH + timedelta(seconds=leap)
    except (ValueError, OverflowError):
        return None
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
