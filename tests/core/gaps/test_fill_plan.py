"""Grouping of gaps, and the REST requests for their trades."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.gaps.fill_plan import MAX_GAP_NUMBERS, FillStatus, group_gaps, too_long_reason
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.rest import Cursor
from tests.support.fill_plan import HOUR, gap, page, walk


def test_gaps_of_a_symbol_share_a_group_when_one_page_holds_them() -> None:
    """A page must also hold the number before and the number after; symbols never share a group."""
    near = [gap(10, 11), gap(14, 14), gap(20, 20)]
    other = gap(12, 13, "ETH/USDT")
    groups = group_gaps([near[2], other, near[0], near[1]], 13)
    assert [group.gaps for group in groups] == [(other,), (near[0], near[1], near[2])]
    assert [group.gaps for group in group_gaps(near, 12)] == [(near[2],), (near[0], near[1])]


def test_gaps_of_two_numberings_are_in_separate_groups() -> None:
    """Equal numbers of two numberings are different trades."""
    old, new = gap(10, 11), replace(gap(13, 13), numbering=1)
    assert [group.gaps for group in group_gaps([old, new], 1_000)] == [(new,), (old,)]


@given(st.sets(st.integers(2, 400), max_size=60), st.integers(3, 100))
def test_each_gap_is_in_exactly_one_group(numbers: set[int], size: int) -> None:
    """No gap is lost or requested twice, and a group of several gaps fits one page."""
    gaps = [gap(number, number) for number in numbers]
    groups = group_gaps(gaps, size)
    assert sorted(member for group in groups for member in group.gaps) == sorted(gaps)
    for group in groups:
        assert len(group.gaps) == 1 or group.last - group.first + 3 <= size


def test_request_covers_gap_and_one_number_on_each_side() -> None:
    """The limit is that of the gap plus its two neighbours, at most a full page."""
    assert walk(gap(10, 12)).next_path("X") == "/api/v3/historicalTrades?symbol=X&fromId=9&limit=5"
    assert walk(gap(10, 5000)).next_path("X").endswith("fromId=9&limit=1000")
    kraken = walk(gap(10, 12), rest=EXCHANGES["kraken"].rest)
    assert kraken.cursor == Cursor(9, 0)
    later_gap = replace(gap(10, 12), before=7_000_000)
    kraken = walk(later_gap, rest=EXCHANGES["kraken"].rest)
    # A millisecond before the trade in front of the gap.
    assert kraken.next_path("BTC/USD").endswith("count=1000&since=6999000000")


def test_cursor_without_api_key_requests_only_the_latest_trades() -> None:
    """A gap that they do not reach is retried, because a key may be configured later."""
    rest = EXCHANGES["binance_usdm"].rest
    cursor = walk(gap(10, 12), rest=rest, key="THE_KEY")
    assert cursor.next_path("X") == "/fapi/v1/trades?symbol=X&limit=1000"
    assert not cursor.add_page(page(50, 51))
    result = cursor.result(cursor.group.gaps[0], HOUR)
    assert result.status is FillStatus.RETRY
    assert "THE_KEY" in result.reason
    cursor = walk(gap(10, 12), rest=rest, key="THE_KEY")
    cursor.add_page(page(8, 9, 10, 11, 12, 13))
    assert cursor.result(cursor.group.gaps[0], HOUR).status is FillStatus.FILLED


@given(
    st.sets(st.integers(1, 300), min_size=2),
    st.lists(st.tuples(st.integers(2, 290), st.integers(0, 9)), min_size=1, max_size=1),
    st.integers(3, 40),
    st.sampled_from(["binance", "coinbase"]),
)
def test_cursor_requests_every_number_that_the_exchange_has(
    existing: set[int], gap_bounds: list[tuple[int, int]], size: int, exchange: str
) -> None:
    """Whichever numbers exist and however large a page is: existing trades are returned, and a gap
    of which any are missing is unavailable.
    """
    (first, extra), *_ = gap_bounds
    missing = gap(first, first + extra)
    existing |= {missing.first - 1, missing.last + 1}
    rest = replace(EXCHANGES[exchange].rest, page_rows=size)
    cursor, requests = walk(missing, rest=rest), 0
    received: set[int] = set()
    while True:
        query = dict(
            parameter.split("=") for parameter in cursor.next_path("X").partition("?")[2].split("&")
        )
        limit, ordered = int(query["limit"]), sorted(existing)
        if exchange == "binance":
            answer = [n for n in ordered if n >= int(query["fromId"])][:limit]
        else:
            answer = [n for n in ordered if n < int(query["after"])][-limit:]
        received.update(answer)
        requests += 1
        assert requests < 50
        if not cursor.add_page(page(*answer)):
            break
    missing_numbers = set(range(missing.first, missing.last + 1))
    assert received >= missing_numbers & existing
    status = cursor.result(missing, HOUR).status
    assert status is (FillStatus.FILLED if missing_numbers <= existing else FillStatus.UNAVAILABLE)


@pytest.mark.parametrize(
    ("size", "too_long"), [(MAX_GAP_NUMBERS, False), (MAX_GAP_NUMBERS + 1, True)]
)
def test_gap_is_too_long_above_max_gap_numbers(size: int, too_long: bool) -> None:
    """A longer gap would occupy the exchange's rate limit for hours."""
    reason = too_long_reason(gap(10, 9 + size))
    assert (reason is not None) is too_long
    assert reason is None or "backfill" not in reason


@pytest.mark.parametrize("size", [999, 1000, 1001])
def test_windowed_cursor_requests_each_number_once_at_the_page_limit(size: int) -> None:
    """Windows cover the number before the gap to the number after it, and nothing beyond."""
    rest = EXCHANGES["coinbase"].rest
    missing = gap(10, 9 + size)
    cursor, windows = walk(missing, rest=rest), []
    while True:
        query = dict(
            parameter.split("=") for parameter in cursor.next_path("X").partition("?")[2].split("&")
        )
        after, limit = int(query["after"]), int(query["limit"])
        windows.append((after - limit, after - 1))
        if not cursor.add_page(page(*range(after - limit, after))):
            break
    numbers = [number for first, last in windows for number in range(first, last + 1)]
    assert numbers == list(range(9, 9 + size + 2))
    assert all(last - first < rest.page_rows for first, last in windows)
    assert cursor.result(missing, HOUR).status is FillStatus.FILLED
