"""Trades of REST responses and of lines of dump files."""

from decimal import Decimal
from typing import Any

import pytest

from tests.support.decoding import at, kinds_of, ms, reasons_of, trades_of
from tests.support.rest_responses import ANSWERS, KRAKEN, NATIVES, USDM


@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        ("binance", ("28457", ms(1499865549590), "SELL", "4.000001", "12")),
        ("binance_usdm", ("28457", ms(1499865549590), "SELL", "4.000001", "12")),
        ("kraken", ("61044952", at("2023-07-06T18:53:17.827736"), "BUY", "30243.4", "0.34507674")),
        ("coinbase", ("86327327", at("2020-03-20T00:36:59.860"), "BUY", "6225.32", "0.06469797")),
    ],
)
def test_rest_response_is_decoded_to_trades(exchange: str, expected: tuple[Any, ...]) -> None:
    """The connection names the market; the side is the taker's."""
    native = NATIVES[exchange]
    trade = trades_of(exchange, f"rest/{native}", ANSWERS[exchange])[0]
    number, time, side, price, quantity = expected
    assert (trade["native_symbol"], trade["trade_id"]) == (native, number)
    assert (trade["sequence"], trade["timestamp"]) == (int(number), time)
    assert (trade["side"], trade["via"], trade["condition"]) == (side, 2, None)
    assert (trade["price"], trade["quantity"]) == (Decimal(price), Decimal(quantity))


def test_unmapped_fields_of_rest_rows_are_vendor_data() -> None:
    (trade,) = trades_of("binance_usdm", "rest/BTCUSDT", USDM)
    assert trade["vendor"] == {"quoteQty": "8000.00", "isRPITrade": "true"}
    trade = trades_of("kraken", "rest/BTC/USD", KRAKEN)[1]
    assert trade["vendor"] == {"type": "l", "misc": ""}


@pytest.mark.parametrize("exchange", ANSWERS)
def test_rest_response_is_decoded_by_its_connection_name(exchange: str) -> None:
    """The same text on a websocket connection is a control frame."""
    if exchange != "coinbase":  # which has no frames that are lists
        assert kinds_of(exchange, "c0", ANSWERS[exchange]) == ["control"]
    assert kinds_of(exchange, f"rest/{NATIVES[exchange]}", ANSWERS[exchange]) == ["trade"]


@pytest.mark.parametrize("exchange", ANSWERS)
def test_invalid_rest_row_is_a_dead_letter_of_its_own(exchange: str) -> None:
    """The other rows are decoded. A text that is no response is one dead letter."""
    answer = ANSWERS[exchange]
    connection = f"rest/{NATIVES[exchange]}"
    row = answer[answer.rindex("[") if exchange == "kraken" else answer.index("{") :]
    row = row[: row.index("]") + 1] if exchange == "kraken" else row[: row.index("}") + 1]
    with_invalid_row = answer.replace(row, f'{row},{{"id":"x"}}')
    assert len(trades_of(exchange, connection, with_invalid_row)) == answer.count(row[:6])
    assert reasons_of(exchange, connection, with_invalid_row) == ["bad_shape"]
    for text, reason in (
        ("<html>", "bad_json"),
        ('{"code":-1121}', "bad_shape"),
        ("", "empty_frame"),
    ):
        assert kinds_of(exchange, connection, text) == ["dead"]
        assert reasons_of(exchange, connection, text) == [reason]


SPOT_LINES = (
    "51175358,17.80180000,5.69000000,101.29224200,1583709433583,True,True\n"
    "51175359,17.80180001,5.69000001,101.29224237,1735689600010866,False,True\n"
)
USDM_LINES = (
    "id,price,qty,quote_qty,time,is_buyer_maker\n28457,4.00000100,12.00000000,48.00,"
    "1499865549590,true\n"
)


def test_dump_lines_are_decoded_to_trades() -> None:
    """Times of both units, with or without a header line and a final newline."""
    for text in (SPOT_LINES, SPOT_LINES.rstrip(), SPOT_LINES.replace("\n", "\r\n")):
        first, second = trades_of("binance", "dump/BTCUSDT", text)
        assert (first["sequence"], first["side"], first["via"]) == (51175358, "SELL", 3)
        assert (second["sequence"], second["side"]) == (51175359, "BUY")
        assert first["timestamp"] == ms(1583709433583)
        assert second["timestamp"] == at("2025-01-01T00:00:00.010866")
        assert second["price"] == Decimal("17.80180001")
        assert first["vendor"] == {"quoteQty": "101.29224200", "isBestMatch": "True"}
    (trade,) = trades_of("binance_usdm", "dump/BTCUSDT", USDM_LINES)
    assert (trade["sequence"], trade["side"], trade["source_index"]) == (28457, "SELL", 1)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1,2,3", "bad_shape"),
        ("1,2,3,4,5,true,true,8", "bad_shape"),
        ("x,17.8,5.69,101.2,1583709433583,True,True", "bad_id"),
        ("1,17.8,5.69,101.2,soon,True,True", "bad_time"),
        ("1,17.8,5.69,101.2,1583709433583,perhaps,True", "bad_side"),
        ("1,1e5x,5.69,101.2,1583709433583,True,True", "bad_price"),
        ("1,17.8,-5.69,101.2,1583709433583,True,True", "bad_quantity"),
        # Aggregate trades: their ids are not those of trades.
        ("26129,0.01633102,4.70443515,27781,27781,1498793709153,true", "bad_side"),
    ],
)
def test_invalid_dump_line_is_a_dead_letter_of_its_own(line: str, reason: str) -> None:
    """The other lines are decoded."""
    text = SPOT_LINES + line
    assert len(trades_of("binance", "dump/BTCUSDT", text)) == 2
    assert reasons_of("binance", "dump/BTCUSDT", text) == [reason]


def test_dump_frame_without_a_valid_line_is_one_dead_letter() -> None:
    """So is one of an exchange that publishes no dumps, or one with too many lines."""
    assert reasons_of("binance", "dump/BTCUSDT", "a\nb\nc") == ["bad_shape"]
    assert kinds_of("binance", "dump/BTCUSDT", "a\nb\nc") == ["dead"]
    assert reasons_of("kraken", "dump/BTC/USD", SPOT_LINES) == ["bad_shape"]
    assert kinds_of("binance", "dump/BTCUSDT", "1,2\n" * 70_000) == ["dead"]
    assert reasons_of("binance", "dump/BTCUSDT", "1,2\n" * 70_000) == ["too_many_trades"]
