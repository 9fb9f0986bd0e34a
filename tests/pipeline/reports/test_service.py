"""Lag of a process behind its topics, as its log says."""

import pytest

from candlewax.pipeline.reports.service import describe_lag


@pytest.mark.parametrize(
    ("lag", "caught_up", "seconds", "text"),
    [
        (999, 500, 10.0, ""),
        (6_000, 0, 0.0, ", 6,000 messages behind"),
        (6_000, -100, 10.0, ", 6,000 messages behind"),
        (
            6_000,
            1_000,
            10.0,
            ", 6,000 messages behind, catching up by 100 a second: 0:01:00 left",
        ),
    ],
)
def test_lag_is_told_with_the_time_left(
    lag: int, caught_up: int, seconds: float, text: str
) -> None:
    assert describe_lag(lag, caught_up, seconds) == text
