"""Chance and decimals of the simulator."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from candlewax.simulator.market.rng import below, decimal_text, generator, one_in, strip_zeros


def test_chance_is_the_same_everywhere() -> None:
    """A seed and a name give these numbers on every machine and every Python."""
    rng = generator(7, "trades")
    assert [below(rng, 1_000_000) for _ in range(4)] == [
        525_397,
        684_425,
        671_233,
        90_566,
    ]


def test_names_have_chances_of_their_own() -> None:
    """What is drawn under one name says nothing of another."""
    one, other = generator(7, "a"), generator(7, "b")
    assert [below(one, 2**31) for _ in range(4)] != [below(other, 2**31) for _ in range(4)]


@given(st.integers(1, 2**32 - 1), st.integers())
def test_numbers_stay_below_their_limit(limit: int, seed: int) -> None:
    """A number below a limit is at least zero and less than the limit."""
    rng = generator(seed, "limits")
    assert all(0 <= below(rng, limit) < limit for _ in range(20))


def test_one_in_many_is_rare() -> None:
    """Once in a hundred times is about once in a hundred times."""
    rng = generator(7, "rare")
    assert 50 < sum(one_in(rng, 100) for _ in range(10_000)) < 200


@given(st.integers(0, 10**20), st.integers(0, 12))
def test_decimals_are_written_out(units: int, decimals: int) -> None:
    """Units of the last place are written with all their decimals, none lost."""
    text = decimal_text(units, decimals)
    assert Decimal(text) == Decimal(units).scaleb(-decimals)
    assert len(text.partition(".")[2]) == decimals
    assert Decimal(strip_zeros(text)) == Decimal(text)


def test_zeros_at_the_end_are_trimmed() -> None:
    """Only zeros of the fraction are left out."""
    assert [strip_zeros(text) for text in ("100", "100.0", "1.050", "0.00000000")] == [
        "100",
        "100",
        "1.05",
        "0",
    ]
