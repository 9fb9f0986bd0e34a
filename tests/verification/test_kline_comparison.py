"""The comparison with klines counts each difference once."""

from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from candlewax.verification.kline_comparison import OURS, Score, compare
from candlewax.verification.klines import KLINES

MINUTE = 60_000_000

CANDLE: dict[str, Any] = {
    "open": Decimal("1.5"), "high": Decimal(2), "low": Decimal(1), "close": Decimal("1.7"),
    "volume": Decimal("10.1"), "quote_volume": Decimal("15.2"), "buy_volume": Decimal(3),
    "buy_quote_volume": Decimal("4.5"), "vwap": Decimal("1.504950495049"), "trade_count": 7,
}  # fmt: skip


def theirs(*rows: dict[str, Any]) -> pl.DataFrame:
    """Published klines, without an average unless a row has one."""
    plain = {**CANDLE, "vwap": None, "vwap_digits": None}
    return pl.DataFrame([{**plain, **row} for row in rows], schema=KLINES)


def ours(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame([{**CANDLE, "status": "complete", **row} for row in rows], schema=OURS)


def at(*minutes: int) -> list[dict[str, Any]]:
    return [{"window_start": minute * MINUTE} for minute in minutes]


def score(
    published: pl.DataFrame, stored: pl.DataFrame, begin: int = 0, end: int = 99 * MINUTE
) -> Score:
    return compare(published, stored, begin, end)


def test_equal_candles_agree() -> None:
    """No other count is set."""
    assert score(theirs(*at(1, 2)), ours(*at(1, 2))) == Score(compared=2, equal=2)


@pytest.mark.parametrize("field", [name for name in CANDLE if name != "vwap"])
def test_smallest_difference_of_each_field_is_found(field: str) -> None:
    """The example names the candle and the field."""
    step = 1 if field == "trade_count" else Decimal("0.000000000001")
    wrong = {"window_start": MINUTE, field: CANDLE[field] + step}
    result = score(theirs(wrong, *at(2)), ours(*at(1, 2)))
    assert (result.compared, result.equal, result.differing, result.known) == (2, 1, 1, 0)
    assert result.fields == {field: 1}
    assert not result.is_consistent
    (example,) = result.examples
    assert list(example["fields"]) == [field]
    assert example["window_start"] == "1970-01-01 00:01:00"


def test_difference_explained_by_the_certificate_is_no_failure() -> None:
    """It is counted as known."""
    partial = {"window_start": MINUTE, "high": Decimal(3), "status": "partial"}
    result = score(theirs(*at(1)), ours(partial))
    assert (result.differing, result.known, result.is_consistent) == (1, 1, True)


@pytest.mark.parametrize(
    ("digits", "vwap", "equal"),
    [
        (0, "1", 1),
        (1, "1.5", 1),
        (1, "1.6", 0),
        (3, "1.504", 1),
        (3, "1.505", 0),
        (12, "1.504950495049", 1),
    ],
)
def test_average_is_compared_to_the_published_precision(digits: int, vwap: str, equal: int) -> None:
    """Our average is truncated to its digits, not rounded."""
    average = {"window_start": MINUTE, "vwap": Decimal(vwap), "vwap_digits": digits}
    assert score(theirs(average), ours(*at(1))).equal == equal


def test_candle_of_one_side_only_is_counted_for_that_side() -> None:
    """Each has an example."""
    result = score(theirs(*at(1, 2, 4)), ours(*at(1, 3)))
    assert (result.compared, result.only_ours, result.only_theirs) == (1, 1, 2)
    assert not result.is_consistent
    assert [example["problem"] for example in result.examples] == [
        "only_ours",
        "only_theirs",
        "only_theirs",
    ]


def test_window_without_trades_needs_no_candle() -> None:
    """Exchanges publish klines without trades, and we store none. A candle there differs."""
    quiet = {"window_start": MINUTE, "trade_count": 0}
    result = score(theirs(quiet), ours())
    assert (result.empty, result.only_theirs, result.is_consistent) == (1, 0, True)
    assert score(theirs(quiet), ours(*at(1))).fields == {"trade_count": 1}


def test_klines_beyond_closed_candles_are_not_compared() -> None:
    """Before the first and after the last closed candle."""
    result = score(theirs(*at(1, 2, 3, 4)), ours(*at(2, 3)), 2 * MINUTE, 3 * MINUTE)
    assert (result.compared, result.beyond, result.only_theirs) == (2, 2, 0)
