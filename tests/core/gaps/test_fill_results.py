"""Results of REST answers: which gaps are filled, retried or unavailable."""

import pytest

from candlewax.core.gaps.fill_plan import RETRY_PREFIX, FillResult, FillStatus, remove_numbers
from candlewax.core.trades.limits import SLACK_US
from candlewax.exchanges.protocol.rest import Cursor, Page
from tests.support.fill_plan import HOUR, gap, page, walk


def test_gaps_are_filled_when_pages_hold_all_their_numbers() -> None:
    """The cursor ends with the page that holds a number after the last gap."""
    cursor = walk(gap(10, 12), gap(14, 14))
    assert cursor.add_page(page(9, 10, 11))
    assert cursor.cursor == Cursor(12, 0)
    assert not cursor.add_page(page(12, 13, 14, 15))
    assert [cursor.result(missing, HOUR).status for missing in cursor.group.gaps] == [
        FillStatus.FILLED,
        FillStatus.FILLED,
    ]


def test_gap_is_unavailable_when_a_page_skips_its_number() -> None:
    """Other gaps of the group that the page holds are filled."""
    cursor = walk(gap(10, 12), gap(14, 14))
    assert not cursor.add_page(page(9, 10, 12, 13, 14, 15))
    first, second = cursor.group.gaps
    assert cursor.result(first, HOUR).status is FillStatus.UNAVAILABLE
    assert "1 of 3 numbers" in cursor.result(first, HOUR).reason
    assert "from 9 to 15" in cursor.result(first, HOUR).reason
    assert cursor.result(second, HOUR).status is FillStatus.FILLED


def test_gap_is_retried_when_its_answer_came_within_the_settle_time() -> None:
    """REST may lag behind the feed, so an early answer proves nothing."""
    cursor = walk(gap(10, 12))
    cursor.add_page(page(9, 13))
    assert cursor.result(cursor.group.gaps[0], 2_010).status is FillStatus.RETRY
    assert cursor.result(cursor.group.gaps[0], 2_011).status is FillStatus.UNAVAILABLE


@pytest.mark.parametrize(
    ("times", "status"),
    [([1_000, 1_500, 2_000], FillStatus.FILLED), ([1_000, -HOUR, 2_000], FillStatus.UNAVAILABLE),
     ([1_000, 2_000 + HOUR, 3 * HOUR], FillStatus.UNAVAILABLE),
     # A second outside its neighbours, and a microsecond more.
     ([1_000, 1_000 - SLACK_US, 2_000], FillStatus.FILLED),
     ([1_000, 999 - SLACK_US, 2_000], FillStatus.UNAVAILABLE),
     ([1_000, 2_000 + SLACK_US, 2_000], FillStatus.FILLED),
     ([1_000, 2_001 + SLACK_US, 2_000], FillStatus.UNAVAILABLE)],
)  # fmt: skip
def test_gap_is_unavailable_when_its_number_belongs_to_a_trade_of_another_time(
    times: list[int], status: FillStatus
) -> None:
    """An exchange that restarted its numbering returns other trades under the same numbers."""
    cursor = walk(gap(10, 10))
    cursor.add_page(Page([9, 10, 11], times))
    result = cursor.result(cursor.group.gaps[0], HOUR)
    assert result.status is status
    assert ("other trades under 1 of 1 numbers" in result.reason) is (
        status is FillStatus.UNAVAILABLE
    )


def test_gap_is_unavailable_when_the_page_begins_after_it() -> None:
    """The exchange no longer returns trades that old."""
    cursor = walk(gap(10, 12))
    assert not cursor.add_page(page(50, 51))
    result = cursor.result(cursor.group.gaps[0], HOUR)
    assert (result.status, result.reason) == (
        FillStatus.UNAVAILABLE,
        "too old: the exchange shows trades from 50 on",
    )


def test_gap_is_retried_when_the_last_page_ends_before_its_end() -> None:
    """The feed brought the trade after the gap, so the exchange will return it later."""
    cursor = walk(gap(10, 12))
    assert cursor.add_page(page(9, 10))
    assert not cursor.add_page(page(9, 10))
    result = cursor.result(cursor.group.gaps[0], HOUR)
    assert result.status is FillStatus.RETRY
    assert "up to 10 only" in result.reason


