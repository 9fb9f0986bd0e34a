"""Pauses of the REST client: rate limits, Retry-After and backoff."""

import random
import time

import pytest

from tests.support.rest_client import (
    OK_RESPONSE,
    Clock,
    Response,
    make_client,
    request_refused,
    serving,
)


def test_requests_stay_within_rate_and_burst() -> None:
    clock = Clock()
    with serving(OK_RESPONSE) as server:
        rest_client = make_client(server, clock, requests_per_s=4.0, burst=3)
        for _ in range(7):
            rest_client.ask("/x")
    assert clock.waits == pytest.approx([0.25] * 4)
    clock.now += 60
    with serving(OK_RESPONSE) as server:
        rest_client = make_client(server, clock, requests_per_s=4.0, burst=3)
        for _ in range(4):
            rest_client.ask("/x")
    assert len(clock.waits) == 5


def test_client_waits_for_retry_after_of_429_and_418() -> None:
    """After a success, it waits no more."""
    clock = Clock()
    slow = (429, {"Retry-After": "7"}, b'{"code":-1003,"msg":"Too much request weight used."}')
    ban = (418, {"Retry-After": "120"}, b'{"code":-1003,"msg":"banned"}')
    with serving(slow, ban, OK_RESPONSE, OK_RESPONSE) as server:
        rest_client = make_client(server, clock)
        assert not request_refused(rest_client).is_permanent
        assert not request_refused(rest_client).is_permanent
        rest_client.ask("/x")
        rest_client.ask("/x")
    assert clock.waits == [7, 120]


@pytest.mark.parametrize("retry_after", ["soon", "-1", "Wed, 21 Oct 2026 07:28:00 GMT", "9" * 40])
def test_invalid_retry_after_is_ignored_and_a_long_one_is_limited(retry_after: str) -> None:
    """At most three days."""
    clock = Clock()
    with serving((429, {"Retry-After": retry_after}, b"{}"), OK_RESPONSE) as server:
        rest_client = make_client(server, clock)
        request_refused(rest_client)
        rest_client.ask("/x")
    assert clock.waits == [3 * 86400.0 if retry_after.startswith("9") else 1]


def test_backoff_doubles_up_to_its_maximum_and_resets_after_success() -> None:
    clock = Clock()
    with serving(*[(503, {}, b"<html>")] * 5, OK_RESPONSE, (500, {}, b""), OK_RESPONSE) as server:
        rest_client = make_client(server, clock)
        for _ in range(5):
            assert request_refused(rest_client).reason == "status 503"
        rest_client.ask("/x")
        request_refused(rest_client)
        rest_client.ask("/x")
    assert clock.waits == [1, 2, 4, 8, 8, 1]


def test_retry_after_extends_the_backoff_and_never_shortens_it() -> None:
    """After failures, the backoff continues to grow on a rate limit."""
    failed: Response = (503, {}, b"<html>")
    for retry_after, last_wait in (("2", 8), ("30", 30)):
        clock = Clock()
        with serving(
            failed, failed, failed, (429, {"Retry-After": retry_after}, b"{}"), OK_RESPONSE
        ) as server:
            rest_client = make_client(server, clock)
            for status in (503, 503, 503, 429):
                assert request_refused(rest_client).reason == f"status {status}"
            rest_client.ask("/x")
        assert clock.waits == [1, 2, 4, last_wait]


def test_backoff_has_random_jitter_of_up_to_half() -> None:
    """Clients then do not return at the same time."""
    clock = Clock()
    with serving((500, {}, b"")) as server:
        rest_client = make_client(server, clock, random_numbers=random.Random(1))
        for _ in range(6):
            request_refused(rest_client)
    full = [1, 2, 4, 8, 8]
    assert all(
        longest / 2 <= wait <= longest for wait, longest in zip(clock.waits, full, strict=True)
    )
    assert clock.waits != full


def test_client_waits_for_the_next_minute_when_the_weight_is_spent() -> None:
    clock = Clock()
    spent = (200, {"X-MBX-USED-WEIGHT-1M": "5999"}, OK_RESPONSE[2])
    with serving(spent, OK_RESPONSE, OK_RESPONSE) as server:
        rest_client = make_client(server, clock)
        for _ in range(3):
            rest_client.ask("/x")
    (wait,) = clock.waits
    assert 0 < wait <= 60


@pytest.mark.parametrize(
    ("spent", "second", "waits"),
    [
        ("4500", 15, []), ("4501", 15, [45]), ("4501", 59, [1]), ("4501", 0, [60]), ("", 15, []),
        ("-9999", 15, []), ("9_999", 15, []),
    ],
)  # fmt: skip
def test_client_waits_until_the_wall_clock_minute_ends_above_the_weight_limit(
    monkeypatch: pytest.MonkeyPatch, spent: str, second: int, waits: list[float]
) -> None:
    """A header with an invalid count is ignored."""
    clock = Clock()
    monkeypatch.setattr(time, "time", lambda: 1_790_000_040.0 + second)
    with serving((200, {"X-MBX-USED-WEIGHT-1M": spent}, OK_RESPONSE[2]), OK_RESPONSE) as server:
        rest_client = make_client(server, clock)
        for _ in range(2):
            rest_client.ask("/x")
    assert clock.waits == waits
