"""Comparison of one candle with the exchange's own."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from candlewax.core.candles.reconciliation import (
    Difference,
    OurCandle,
    Result,
    compare,
    format_value,
    missing_candle,
)
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.venue_candles import CandleRules, VenueCandle

OURS = OurCandle(
    60,
    open=Decimal("2.5"),
    high=Decimal(3),
    low=Decimal("2.25"),
    close=Decimal("2.75"),
    volume=Decimal(10),
    quote_volume=Decimal("27.1"),
    buy_volume=Decimal(4),
    buy_quote_volume=Decimal("10.5"),
    trade_count=7,
)
THEIRS = VenueCandle(60, "2.50", "3.00", "2.25", "2.750", "10.0", "27.10", "4", "10.5", None, 7)


def rules(exchange: str = "binance") -> CandleRules:
    """Return the rules of an exchange."""
    candles = EXCHANGES[exchange].candles
    assert candles is not None
    return candles


def _with(candle: VenueCandle, field: str, text: str) -> VenueCandle:
    values: dict[str, Any] = {field: text}
    return candle._replace(**values)


def test_equal_amounts_are_equal_however_written() -> None:
    """Trailing zeros say nothing."""
    assert compare(OURS, THEIRS, rules()).result is Result.EQUAL


@pytest.mark.parametrize(
    ("field", "text", "ours"),
    [
        ("open", "2.500000000001", "2.5"),
        ("high", "4", "3"),
        ("low", "2", "2.25"),
        ("close", "2.7", "2.75"),
        ("volume", "10.00000001", "10"),
        ("quote_volume", "27.2", "27.1"),
        ("buy_volume", "0", "4"),
        ("buy_quote_volume", "1e1", "10.5"),
    ],
)
def test_each_amount_is_compared_exactly(field: str, text: str, ours: str) -> None:
    """The difference has both values, without exponent and trailing zeros."""
    comparison = compare(OURS, _with(THEIRS, field, text), rules())
    theirs = {"1e1": "10"}.get(text, text)
    assert comparison.result is Result.DIFFERS
    assert comparison.differences == (Difference(field, ours, theirs),)


def test_count_of_trades_is_compared() -> None:
    """Several differences are told in the order of the fields."""
    comparison = compare(OURS, THEIRS._replace(trade_count=8, low="1"), rules())
    assert comparison.differences == (
        Difference("low", "2.25", "1"),
        Difference("trade_count", "7", "8"),
    )


def test_field_that_the_exchange_does_not_publish_is_not_compared() -> None:
    """Coinbase publishes prices and volume only."""
    bare = VenueCandle(60, "2.5", "3", "2.25", "2.75", "10")
    assert compare(OURS, bare, rules("coinbase")).result is Result.EQUAL


@pytest.mark.parametrize(
    ("vwap", "result"),
    [
        ("2.7", Result.EQUAL),
        ("2.71", Result.EQUAL),
        ("2.8", Result.DIFFERS),
        ("2.700", Result.DIFFERS),
    ],
)
def test_vwap_is_compared_as_far_as_it_was_cut(vwap: str, result: Result) -> None:
    """27.1 / 10 is 2.71."""
    theirs = VenueCandle(60, "2.5", "3", "2.25", "2.75", "10", vwap=vwap, trade_count=7)
    assert compare(OURS, theirs, rules("kraken")).result is result


def test_minute_that_the_exchange_left_out_is_unavailable() -> None:
    """The reason says so."""
    comparison = compare(OURS, None, rules("coinbase"))
    assert comparison.result is Result.UNAVAILABLE
    assert comparison.reason == "the exchange shows no candle of this minute"


@pytest.mark.parametrize(
    ("theirs", "decimals", "result"),
    [
        # Seven trades lost less than seven units of the eighth decimal.
        ("0.12345678", 8, Result.EQUAL),
        ("0.12345672", 8, Result.EQUAL),
        ("0.12345671", 8, Result.DIFFERS),
        ("0.12345679", 8, Result.DIFFERS),
        ("0.12345678", None, Result.DIFFERS),
    ],
)
def test_quote_volume_may_be_cut_trade_by_trade(
    theirs: str, decimals: int | None, result: Result
) -> None:
    """Only at an exchange that does so, and only if ours has more decimals."""
    ours = OURS._replace(quote_volume=Decimal("0.123456789"))
    their_candle = THEIRS._replace(quote_volume=theirs)
    own_rules = replace(rules(), quote_decimals=decimals)
    assert compare(ours, their_candle, own_rules).result is result


def test_quote_volume_that_needs_no_cut_must_be_equal() -> None:
    """One unit of the last decimal is a difference."""
    ours = OURS._replace(quote_volume=Decimal("0.12345678"))
    theirs = THEIRS._replace(quote_volume="0.12345677")
    assert compare(ours, theirs, rules()).result is Result.DIFFERS


def test_candle_that_we_lack_differs_in_every_published_field() -> None:
    """Ours is empty."""
    comparison = missing_candle(VenueCandle(60, "2.50", "3", "2.25", "2.75", "10", trade_count=7))
    assert comparison.result is Result.DIFFERS
    assert comparison.differences == (
        Difference("open", "", "2.5"),
        Difference("high", "", "3"),
        Difference("low", "", "2.25"),
        Difference("close", "", "2.75"),
        Difference("volume", "", "10"),
        Difference("trade_count", "", "7"),
    )
    assert str(comparison.differences[0]) == "open: ours none, theirs 2.5"


@pytest.mark.parametrize(
    ("value", "text"),
    [(Decimal("1E+2"), "100"), (Decimal("0.000000000000"), "0"), ("1e-8", "0.00000001"), (7, "7")],
)
def test_value_is_written_in_full(value: Decimal | str | int, text: str) -> None:
    """Without an exponent."""
    assert format_value(value) == text