def test_empty_page_makes_gap_unavailable_only_after_an_hour() -> None:
    """Within the hour, the exchange may only be slow."""
    cursor = walk(gap(10, 12))
    assert not cursor.add_page(page())
    assert cursor.result(cursor.group.gaps[0], 2_000 + HOUR).status is FillStatus.RETRY
    assert cursor.result(cursor.group.gaps[0], 2_001 + HOUR).status is FillStatus.UNAVAILABLE


def test_refused_request_is_retried_and_earlier_pages_count() -> None:
    """A gap that an earlier page filled stays filled."""
    cursor = walk(gap(10, 10), gap(20, 20))
    cursor.add_page(page(9, 10, 11))
    first, second = cursor.group.gaps
    assert cursor.result_after_refusal(first, "status 503", HOUR).status is FillStatus.FILLED
    result = cursor.result_after_refusal(second, "status 503", HOUR)
    assert (result.status, result.reason) == (FillStatus.RETRY, "status 503")


@pytest.mark.parametrize("last", [11, 12])
def test_gap_is_retried_when_refused_before_a_page_passed_its_end(last: int) -> None:
    """Even if the last page ends with the last number of the gap, more of its trades may follow."""
    cursor = walk(gap(10, 12))
    assert cursor.add_page(page(9, last))
    result = cursor.result_after_refusal(cursor.group.gaps[0], "status 503", HOUR)
    assert (result.status, result.reason) == (FillStatus.RETRY, "status 503")
    assert not cursor.add_page(page(13))
    assert (
        cursor.result_after_refusal(cursor.group.gaps[0], "status 503", HOUR).status
        is FillStatus.UNAVAILABLE
    )


def test_trade_in_two_pages_counts_once() -> None:
    """A page may begin with the last trade of the page before it."""
    cursor = walk(gap(10, 13))
    assert cursor.add_page(page(9, 10, 11))
    assert not cursor.add_page(page(11, 13, 14))
    result = cursor.result(cursor.group.gaps[0], HOUR)
    assert result.status is FillStatus.UNAVAILABLE
    assert "1 of 4 numbers" in result.reason


@pytest.mark.parametrize(
    ("before", "now", "proven"),
    [
        ("", "too old: the exchange shows trades from 50 on", False),
        ("status 503", "too old: the exchange shows trades from 50 on", False),
        # The same reason with other numbers.
        (
            f"{RETRY_PREFIX}too old: the exchange shows trades from 1,050 on",
            "too old: the exchange shows trades from 70 on",
            True,
        ),
        # Another reason needs a confirmation of its own.
        (
            f"{RETRY_PREFIX}too old: the exchange shows trades from 50 on",
            "the exchange does not have 1 of 3 numbers: its answer goes from 9 to 15 without them",
            False,
        ),
        (f"{RETRY_PREFIX}Invalid symbol.", "Invalid symbol.", True),
        ("Invalid symbol.", "Invalid symbol.", False),
    ],
)
def test_unavailable_result_is_confirmed_by_the_same_reason_twice(
    before: str, now: str, *, proven: bool
) -> None:
    """A first answer, or one with another reason, is retried once more."""
    result = FillResult(FillStatus.UNAVAILABLE, now).confirm(before)
    assert result == (
        FillResult(FillStatus.UNAVAILABLE, now)
        if proven
        else FillResult(FillStatus.RETRY, RETRY_PREFIX + now)
    )


@pytest.mark.parametrize("status", [FillStatus.FILLED, FillStatus.RETRY])
def test_filled_or_retry_result_needs_no_confirmation(status: FillStatus) -> None:
    assert FillResult(status, "so").confirm(f"{RETRY_PREFIX}too old") == FillResult(status, "so")


def test_remove_numbers_keeps_statuses_and_addresses() -> None:
    """Numbers of trades differ between gaps with the same reason."""
    assert remove_numbers("status 503") == "status 503" != remove_numbers("status 429")
    assert remove_numbers("its answer goes from 9 to 1,500 without them") == (
        "its answer goes from … to … without them"
    )
    assert (
        remove_numbers("no answer from 127.0.0.1: refused") == "no answer from 127.0.0.1: refused"
    )


def test_reason_counts_unreadable_rows_when_a_number_is_absent() -> None:
    """An unreadable row may be the missing trade."""
    cursor = walk(gap(10, 12))
    assert not cursor.add_page(Page((9, 10, 13), (0, 0, 0), 0, 2))
    result = cursor.result(cursor.group.gaps[0], HOUR)
    assert result.status is FillStatus.UNAVAILABLE
    assert result.reason == "2 rows of the exchange's answers cannot be read, see dead_letters"
