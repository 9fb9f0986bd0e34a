"""Coinbase, Advanced Trade and Exchange, by frames from its documentation."""

from decimal import Decimal

import pytest

from tests.support.decoding import at, kinds, reasons, trades

ADVANCED = (
    '{"channel":"market_trades","client_id":"","timestamp":"2023-02-09T20:19:35.39625135Z",'
    '"sequence_num":0,"events":[{"type":"snapshot","trades":[{"trade_id":"000000002",'
    '"product_id":"ETH-USD","price":"1260.01","size":"0.3","side":"BUY",'
    '"time":"2019-08-14T20:42:27.265999999Z"},{"trade_id":"1","product_id":"ETH-USD",'
    '"price":"1260","size":"0.1","side":"SELL","time":"2019-08-14T20:42:27Z"}]}]}'
)
NEWEST = (
    '{"channel":"market_trades","timestamp":"2026-09-30T02:39:59.615767928Z","sequence_num":249,'
    '"events":[{"type":"update","trades":[{"product_id":"BTC-USD","trade_id":"1100253573",'
    '"price":"83320.66","size":"0.0041608","time":"2026-09-30T02:39:59.416138Z","side":"SELL"}]}]}'
)
MATCH = (
    '{"type":"match","trade_id":10,"sequence":50,"maker_order_id":"ac928c66","taker_order_id":'
    '"132fb6ae","time":"2014-11-07T08:19:27.028459Z","product_id":"BTC-USD","size":"5.23512",'
    '"price":"400.23","side":"sell"}'
)


def test_side_is_the_opposite_of_the_maker_side_sent() -> None:
    assert [trade["side"] for trade in trades("coinbase", ADVANCED)] == ["SELL", "BUY"]
    assert trades("coinbase", NEWEST)[0]["side"] == "BUY"
    assert trades("coinbase", MATCH)[0]["side"] == "BUY"


def test_trades_of_one_frame_keep_its_order_and_their_numbers() -> None:
    """Coinbase sends the newest first."""
    first, second = trades("coinbase", ADVANCED)
    assert (first["sequence"], second["sequence"]) == (2, 1)
    assert first["trade_id"] == "000000002"
    assert (first["symbol"], first["price"]) == ("ETH/USD", Decimal("1260.01"))
    assert [first["source_index"], second["source_index"]] == [0, 1]


def test_trade_time_is_truncated_to_microseconds() -> None:
    """Rounding could move the trade into the next window."""
    first, second = trades("coinbase", ADVANCED)
    assert first["timestamp"] == at("2019-08-14T20:42:27.265999")
    assert second["timestamp"] == at("2019-08-14T20:42:27")


def test_match_and_last_match_are_trades() -> None:
    """`last_match` is from before the subscription."""
    for frame in (MATCH, MATCH.replace('"match"', '"last_match"')):
        (trade,) = trades("coinbase", frame)
        assert (trade["symbol"], trade["sequence"]) == ("BTC/USD", 10)
        assert (trade["price"], trade["quantity"]) == (Decimal("400.23"), Decimal("5.23512"))
        assert trade["vendor"]["maker_order_id"] == "ac928c66"
        assert trade["vendor"]["sequence"] == "50"


def test_source_index_counts_across_the_events_of_a_frame() -> None:
    event = NEWEST[NEWEST.index('{"type":"update"') : -2]
    frame = NEWEST[:-2] + "," + event.replace("1100253573", "1100253574") + "]}"
    assert [trade["source_index"] for trade in trades("coinbase", frame)] == [0, 1]


@pytest.mark.parametrize(
    "frame",
    [
        '{"channel":"subscriptions","events":[{"subscriptions":{"market_trades":["BTC-USD"]}}]}',
        '{"channel":"heartbeats","events":[{"current_time":"2023","heartbeat_counter":"3049"}]}',
        '{"channel":"ticker","events":[{"type":"snapshot","tickers":[]}]}',
        '{"channel":"l2_data","events":[{"type":"update","updates":[]}]}',
        '{"type":"error","message":"authentication failure"}',
        '{"type":"subscriptions","channels":[{"name":"matches","product_ids":["ETH-USD"]}]}',
        '{"type":"heartbeat","sequence":90,"last_trade_id":20,"product_id":"BTC-USD","time":"x"}',
        '{"type":"ticker","sequence":1,"product_id":"BTC-USD","price":"29940.91"}',
        '{"type":"l2update","product_id":"BTC-USD","changes":[["buy","37378.26","0.0246"]]}',
        '{"channel":"market_trades","events":[{"type":"update","trades":[]}]}',
    ],
)
def test_other_coinbase_frames_are_control_frames(frame: str) -> None:
    """Subscriptions, heartbeats, tickers, order books and errors."""
    assert kinds("coinbase", frame) == ["control"]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (MATCH.replace('"sell"', '"hold"'), "bad_side"),
        (MATCH.replace('"trade_id":10', '"trade_id":"10"'), "bad_shape"),
        (NEWEST.replace("1100253573", "abc"), "bad_id"),
        (NEWEST.replace("BTC-USD", "BTC"), "unknown_instrument"),
        (NEWEST.replace("BTC-USD", "BTC-USD-PERP"), "unknown_instrument"),
        ('{"channel":"market_trades"}', "bad_shape"),
        ('{"channel":"market_trades","events":[7]}', "bad_shape"),
        ('{"channel":"market_trades","events":[{"trades":{}}]}', "bad_shape"),
        ('{"price":"1"}', "bad_shape"),
    ],
)
def test_invalid_trade_or_frame_is_a_dead_letter_with_its_reason(frame: str, reason: str) -> None:
    assert reasons("coinbase", frame) == [reason]
