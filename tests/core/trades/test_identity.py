"""Identity of a trade: when two deliveries are the same trade."""

from decimal import Decimal

import pytest

from candlewax.core.trades.contradictions import ContradictionFinder
from candlewax.core.trades.identity import drop_repeats, is_same_time
from tests.core.trades.test_contradictions import StoredTrades, admission, content, trades


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (5_500, 5_500, True), (5_500, 5_501, True), (5_500, 5_502, False), (5_999, 6_000, True),
        (5_000, 5_999, True), (5_000, 6_000, False), (4_998, 5_000, False), (5_001, 5_999, False),
    ],
    ids=["equal", "one off", "two off", "one off in another millisecond", "in milliseconds",
         "the next millisecond", "two before", "neither in milliseconds"],
)  # fmt: skip
def test_times_are_the_same_when_they_differ_by_unit_or_one_microsecond(
    first: int, second: int, *, same: bool
) -> None:
    """In either order, and in both implementations."""
    assert is_same_time(first, second) is is_same_time(second, first) is same
    received, stored = (content(trades([(1, time, 1, 1, 1)])) for time in (first, second))
    left = drop_repeats(received.with_row_index("place"), stored)
    assert left.is_empty() is same


def test_contradiction_names_the_stored_trade_nearest_in_time() -> None:
    """Several stored trades share the number; the nearest may be earlier or later."""
    stored = StoredTrades([(1, 1_000, 1, 1, 1), (1, 5_000, 1, 2, 1), (1, 9_000, 1, 3, 1)])
    for time, price in ((0, 1), (5_001, 2), (6_999, 2), (7_001, 3), (90_000, 3)):
        finder = ContradictionFinder("x", stored)
        contradictions = finder.find(
            trades([(1, time, 1, 7, 1)]), admission([False]), {}
        ).contradictions
        assert contradictions["their_price"].to_list() == [Decimal(price)]
