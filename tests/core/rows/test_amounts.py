"""Amounts as integers, against decimals in plain Python."""

from decimal import ROUND_HALF_EVEN, Context, Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from candlewax.core.rows.amounts import parse_amount, quote_volume

EXACT = Context(prec=80)


@given(st.integers(0, 10**31), st.integers(0, 10**31))
@example(1, 500_000)
@example(3, 500_000)
@example(1, 499_999)
@example(1, 500_001)
@example(5, 100_000)
@example(15, 100_000)
def test_quote_volume_is_the_product_rounded_half_even(price: int, quantity: int) -> None:
    """Quote volume has 18 decimals; price and quantity have 12."""
    product = EXACT.multiply(
        Decimal(price).scaleb(-12, EXACT), Decimal(quantity).scaleb(-12, EXACT)
    )
    rounded = product.quantize(Decimal("1e-18"), ROUND_HALF_EVEN, EXACT)
    assert quote_volume(price, quantity) == int(rounded.scaleb(18, EXACT))


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("0.000000000001", 1), ("0.0000000000001", None), ("1e-12", 1), ("1e-13", None),
        ("9" * 19, int("9" * 19) * 10**12), ("9" * 20, None), ("1e18", 10**30), ("1e19", None),
        ("", None), ("-1", None), ("1.", None),
    ],
)  # fmt: skip
def test_amount_has_at_most_nineteen_digits_and_twelve_decimals(
    text: str, units: int | None
) -> None:
    """Also with an exponent."""
    assert parse_amount(text) == units
