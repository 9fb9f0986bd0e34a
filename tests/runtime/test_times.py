"""Times as people and programs write them."""

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import candlewax
from candlewax.runtime.times import parse_time, parse_time_or_utc

NOON = datetime(2026, 9, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "text",
    [
        "2026-09-15T12:00:00Z", "2026-09-15T12:00Z", "2026-09-15 12:00Z", "2026-09-15t12:00z",
        "2026-09-15T14:00+02:00", "2026-09-15T14:00:00+0200", "2026-09-15T14:00:00.000+02",
        "2026-09-15T05:30:00-06:30", "2026-09-15T12:00:00.000000000Z", "1789473600",
        "1789473600.0",
    ],
)  # fmt: skip
def test_time_with_a_zone_is_read(text: str) -> None:
    """With and without seconds, with any offset, or as seconds since 1970."""
    assert parse_time(text) == NOON


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("1789473600000", "looks like milliseconds"),
        ("1789473600000000", "looks like microseconds"),
        ("1789473600000000000", "looks like nanoseconds"),
        ("-1789473600000", "looks like milliseconds"),
        ("253402300800", "looks like milliseconds"),
        ("-99999999999", "year 9999"),
        ("2026-09-15T14:00:00 02:00", "%2B"),
        ("2026-09-15T14:00 0200", "%2B"),
        ("2026-09-15T12:00:00", "has no zone"),
        ("2026-09-15", "has no zone"),
        ("2026-09-31T12:00:00Z", "there is no time"),
        ("2026-09-15T25:00:00Z", "there is no time"),
        ("0001-01-01T00:00:00+14:00", "there is no time"),
        ("yesterday", "got 'yesterday'"),
        ("", "got ''"),
        ("1e9", "got '1e9'"),
        ("\N{ARABIC-INDIC DIGIT ONE}789473600", "got"),
    ],
)
def test_time_that_cannot_be_read_says_what_is_expected(text: str, hint: str) -> None:
    """And what came, with a guess at what was meant where there is one."""
    with pytest.raises(ValueError, match="takes ISO 8601 with its zone") as error:
        parse_time(text)
    assert hint in str(error.value)


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - zones are drawn
    st.integers(-14 * 60, 14 * 60),
)
def test_every_way_to_write_a_time_tells_the_same(naive: datetime, minutes: int) -> None:
    """As Python writes it, in any zone, and as a number."""
    time = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_time(time.isoformat()) == time
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    micros = since // timedelta(microseconds=1)
    assert parse_time(f"{micros // 10**6}.{micros % 10**6:06}") == time


@given(st.text(max_size=40))
def test_any_other_text_is_refused_with_a_sentence(text: str) -> None:
    """And with nothing else."""
    try:
        assert parse_time(text).tzinfo is UTC
    except ValueError as error:
        assert str(error).startswith("takes ISO 8601")  # noqa: PT017 - a text may be a time


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-09-15", NOON.replace(hour=0)),
        (" 2026-09-15T12:00 ", NOON),
        ("2026-09-15 12:00:00", NOON),
        ("2026-09-15T12:00:00.000000", NOON),
        ("2026-09-15T14:00+02:00", NOON),
        ("2026-09-15T12:00Z", NOON),
        ("1789473600", NOON),
    ],
)
def test_what_people_type_is_in_utc_unless_it_says_otherwise(text: str, time: datetime) -> None:
    """A date is its first moment."""
    assert parse_time_or_utc(text) == time


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("20260915", "20260915 may be a date without its hyphens"),
        ("2026-W38-2", "got '2026-W38-2'"),
        ("2026-09-31", "there is no time '2026-09-31T00:00Z'"),
        ("20260915T120000", "got '20260915T120000'"),
        ("1789473600000", "looks like milliseconds"),
        ("noon", "got 'noon'"),
        ("", "got ''"),
    ],
)
def test_what_nobody_can_read_is_not_guessed(text: str, hint: str) -> None:
    """A sentence says what is taken, and what came."""
    with pytest.raises(
        ValueError, match=r"^takes a date or a time, UTC if no zone is said"
    ) as error:
        parse_time_or_utc(text)
    assert str(error.value).endswith(hint)


def test_times_are_parsed_in_two_places_only() -> None:
    """One for people and programs, one for exchanges: a third would take other texts."""
    root = Path(candlewax.__file__).parent
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if re.search(r"\b(fromisoformat|strptime)\(", path.read_text("utf-8"))
    }
    assert found == {"runtime/times.py", "exchanges/protocol/times.py"}
