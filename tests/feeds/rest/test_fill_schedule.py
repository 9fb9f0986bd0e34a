"""Schedule of gap fills: when a gap is requested, and how often."""

from dataclasses import replace

import pytest

from candlewax.clickhouse.gap_table import PendingGap
from candlewax.core.gaps.fill_plan import RETRY_PREFIX, FillGap
from candlewax.feeds.rest.fill_schedule import AttemptLog, FillTiming, Schedule

TIMING = FillTiming(settle_s=3, first_retry_s=5, max_retry_s=300)


@pytest.mark.parametrize(
    ("attempts", "age_s", "idle_s", "due"),
    [
        # The feed itself may still bring the trades of a new gap.
        (0, 2.9, 0.0, False),
        (0, 3.0, 0.0, True),
        (1, 100.0, 4.9, False),
        (1, 100.0, 5.0, True),
        (3, 100.0, 19.9, False),
        (3, 100.0, 20.0, True),
        (1000, 1e9, 299.0, False),
        (1000, 1e9, 300.0, True),
    ],
)
def test_gap_is_due_after_settling_and_after_doubling_pauses(
    attempts: int, age_s: float, idle_s: float, due: bool
) -> None:
    """The pauses double up to a maximum."""
    gap = FillGap("BTC/USDT", 2, 3, 0, 1, attempts)
    assert TIMING.is_due(PendingGap(gap, age_s, idle_s, {"reason": ""})) is due


def test_attempt_log_drops_closed_gaps() -> None:
    """A process that runs for months would otherwise collect them."""
    log = AttemptLog()
    for number in range(5):
        key = ("BTC/USDT", 1, number, number)
        log.attempts[key] = log.filled[key] = 2
        log.requested_at[key] = 7.0
    open_gaps = [FillGap("BTC/USDT", number, number, 0, 1, 2) for number in (1, 3)]
    log.keep([PendingGap(gap, 9.0, 9.0, {"numbering": 1}) for gap in open_gaps])
    expected = {("BTC/USDT", 1, 1, 1): 2, ("BTC/USDT", 1, 3, 3): 2}
    assert log.attempts == expected
    assert log.filled == expected
    assert log.requested_at == dict.fromkeys(expected, 7.0)
    log.keep([])
    assert log == AttemptLog()


UNCONFIRMED = {"reason": f"{RETRY_PREFIX}too old: the exchange shows trades from 50 on"}


@pytest.mark.parametrize("is_finite", [False, True])
def test_confirming_attempt_waits_by_the_monotonic_clock(*, is_finite: bool) -> None:
    """The table's times shift when the clock of the database is set."""
    now = 1000.0
    schedule = Schedule(replace(TIMING, confirm_s=180), is_finite=is_finite, now=lambda: now)
    gap = FillGap("BTC/USDT", 2, 3, 0, 1, 1)
    schedule.record(PendingGap(gap, 3600.0, 0.0, {"reason": ""}), is_final=False)
    for idle_s in (-3600.0, 3600.0):
        pending = PendingGap(gap, 3600.0, idle_s, UNCONFIRMED)
        now = 1179.9
        assert not schedule.is_due(pending)
        now = 1180.0
        assert schedule.is_due(pending)


@pytest.mark.parametrize(("idle_s", "due"), [(179.9, False), (180.0, True)])
def test_confirming_attempt_of_a_new_process_waits_by_the_table(
    idle_s: float, *, due: bool
) -> None:
    """The process did not make the first attempt."""
    schedule = Schedule(replace(TIMING, confirm_s=180), is_finite=True, now=lambda: 5.0)
    pending = PendingGap(FillGap("BTC/USDT", 2, 3, 0, 1, 1), 3600.0, idle_s, UNCONFIRMED)
    assert schedule.is_due(pending) is due


def test_finite_run_tries_each_gap_a_limited_number_of_times() -> None:
    """It tries no more once a result is final."""
    schedule = Schedule(replace(TIMING, tries=3), is_finite=True)
    retried, closed = (
        PendingGap(FillGap("X", n, n, 0, 1, 9), 9.0, 0.0, {"reason": ""}) for n in (1, 2)
    )
    for _ in range(3):
        assert schedule.is_due(retried)
        schedule.record(retried, is_final=False)
    assert not schedule.is_due(retried)
    schedule.record(closed, is_final=True)
    assert not schedule.is_due(closed)
