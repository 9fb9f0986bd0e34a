"""Trades at the limits of what a trade can be, as rows and as columns."""

from decimal import Context, Decimal

import pytest

from candlewax.core.rows.frame_decoder import decode as decode_rows
from candlewax.core.rows.records import Frame
from candlewax.exchanges import EXCHANGES
from tests.support.decoding import INSTRUMENTS, RECEIVED_NS, read

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
def test_trade_at_a_limit_is_judged_equally_by_rows_and_columns(
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
    decoded = read("binance", text)
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
