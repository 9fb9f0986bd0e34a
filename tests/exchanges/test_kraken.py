"""Kraken, both protocols, by frames from its documentation."""

from decimal import Decimal

import pytest

from tests.support.decoding import at, kinds, read, reasons, trades

V2 = (
    '{"channel":"trade","type":"update","data":[{"symbol":"MATIC/USD","side":"sell",'
    '"price":0.5117,"qty":40.0,"ord_type":"market","trade_id":4665906,'
    '"timestamp":"2023-09-25T07:49:37.708706Z"},{"symbol":"MATIC/USD","side":"buy",'
    '"price":0.5118,"qty":0.00000001,"ord_type":"limit","trade_id":4665907,'
    '"timestamp":"2023-09-25T07:49:37.708706Z"}]}'
)
V1 = (
    '[0,[["5541.20000","0.15850568","1534614057.321597","s","l",""],'
    '["6060.00000","0.02455000","1534614057.324998","b","l",""]],"trade","XBT/USD"]'
)


def test_v2_trades_of_one_frame_are_decoded_in_order() -> None:
    """Amounts are exact."""
    first, second = trades("kraken", V2)
    assert (first["symbol"], first["sequence"], first["side"]) == ("MATIC/USD", 4665906, "SELL")
    assert (second["sequence"], second["side"]) == (4665907, "BUY")
    assert (first["price"], first["quantity"]) == (Decimal("0.5117"), Decimal(40))
    assert second["quantity"] == Decimal("1e-8")
    assert second["quote_volume"] == Decimal("0.000000005118")
    assert first["timestamp"] == at("2023-09-25T07:49:37.708706")
    assert [trade["source_index"] for trade in (first, second)] == [0, 1]
    assert first["vendor"] == {"ord_type": "market"}


@pytest.mark.parametrize(
    ("number", "value"),
    [
        ("1E-8", "0.00000001"),
        ("1.5e2", "150"),
        ("0.000000000001", "0.000000000001"),
        ("123456789.123456789012", "123456789.123456789012"),
        ("123456789012345.678901", "123456789012345.678901"),
    ],
)
def test_amounts_in_json_numbers_are_exact(number: str, value: str) -> None:
    """Even with more digits than a float holds."""
    (trade, _) = trades("kraken", V2.replace("40.0", number))
    assert trade["quantity"] == Decimal(value)


@pytest.mark.parametrize("number", ["NaN", "1e400", "-0", "0", "1e-13", "0.1234567890123"])
def test_invalid_amount_is_a_dead_letter_of_its_trade_only(number: str) -> None:
    """The other trade of the frame is decoded."""
    frame = V2.replace("40.0", number)
    decoded = read("kraken", frame)
    if number == "NaN":  # no JSON at all
        assert reasons("kraken", frame) == ["bad_json"]
        return
    assert decoded.trades["sequence"].to_list() == [4665907]
    (letter,) = decoded.dead_letters.rows(named=True)
    assert (letter["reason"], letter["source_index"], letter["scope"]) == ("bad_quantity", 0, 3)
    assert letter["frame"] == frame.encode()
    assert decoded.bronze["trades"].to_list() == [1]
    assert kinds("kraken", frame) == ["trade"]


def test_trades_of_a_snapshot_are_decoded() -> None:
    assert len(trades("kraken", V2.replace('"update"', '"snapshot"'))) == 2


def test_v1_trades_are_unnumbered_with_an_id_of_their_content() -> None:
    """The side is the taker's."""
    first, second = trades("kraken", V1)
    assert (first["symbol"], first["base"], first["native_symbol"]) == ("BTC/USD", "BTC", "XBT/USD")
    assert (first["sequence"], second["sequence"]) == (0, 0)
    assert (first["side"], second["side"]) == ("SELL", "BUY")
    assert first["timestamp"] == at("2018-08-18T17:40:57.321597")
    assert first["price"] == Decimal("5541.2")
    assert first["trade_id"] != second["trade_id"]


def test_equal_fills_of_one_frame_have_distinct_stable_ids() -> None:
    """The ids are the same each time the frame is decoded."""
    row = '["5541.20000","0.15850568","1534614057.321597","s","l",""]'
    frame = f'[0,[{row},{row},{row}],"trade","XBT/USD"]'
    ids = [trade["trade_id"] for trade in trades("kraken", frame)]
    assert len(set(ids)) == 3
    assert [trade["trade_id"] for trade in trades("kraken", V1, frame)][2:] == ids
    assert ids[0] == trades("kraken", f'[9,[{row}],"trade","XBT/USD"]')[0]["trade_id"]


@pytest.mark.parametrize(
    "frame",
    [
        '{"channel":"heartbeat"}',
        '{"event":"heartbeat"}',
        '{"channel":"status","type":"update","data":[{"system":"online","api_version":"v2"}]}',
        '{"method":"subscribe","result":{"channel":"trade","symbol":"BTC/USD"},"success":true}',
        '{"error":"Currency pair not supported","method":"subscribe","success":false}',
        '{"event":"systemStatus","status":"online","version":"1.0.0"}',
        '{"channelID":1,"event":"subscriptionStatus","status":"subscribed","pair":"XBT/EUR"}',
        '[320,{"b":[["39071.4","7.2","1622714256.06"]],"c":"2040672112"},"book-25","XBT/USD"]',
        '[1234,{"a":[]},{"b":[],"c":"974942666"},"book-10","XBT/USD"]',
        '{"error":[],"result":{"XXBTZUSD":[["5541.2","0.1",1534614057.3,"s","l","",1]]}}',
        '{"channel":"trade","type":"update","data":[]}',
    ],
)
def test_other_kraken_frames_are_control_frames(frame: str) -> None:
    """Heartbeats, status, acks, order books and REST responses."""
    assert kinds("kraken", frame) == ["control"]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (V1.replace('"s"', '"x"', 1), "bad_side"),
        (V1.replace('"1534614057.321597"', '"now"'), "bad_time"),
        (V1.replace('["5541.20000",', "["), "bad_shape"),
        (V2.replace('"side":"sell"', '"side":"none"'), "bad_side"),
        (V2.replace("2023-09-25T07:49:37.708706Z", "yesterday", 1), "bad_time"),
        (V2.replace("2023-09-25T07:49:37.708706Z", "0001-01-01T00:00:00.000000Z", 1), "bad_time"),
        (V2.replace("2023-09-25T07:49:37.708706Z", "9999-12-31T23:59:59.999999Z", 1), "bad_time"),
    ],
)
def test_invalid_trade_beside_a_valid_one_is_a_dead_letter(frame: str, reason: str) -> None:
    decoded = read("kraken", frame)
    assert decoded.trades.height == 1
    assert decoded.dead_letters["reason"].to_list() == [reason]


@pytest.mark.parametrize("frame", ["[]", "[1,2]", '"text"', "7", '{"data":[]}', "null"])
def test_json_of_another_shape_is_a_dead_letter(frame: str) -> None:
    assert reasons("kraken", frame) == ["bad_shape"]
