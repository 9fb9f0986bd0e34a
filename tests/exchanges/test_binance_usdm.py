"""Binance USD-M futures, by frames of its documentation."""

from decimal import Decimal

import pytest

from tests.reading import kinds, trades

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


@pytest.mark.parametrize("kind", ["INSURANCE_FUND", "ADL", "NA", "RPI"])
def test_what_is_no_market_trade_carries_a_condition(kind: str) -> None:
    """Binance leaves such trades out of its candles."""
    (trade,) = trades("binance_usdm", FRAME.replace("MARKET", kind))
    assert trade["condition"] == kind


def test_a_market_trade_carries_none() -> None:
    """MARKET, or no X at all, is an ordinary trade."""
    assert trades("binance_usdm", FRAME)[0]["condition"] is None
    assert trades("binance_usdm", FRAME.replace('"X":"MARKET",', ""))[0]["condition"] is None


def test_other_events_are_control_frames() -> None:
    """Mark prices, open interest and the like."""
    frames = (
        '{"stream":"btcusdt@markPrice","data":{"e":"markPriceUpdate","E":1,"s":"BTCUSDT","p":"1"}}',
        '{"symbol":"BTCUSDT","openInterest":"84617.188","time":1654336844754}',
        '{"id":1,"result":null}',
    )
    assert kinds("binance_usdm", *frames) == ["control"] * 3
