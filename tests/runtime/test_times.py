"""Times in the forms that users and programs write."""

import re
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import candlewax
from candlewax.runtime.times import parse_time, parse_time_of_any_unit, parse_time_or_utc

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
def test_unreadable_time_is_refused_with_a_hint(text: str, hint: str) -> None:
    """The message names the expected form, the given text and the probable mistake."""
    with pytest.raises(ValueError, match="takes ISO 8601 with its zone") as error:
        parse_time(text)
    assert hint in str(error.value)


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)),  # noqa: DTZ001 - zones are drawn
    st.integers(-14 * 60, 14 * 60),
)
def test_each_form_of_a_time_gives_the_same_value(naive: datetime, minutes: int) -> None:
    """ISO 8601 in any zone, and a number of seconds."""
    time = naive.replace(tzinfo=timezone(timedelta(minutes=minutes)))
    assert parse_time(time.isoformat()) == time
    since = time - datetime(1970, 1, 1, tzinfo=UTC)
    micros = since // timedelta(microseconds=1)
    assert parse_time(f"{micros // 10**6}.{micros % 10**6:06}") == time


@given(st.text(max_size=40))
def test_any_other_text_is_refused_with_the_expected_form(text: str) -> None:
    """Or it is a time; no other error is raised."""
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
def test_time_without_a_zone_is_utc(text: str, time: datetime) -> None:
    """A date is its midnight."""
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
def test_ambiguous_or_unreadable_time_is_refused(text: str, hint: str) -> None:
    """The message names the accepted forms and the given text."""
    with pytest.raises(
        ValueError, match=r"^takes a date or a time, UTC if no zone is said"
    ) as error:
        parse_time_or_utc(text)
    assert str(error.value).endswith(hint)


def test_times_are_parsed_in_two_places_only() -> None:
    """One for users, one for exchanges: a third parser would accept other texts."""
    root = Path(candlewax.__file__).parent
    modules = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if re.search(r"\b(fromisoformat|strptime)\(", path.read_text("utf-8"))
    }
    assert modules == {"runtime/times.py", "exchanges/protocol/times.py"}


@pytest.mark.parametrize(
    "text",
    [
        "1789473600", "1789473600.0", "1789473600000", "1789473600000000", "1789473600000000999",
        "2026-09-15T12:00Z", "20260915T120000Z", "20260915T1200+0000", "2026-09-15T12Z",
        "2026-09-15T14:00:00 02:00", "2026-09-15t12:00:00,000z",
    ],
)  # fmt: skip
def test_time_of_any_unit_is_read(text: str) -> None:
    """By its size, and in the basic form of ISO 8601; a blank stands for a + in an address."""
    assert parse_time_of_any_unit(text) == NOON


def test_units_meet_where_the_numbers_of_digits_change() -> None:
    """The greatest seconds and the least of each other unit."""
    since = datetime(1970, 1, 1, tzinfo=UTC)
    assert parse_time_of_any_unit("99999999999") == since + timedelta(seconds=99_999_999_999)
    assert parse_time_of_any_unit("100000000000") == since + timedelta(seconds=10**8)
    assert parse_time_of_any_unit("99999999999999") == since + timedelta(milliseconds=10**14 - 1)
    assert parse_time_of_any_unit("100000000000000") == since + timedelta(seconds=10**8)
    assert parse_time_of_any_unit("100000000000000000") == since + timedelta(seconds=10**8)
    assert parse_time_of_any_unit("-100000000000") == since - timedelta(seconds=10**8)
    assert parse_time_of_any_unit("2026-09-15") == NOON.replace(hour=0)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("20260915", "without its hyphens"),
        ("2026-09-15T12:00:00", "has no zone"),
        ("2026-09-15T1200", "got"),
        ("20260931T120000Z", "got"),
        ("1789473600000.5", "looks like milliseconds"),
        ("9" * 25, "year 9999"),
        ("yesterday", "got 'yesterday'"),
        ("2026-09-31", "there is no time"),
    ],
)
def test_time_of_no_unit_is_refused_with_a_hint(text: str, hint: str) -> None:
    """The message names all that is taken."""
    with pytest.raises(ValueError, match="a date in UTC") as error:
        parse_time_of_any_unit(text)
    assert hint in str(error.value)


@given(st.text(max_size=40))
def test_any_text_is_a_time_of_some_unit_or_refused(text: str) -> None:
    """No other error is raised."""
    try:
        assert parse_time_of_any_unit(text).tzinfo is UTC
    except ValueError as error:
        assert str(error).startswith("takes ISO 8601")  # noqa: PT017 - a text may be a time
