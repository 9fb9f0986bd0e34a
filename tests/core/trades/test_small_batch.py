"""A few frames and trades: the same as by the way of many."""

from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from candlewax.core.trades import small_batch
from tests.core.trades.test_decode import NAMES, TEXTS, sound
from tests.support.decoding import read

BINANCE = (
    '{"e":"trade","E":1700000000001,"s":"BTCUSDT","t":7,"p":"1.5","q":"2","T":1700000000000,'
    '"m":true,"M":true}'
)


@given(st.sampled_from(NAMES), st.lists(TEXTS | sound().map(lambda one: one[1]), max_size=8))
def test_frames_are_read_as_by_the_way_of_many(exchange: str, texts: list[str]) -> None:
    """Good frames, nearly good ones and garbage: rows, trades and letters are the same."""
    few = read(exchange, *texts)
    with mock.patch.object(small_batch, "SMALL_BATCH_ROWS", -1):
        many = read(exchange, *texts)
    assert_frame_equal(few.bronze, many.bronze)
    assert_frame_equal(few.dead_letters, many.dead_letters)
    assert_frame_equal(few.trades, many.trades)
    assert few.events == many.events


def test_plain_trades_go_this_way() -> None:
    """It is not only a way that is there: what exchanges send nearly always takes it."""
    with mock.patch(
        "candlewax.core.trades.decode.normalize", side_effect=AssertionError("the other way")
    ):
        found = read("binance", BINANCE, BINANCE.replace('"t":7', '"t":8'))
    assert found.trades["sequence"].to_list() == [7, 8]


@pytest.mark.parametrize(
    ("plain", "other"),
    [
        ('"p":"1.5"', '"p":"15e-1"'),
        ('"p":"1.5"', '"p":"0"'),
        ('"p":"1.5"', '"p":"1.1234567890123"'),
        ('"q":"2"', '"q":"-2"'),
        ('"q":"2"', '"q":"1000000000000000000"'),
        ('"p":"1.5"', '"p":"9999999999999999999"'),
        ('"s":"BTCUSDT"', '"s":"?"'),
        ('"t":8', '"t":18446744073709551616'),
        ('"T":1700000000000', '"T":1800000060124'),
    ],
)
def test_a_trade_that_asks_for_more_is_read_by_the_way_of_many(plain: str, other: str) -> None:
    """And so are those beside it."""
    texts = BINANCE, BINANCE.replace('"t":7', '"t":8').replace(plain, other)
    assert other in texts[1]
    with (
        mock.patch("candlewax.core.trades.decode.normalize", side_effect=NotImplementedError),
        pytest.raises(NotImplementedError),
    ):
        read("binance", *texts)
