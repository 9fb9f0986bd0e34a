"""Identity of a trade: when two deliveries are the same one."""

from decimal import Decimal

import pytest

from candlewax.core.trades.contradictions import ContradictionFinder
from candlewax.core.trades.identity import drop_repeats, is_same_time
from tests.core.trades.test_contradictions import Stored, admit, plain, trades


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (5_500, 5_500, True), (5_500, 5_501, True), (5_500, 5_502, False), (5_999, 6_000, True),
        (5_000, 5_999, True), (5_000, 6_000, False), (4_998, 5_000, False), (5_001, 5_999, False),
    ],
    ids=["equal", "one off", "two off", "one off in another millisecond", "in milliseconds",
         "the next millisecond", "two before", "neither in milliseconds"],
)  # fmt: skip
def test_times_of_one_trade_differ_by_their_unit_or_by_a_microsecond(
    one: int, other: int, *, same: bool
) -> None:
    """Whichever comes first, and in both ways of comparing."""
    assert is_same_time(one, other) is is_same_time(other, one) is same
    came, stored = (plain(trades([(1, time, 1, 1, 1)])) for time in (one, other))
    left = drop_repeats(came.with_row_index("place"), stored)
    assert left.is_empty() is same


def test_contradiction_names_the_stored_trade_that_is_nearest_in_time() -> None:
    """Of several under one number, on either side."""
    stored = Stored([(1, 1_000, 1, 1, 1), (1, 5_000, 1, 2, 1), (1, 9_000, 1, 3, 1)])
    for time, price in ((0, 1), (5_001, 2), (6_999, 2), (7_001, 3), (90_000, 3)):
        finder = ContradictionFinder("x", stored)
        found = finder.find(trades([(1, time, 1, 7, 1)]), admit([False]), {}).contradictions
        assert found["their_price"].to_list() == [Decimal(price)]
