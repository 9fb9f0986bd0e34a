"""Binance USD-M futures, by frames of its documentation."""

from decimal import Decimal

import pytest

from tests.support.decoding import kinds, read, trades

FRAME = (
    '{"stream":"btcusdt@trade","data":{"e":"trade","E":1721347202808,"T":1721347202807,'
    '"s":"BTCUSDT","t":5182006711,"p":"63960.00","q":"0.310","X":"MARKET","m":false}}'
)


def test_a_perpetual_has_its_own_symbol() -> None:
    """The unified symbol names what the contract settles in."""
    (trade,) = trades("binance_usdm", FRAME)
    assert trade["symbol"] == "BTC/USDT:USDT"
    assert (trade["price"], trade["quantity"]) == (Decimal(63960), Decimal("0.31"))
    assert trade["vendor"]["X"] == "MARKET"


@pytest.mark.parametrize("kind", ["INSURANCE_FUND", "ADL", "NA", "AUCTION", ""])
def test_trade_outside_the_order_book_carries_a_condition(kind: str) -> None:
    """Binance leaves such trades out of its candles; so is a kind that nothing explains."""
    (trade,) = trades("binance_usdm", FRAME.replace("MARKET", kind))
    assert trade["condition"] == kind


def test_a_market_trade_carries_none() -> None:
    """MARKET, RPI, or no X at all, is an ordinary trade."""
    assert trades("binance_usdm", FRAME.replace("MARKET", "RPI"))[0]["condition"] is None
    assert trades("binance_usdm", FRAME)[0]["condition"] is None
    assert trades("binance_usdm", FRAME.replace('"X":"MARKET",', ""))[0]["condition"] is None


@pytest.mark.parametrize(("price", "quantity"), [("0", "0"), ("0.00", "0.310"), ("63960", "0")])
@pytest.mark.parametrize("few", [0, 40])
def test_number_without_a_trade_is_kept_with_its_condition(
    price: str, quantity: str, few: int
) -> None:
    """Price or quantity 0 is no fault where the trade takes no part in candles."""
    empty = FRAME.replace("63960.00", price).replace("0.310", quantity)
    decoded = read("binance_usdm", empty.replace("MARKET", "NA"), few=few)
    assert decoded.dead_letters.is_empty()
    (trade,) = decoded.trades.rows(named=True)
    assert (trade["condition"], trade["sequence"]) == ("NA", 5182006711)
    assert (trade["price"], trade["quantity"]) == (Decimal(price), Decimal(quantity))
    for kind in ("MARKET", "RPI"):
        ordinary = read("binance_usdm", empty.replace("MARKET", kind), few=few)
        assert ordinary.trades.is_empty()
        assert ordinary.dead_letters["reason"].to_list() in (["bad_price"], ["bad_quantity"])


@pytest.mark.parametrize(
    ("old", "new"), [("63960.00", "-1"), ("0.310", "-0.310"), ("63960.00", "")]
)
def test_amount_that_is_no_number_is_a_dead_letter_under_a_condition_too(
    old: str, new: str
) -> None:
    """Only zero is allowed there."""
    frame = FRAME.replace(old, new).replace("MARKET", "NA")
    assert read("binance_usdm", frame).dead_letters.height == 1


def test_frame_with_the_kind_of_contract_is_read_in_columns() -> None:
    """Since June 2026 `st` stands behind `m`; both ways of reading give the same."""
    frame = FRAME.replace('"m":false', '"m":false,"st":1')
    in_columns, one_by_one = (read("binance_usdm", frame, few=few).trades for few in (0, 40))
    assert in_columns.equals(one_by_one.select(in_columns.columns))
    assert in_columns["vendor.st"].to_list() == ["1"]


def test_other_events_are_control_frames() -> None:
    """Mark prices, open interest and the like."""
    frames = (
        '{"stream":"btcusdt@markPrice","data":{"e":"markPriceUpdate","E":1,"s":"BTCUSDT","p":"1"}}',
        '{"symbol":"BTCUSDT","openInterest":"84617.188","time":1654336844754}',
        '{"id":1,"result":null}',
    )
    assert kinds("binance_usdm", *frames) == ["control"] * 3
