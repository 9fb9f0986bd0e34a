"""Which trades are asked for, and what answers prove."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.gaps.fill_plan import (
    MAX_GAP_NUMBERS,
    RETRY_PREFIX,
    FillCursor,
    FillGap,
    FillResult,
    FillStatus,
    GapGroup,
    group_gaps,
    remove_numbers,
    too_long_reason,
)
from candlewax.core.trades.limits import SLACK_US
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.rest import Cursor, Page, RestRules

HOUR = 3_600_000_000
SPOT = EXCHANGES["binance"].rest


def gap(first: int, last: int, symbol: str = "BTC/USDT", after: int = 2_000) -> FillGap:
    return FillGap(symbol, first, last, 1_000, after)


def walk(*gaps: FillGap, rest: RestRules = SPOT, key: str | None = None) -> FillCursor:
    return FillCursor(GapGroup(gaps), rest, key, settle_us=10)


def page(*numbers: int, until_ns: int = 0) -> Page:
    return Page(numbers, [0] * len(numbers), until_ns)


def test_neighbours_share_a_page() -> None:
    """If it holds them and the numbers around them; other symbols never."""
    near = [gap(10, 11), gap(14, 14), gap(20, 20)]
    other = gap(12, 13, "ETH/USDT")
    found = group_gaps([near[2], other, near[0], near[1]], 13)
    assert [stretch.gaps for stretch in found] == [(other,), (near[0], near[1], near[2])]
    assert [stretch.gaps for stretch in group_gaps(near, 12)] == [(near[2],), (near[0], near[1])]


def test_gaps_of_two_numberings_are_asked_for_apart() -> None:
    """The same numbers are other trades."""
    old, new = gap(10, 11), replace(gap(13, 13), numbering=1)
    assert [stretch.gaps for stretch in group_gaps([old, new], 1_000)] == [(new,), (old,)]


@given(st.sets(st.integers(2, 400), max_size=60), st.integers(3, 100))
def test_every_gap_is_in_one_stretch(numbers: set[int], size: int) -> None:
    """None is lost and none is asked for twice."""
    gaps = [gap(number, number) for number in numbers]
    found = group_gaps(gaps, size)
    assert sorted(one for stretch in found for one in stretch.gaps) == sorted(gaps)
    for stretch in found:
        assert len(stretch.gaps) == 1 or stretch.last - stretch.first + 3 <= size


def test_what_is_asked_for() -> None:
    """The number before the gap, the gap, and the number behind it; no page more than full."""
    assert walk(gap(10, 12)).next_path("X") == "/api/v3/historicalTrades?symbol=X&fromId=9&limit=5"
    assert walk(gap(10, 5000)).next_path("X").endswith("fromId=9&limit=1000")
    kraken = walk(gap(10, 12), rest=EXCHANGES["kraken"].rest)
    assert kraken.cursor == Cursor(9, 0)
    later = replace(gap(10, 12), before=7_000_000)
    kraken = walk(later, rest=EXCHANGES["kraken"].rest)
    # A millisecond before the trade in front of the gap.
    assert kraken.next_path("BTC/USD").endswith("count=1000&since=6999000000")


def test_all_that_was_missing_came() -> None:
    """Once a number behind the gap is shown, there is nothing more to ask."""
    found = walk(gap(10, 12), gap(14, 14))
    assert found.add_page(page(9, 10, 11))
    assert found.cursor == Cursor(12, 0)
    assert not found.add_page(page(12, 13, 14, 15))
    assert [found.result(one, HOUR).status for one in found.group.gaps] == [
        FillStatus.FILLED,
        FillStatus.FILLED,
    ]


def test_numbers_that_answers_span_do_not_exist() -> None:
    """A gap of which some came stays a gap for ever; others of its stretch are filled."""
    found = walk(gap(10, 12), gap(14, 14))
    assert not found.add_page(page(9, 10, 12, 13, 14, 15))
    first, second = found.group.gaps
    assert found.result(first, HOUR).status is FillStatus.UNAVAILABLE
    assert "1 of 3 numbers" in found.result(first, HOUR).reason
    assert "from 9 to 15" in found.result(first, HOUR).reason
    assert found.result(second, HOUR).status is FillStatus.FILLED


def test_what_just_happened_may_be_shown_later() -> None:
    """An answer given at once proves nothing: REST may be behind."""
    found = walk(gap(10, 12))
    found.add_page(page(9, 13))
    assert found.result(found.group.gaps[0], 2_010).status is FillStatus.RETRY
    assert found.result(found.group.gaps[0], 2_011).status is FillStatus.UNAVAILABLE


@pytest.mark.parametrize(
    ("times", "fate"),
    [([1_000, 1_500, 2_000], FillStatus.FILLED), ([1_000, -HOUR, 2_000], FillStatus.UNAVAILABLE),
     ([1_000, 2_000 + HOUR, 3 * HOUR], FillStatus.UNAVAILABLE),
     # A second outside its neighbours, and a microsecond more.
     ([1_000, 1_000 - SLACK_US, 2_000], FillStatus.FILLED),
     ([1_000, 999 - SLACK_US, 2_000], FillStatus.UNAVAILABLE),
     ([1_000, 2_000 + SLACK_US, 2_000], FillStatus.FILLED),
     ([1_000, 2_001 + SLACK_US, 2_000], FillStatus.UNAVAILABLE)],
)  # fmt: skip
def test_numbers_of_trades_of_another_time_fill_no_gap(times: list[int], fate: FillStatus) -> None:
    """An exchange that has begun its numbers anew shows others under them."""
    found = walk(gap(10, 10))
    found.add_page(Page([9, 10, 11], times))
    outcome = found.result(found.group.gaps[0], HOUR)
    assert outcome.status is fate
    assert ("other trades under 1 of 1 numbers" in outcome.reason) is (
        fate is FillStatus.UNAVAILABLE
    )


def test_an_answer_may_begin_too_late() -> None:
    """The exchange shows no older trades."""
    found = walk(gap(10, 12))
    assert not found.add_page(page(50, 51))
    outcome = found.result(found.group.gaps[0], HOUR)
    assert (outcome.status, outcome.reason) == (
        FillStatus.UNAVAILABLE,
        "too old: the exchange shows trades from 50 on",
    )


def test_an_answer_may_end_too_soon() -> None:
    """What is behind the gap was seen, so the exchange has yet to show it."""
    found = walk(gap(10, 12))
    assert found.add_page(page(9, 10))
    assert not found.add_page(page(9, 10))
    outcome = found.result(found.group.gaps[0], HOUR)
    assert outcome.status is FillStatus.RETRY
    assert "up to 10 only" in outcome.reason


def test_nothing_at_all_is_believed_after_an_hour() -> None:
    """Before, the exchange may only be slow."""
    found = walk(gap(10, 12))
    assert not found.add_page(page())
    assert found.result(found.group.gaps[0], 2_000 + HOUR).status is FillStatus.RETRY
    assert found.result(found.group.gaps[0], 2_001 + HOUR).status is FillStatus.UNAVAILABLE


def test_a_refusal_proves_nothing() -> None:
    """But what had come before it counts."""
    found = walk(gap(10, 10), gap(20, 20))
    found.add_page(page(9, 10, 11))
    first, second = found.group.gaps
    assert found.result_after_refusal(first, "status 503", HOUR).status is FillStatus.FILLED
    outcome = found.result_after_refusal(second, "status 503", HOUR)
    assert (outcome.status, outcome.reason) == (FillStatus.RETRY, "status 503")


@pytest.mark.parametrize("last", [11, 12])
def test_refusal_before_the_number_behind_a_gap_proves_nothing(last: int) -> None:
    """Also if the last answer ended with the last number of the gap: others may follow."""
    found = walk(gap(10, 12))
    assert found.add_page(page(9, last))
    outcome = found.result_after_refusal(found.group.gaps[0], "status 503", HOUR)
    assert (outcome.status, outcome.reason) == (FillStatus.RETRY, "status 503")
    assert not found.add_page(page(13))
    assert (
        found.result_after_refusal(found.group.gaps[0], "status 503", HOUR).status
        is FillStatus.UNAVAILABLE
    )


def test_trade_that_two_pages_hold_counts_once() -> None:
    """A page may begin with the trade that ended the one before."""
    found = walk(gap(10, 13))
    assert found.add_page(page(9, 10, 11))
    assert not found.add_page(page(11, 13, 14))
    outcome = found.result(found.group.gaps[0], HOUR)
    assert outcome.status is FillStatus.UNAVAILABLE
    assert "1 of 4 numbers" in outcome.reason


def test_without_a_key_only_the_newest_are_asked_for() -> None:
    """What they do not reach is not given up: a key may come."""
    rest = EXCHANGES["binance_usdm"].rest
    found = walk(gap(10, 12), rest=rest, key="THE_KEY")
    assert found.next_path("X") == "/fapi/v1/trades?symbol=X&limit=1000"
    assert not found.add_page(page(50, 51))
    outcome = found.result(found.group.gaps[0], HOUR)
    assert outcome.status is FillStatus.RETRY
    assert "THE_KEY" in outcome.reason
    found = walk(gap(10, 12), rest=rest, key="THE_KEY")
    found.add_page(page(8, 9, 10, 11, 12, 13))
    assert found.result(found.group.gaps[0], HOUR).status is FillStatus.FILLED


@given(
    st.sets(st.integers(1, 300), min_size=2),
    st.lists(st.tuples(st.integers(2, 290), st.integers(0, 9)), min_size=1, max_size=1),
    st.integers(3, 40),
    st.sampled_from(["binance", "coinbase"]),
)
def test_a_walk_finds_all_there_is(
    there: set[int], holes: list[tuple[int, int]], size: int, exchange: str
) -> None:
    """Whatever numbers an exchange has, in pages of whatever size, what came is what it has of
    the gap, and the rest is never to come.
    """
    (first, more), *_ = holes
    one = gap(first, first + more)
    there |= {one.first - 1, one.last + 1}
    rest = replace(EXCHANGES[exchange].rest, page_rows=size)
    found, asked = walk(one, rest=rest), 0
    came: set[int] = set()
    while True:
        query = dict(part.split("=") for part in found.next_path("X").partition("?")[2].split("&"))
        limit, ordered = int(query["limit"]), sorted(there)
        if exchange == "binance":
            answer = [n for n in ordered if n >= int(query["fromId"])][:limit]
        else:
            answer = [n for n in ordered if n < int(query["after"])][-limit:]
        came.update(answer)
        asked += 1
        assert asked < 50
        if not found.add_page(page(*answer)):
            break
    wanted = set(range(one.first, one.last + 1))
    assert came >= wanted & there
    fate = found.result(one, HOUR).status
    assert fate is (FillStatus.FILLED if wanted <= there else FillStatus.UNAVAILABLE)


@pytest.mark.parametrize(("size", "long"), [(MAX_GAP_NUMBERS, False), (MAX_GAP_NUMBERS + 1, True)])
def test_what_is_too_long_is_not_asked_for(size: int, long: bool) -> None:
    """It would keep the exchange busy for long; and nobody is sent to fetch trillions."""
    reason = too_long_reason(gap(10, 9 + size))
    assert (reason is not None) is long
    assert reason is None or "backfill" not in reason


@pytest.mark.parametrize(
    ("before", "now", "proven"),
    [
        ("", "too old: the exchange shows trades from 50 on", False),
        ("status 503", "too old: the exchange shows trades from 50 on", False),
        # The same, whatever the numbers are.
        (
            f"{RETRY_PREFIX}too old: the exchange shows trades from 1,050 on",
            "too old: the exchange shows trades from 70 on",
            True,
        ),
        # Another reason is another single answer.
        (
            f"{RETRY_PREFIX}too old: the exchange shows trades from 50 on",
            "the exchange does not have 1 of 3 numbers: its answer goes from 9 to 15 without them",
            False,
        ),
        (f"{RETRY_PREFIX}Invalid symbol.", "Invalid symbol.", True),
        ("Invalid symbol.", "Invalid symbol.", False),
    ],
)
def test_two_answers_prove_what_both_say(before: str, now: str, *, proven: bool) -> None:
    """One that says something else is looked at once more, for its own reason."""
    found = FillResult(FillStatus.UNAVAILABLE, now).confirm(before)
    assert found == (
        FillResult(FillStatus.UNAVAILABLE, now)
        if proven
        else FillResult(FillStatus.RETRY, RETRY_PREFIX + now)
    )


@pytest.mark.parametrize("fate", [FillStatus.FILLED, FillStatus.RETRY])
def test_what_proves_nothing_needs_no_second_answer(fate: FillStatus) -> None:
    """It stays what it is."""
    assert FillResult(fate, "so").confirm(f"{RETRY_PREFIX}too old") == FillResult(fate, "so")


def test_kinds_of_reasons() -> None:
    """Numbers differ from gap to gap, statuses do not."""
    assert remove_numbers("status 503") == "status 503" != remove_numbers("status 429")
    assert remove_numbers("its answer goes from 9 to 1,500 without them") == (
        "its answer goes from … to … without them"
    )
    assert (
        remove_numbers("no answer from 127.0.0.1: refused") == "no answer from 127.0.0.1: refused"
    )


def test_rows_that_cannot_be_read_are_no_proof_of_absence() -> None:
    """They may be what is missing, and the reason says so."""
    found = walk(gap(10, 12))
    assert not found.add_page(Page((9, 10, 13), (0, 0, 0), 0, 2))
    outcome = found.result(found.group.gaps[0], HOUR)
    assert outcome.status is FillStatus.UNAVAILABLE
    assert outcome.reason == "2 rows of the exchange's answers cannot be read, see dead_letters"


@pytest.mark.parametrize("size", [999, 1000, 1001])
def test_windows_at_the_bound_of_a_page(size: int) -> None:
    """A gap of about a page of a venue that answers windows of numbers: the page in front of it,
    the last one, and nothing beyond the number behind it.
    """
    rest = EXCHANGES["coinbase"].rest
    one = gap(10, 9 + size)
    found, asked = walk(one, rest=rest), []
    while True:
        query = dict(part.split("=") for part in found.next_path("X").partition("?")[2].split("&"))
        after, limit = int(query["after"]), int(query["limit"])
        asked.append((after - limit, after - 1))
        if not found.add_page(page(*range(after - limit, after))):
            break
    numbers = [number for first, last in asked for number in range(first, last + 1)]
    assert numbers == list(range(9, 9 + size + 2))
    assert all(last - first < rest.page_rows for first, last in asked)
    assert found.result(one, HOUR).status is FillStatus.FILLED
