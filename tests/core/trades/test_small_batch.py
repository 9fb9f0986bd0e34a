"""Decoding of small batches: the fast path gives the same as the general path."""

from decimal import Context, Decimal
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from candlewax.core.rows.frame_decoder import decode as decode_rows
from candlewax.core.rows.records import Frame
from candlewax.core.trades import small_batch
from candlewax.core.trades.normalize import normalize
from candlewax.exchanges import EXCHANGES
from tests.support.decoding import INSTRUMENTS, RECEIVED_NS, read
from tests.support.frame_texts import NAMES, TEXTS, valid_frames

BINANCE = (
    '{"e":"trade","E":1700000000001,"s":"BTCUSDT","t":7,"p":"1.5","q":"2","T":1700000000000,'
    '"m":true,"M":true}'
)


@given(
    st.sampled_from(NAMES),
    st.lists(TEXTS | valid_frames().map(lambda example: example[1]), max_size=8),
)
def test_fast_and_general_path_decode_any_text_equally(exchange: str, texts: list[str]) -> None:
    """For valid frames, nearly valid ones and garbage."""
    by_fast_path = read(exchange, *texts)
    with mock.patch.object(small_batch, "SMALL_BATCH_ROWS", -1):
        by_general_path = read(exchange, *texts)
    assert_frame_equal(by_fast_path.bronze, by_general_path.bronze)
    assert_frame_equal(by_fast_path.dead_letters, by_general_path.dead_letters)
    assert_frame_equal(by_fast_path.trades, by_general_path.trades)
    assert by_fast_path.events == by_general_path.events


def test_ordinary_trades_take_the_fast_path() -> None:
    with mock.patch(
        "candlewax.core.trades.decode.normalize", side_effect=AssertionError("the general path")
    ):
        decoded = read("binance", BINANCE, BINANCE.replace('"t":7', '"t":8'))
    assert decoded.trades["sequence"].to_list() == [7, 8]


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
def test_unusual_trade_takes_the_general_path_with_its_batch(plain: str, other: str) -> None:
    texts = BINANCE, BINANCE.replace('"t":7', '"t":8').replace(plain, other)
    assert other in texts[1]
    with (
        mock.patch("candlewax.core.trades.decode.normalize", side_effect=NotImplementedError),
        pytest.raises(NotImplementedError),
    ):
        read("binance", *texts)


RECEIVED_US = RECEIVED_NS // 1000


@pytest.mark.parametrize(
    ("price", "quantity", "time", "reason"),
    [
        ("0.0001", "999999999999999999.999999999999", 0, None),
        ("0.0001", "1000000000000000000", 0, "out_of_range"),
        ("0.0001", "1000000000000000000.000000000001", 0, "out_of_range"),
        ("999999999999999.999999999999", "1", 0, None),
        ("1000000000", "1000000", 0, "out_of_range"),
        ("1000000000000000.000000000001", "1", 0, "out_of_range"),
        ("0.000000000001", "0.000000000001", 0, None),
        ("0", "1", 0, "bad_price"),
        ("1", "0", 0, "bad_quantity"),
        ("1", "1", 59_999_999, None),
        ("1", "1", 60_000_000, None),
        ("1", "1", 60_000_001, "bad_time"),
        ("1", "1", -RECEIVED_US, None),
    ],
)
def test_trade_at_a_limit_is_judged_equally_by_all_paths(
    price: str, quantity: str, time: int, reason: str | None
) -> None:
    """Quantity below 10^18, quote volume below 10^15, time at most 60 s after receipt. `time`
    counts microseconds since receipt.
    """
    moment = RECEIVED_US + time
    text = (
        f'{{"e":"trade","E":1,"s":"BTCUSDT","t":7,"p":"{price}","q":"{quantity}","T":{moment},'
        '"m":true,"M":true}'
    )
    general_path = mock.patch("candlewax.core.trades.decode.normalize", wraps=normalize)
    with general_path as general_path_mock:
        by_fast_path = read("binance", text)
    assert general_path_mock.called == (reason is not None)
    with mock.patch.object(small_batch, "SMALL_BATCH_ROWS", -1):
        by_general_path = read("binance", text)
    for decoded in (by_fast_path, by_general_path):
        assert decoded.dead_letters["reason"].to_list() == ([] if reason is None else [reason])
        amounts = decoded.trades.select("price", "quantity").rows()
        assert amounts == ([] if reason else [(Decimal(price), Decimal(quantity))])
    frame = Frame(RECEIVED_NS, "c0", 0, text, "c0", 0, 0)
    by_rows = decode_rows(EXCHANGES["binance"], [frame], INSTRUMENTS)
    assert [letter.reason for letter in by_rows.dead_letters] == (
        [] if reason is None else [reason]
    )
    units = [(trade.price, trade.quantity) for trade in by_rows.trades]
    expected = tuple(int(Decimal(text).scaleb(12, Context(prec=60))) for text in (price, quantity))
    assert units == ([] if reason else [expected])
