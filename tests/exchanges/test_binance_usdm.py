"""Binance USD-M futures, by frames from its documentation."""

from decimal import Decimal

import pytest

from tests.support.decoding import kinds, read, trades

FRAME = (
    '{"stream":"btcusdt@trade","data":{"e":"trade","E":1721347202808,"T":1721347202807,'
    '"s":"BTCUSDT","t":5182006711,"p":"63960.00","q":"0.310","X":"MARKET","m":false}}'
)


def test_symbol_of_a_perpetual_names_its_settlement_asset() -> None:
    (trade,) = trades("binance_usdm", FRAME)
    assert trade["symbol"] == "BTC/USDT:USDT"
    assert (trade["price"], trade["quantity"]) == (Decimal(63960), Decimal("0.31"))
    assert trade["vendor"]["X"] == "MARKET"


@pytest.mark.parametrize("kind", ["INSURANCE_FUND", "ADL", "NA", "AUCTION", ""])
def test_trade_outside_the_order_book_has_a_condition(kind: str) -> None:
    """Binance excludes such trades from its klines. An undocumented kind is treated alike."""
    (trade,) = trades("binance_usdm", FRAME.replace("MARKET", kind))
    assert trade["condition"] == kind


def test_market_trade_has_no_condition() -> None:
    """MARKET, RPI and a missing X are ordinary trades."""
    assert trades("binance_usdm", FRAME.replace("MARKET", "RPI"))[0]["condition"] is None
    assert trades("binance_usdm", FRAME)[0]["condition"] is None
    assert trades("binance_usdm", FRAME.replace('"X":"MARKET",', ""))[0]["condition"] is None


@pytest.mark.parametrize(("price", "quantity"), [("0", "0"), ("0.00", "0.310"), ("63960", "0")])
@pytest.mark.parametrize("few", [0, 40])
def test_trade_with_zero_amount_is_kept_when_it_has_a_condition(
    price: str, quantity: str, few: int
) -> None:
    """Candles exclude it, but its number counts in the sequence."""
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
def test_invalid_amount_is_a_dead_letter_even_with_a_condition(old: str, new: str) -> None:
    """Only zero is allowed there."""
    frame = FRAME.replace(old, new).replace("MARKET", "NA")
    assert read("binance_usdm", frame).dead_letters.height == 1


def test_frame_with_contract_kind_is_decoded_by_both_paths() -> None:
    """Since June 2026, `st` follows `m`."""
    frame = FRAME.replace('"m":false', '"m":false,"st":1')
    in_columns, one_by_one = (read("binance_usdm", frame, few=few).trades for few in (0, 40))
    assert in_columns.equals(one_by_one.select(in_columns.columns))
    assert in_columns["vendor.st"].to_list() == ["1"]


def test_other_futures_events_are_control_frames() -> None:
    """Mark price, open interest and acks."""
    frames = (
        '{"stream":"btcusdt@markPrice","data":{"e":"markPriceUpdate","E":1,"s":"BTCUSDT","p":"1"}}',
        '{"symbol":"BTCUSDT","openInterest":"84617.188","time":1654336844754}',
        '{"id":1,"result":null}',
    )
    assert kinds("binance_usdm", *frames) == ["control"] * 3
