"""Random numbers and decimal text of the simulator."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from candlewax.simulator.market.rng import below, decimal_text, generator, one_in, strip_zeros


def test_random_numbers_depend_only_on_seed_and_name() -> None:
    """These are the numbers on every machine and with every Python."""
    rng = generator(7, "trades")
    assert [below(rng, 1_000_000) for _ in range(4)] == [
        525_397,
        684_425,
        671_233,
        90_566,
    ]


def test_each_name_has_its_own_random_numbers() -> None:
    first, second = generator(7, "a"), generator(7, "b")
    assert [below(first, 2**31) for _ in range(4)] != [below(second, 2**31) for _ in range(4)]


@given(st.integers(1, 2**32 - 1), st.integers())
def test_random_number_is_at_least_zero_and_below_its_limit(limit: int, seed: int) -> None:
    rng = generator(seed, "limits")
    assert all(0 <= below(rng, limit) < limit for _ in range(20))


def test_one_in_a_hundred_is_true_about_once_in_a_hundred() -> None:
    rng = generator(7, "rare")
    assert 50 < sum(one_in(rng, 100) for _ in range(10_000)) < 200


@given(st.integers(0, 10**20), st.integers(0, 12))
def test_decimal_text_has_every_decimal(units: int, decimals: int) -> None:
    """Without trailing zeros the text has the same value."""
    text = decimal_text(units, decimals)
    assert Decimal(text) == Decimal(units).scaleb(-decimals)
    assert len(text.partition(".")[2]) == decimals
    assert Decimal(strip_zeros(text)) == Decimal(text)


def test_only_zeros_of_the_fraction_are_stripped() -> None:
    assert [strip_zeros(text) for text in ("100", "100.0", "1.050", "0.00000000")] == [
        "100",
        "100",
        "1.05",
        "0",
    ]
