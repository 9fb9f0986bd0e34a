"""Binance spot, by frames from its documentation."""

import json
from decimal import Decimal

import pytest

from candlewax.exchanges import EXCHANGES
from tests.support.decoding import at, kinds, ms, reasons, trades

BARE = (
    '{"e":"trade","E":1672515782136,"s":"BNBBTC","t":12345,"p":"0.00100000","q":"100.00000000",'
    '"T":1672515782134,"m":true,"M":true}'
)
OLD = BARE.replace('"T":', '"b":88,"a":50,"T":')
ENVELOPE = f'{{"stream":"bnbbtc@trade","data":{BARE}}}'


@pytest.mark.parametrize("frame", [BARE, OLD, ENVELOPE, " " + BARE.replace(",", ", ")])
def test_trade_is_decoded_bare_enveloped_old_and_new(frame: str) -> None:
    """If the buyer is the maker, the taker sold. The time is that of the trade."""
    (trade,) = trades("binance", frame)
    assert trade["symbol"] == "BNB/BTC"
    assert (trade["base"], trade["quote"], trade["native_symbol"]) == ("BNB", "BTC", "BNBBTC")
    assert (trade["trade_id"], trade["sequence"]) == ("12345", 12345)
    assert trade["timestamp"] == ms(1672515782134)
    assert trade["side"] == "SELL"
    assert (trade["price"], trade["quantity"]) == (Decimal("0.001"), Decimal(100))
    assert trade["quote_volume"] == Decimal("0.1")
    assert trade["condition"] is None
    assert (trade["source"], trade["source_offset"], trade["source_index"]) == ("c0", 0, 0)
    assert trade["received_at"] == at("2027-01-15T08:00:00.123456")


def test_side_is_buy_when_the_buyer_is_not_the_maker() -> None:
    assert trades("binance", BARE.replace('"m":true', '"m":false'))[0]["side"] == "BUY"


def test_unmapped_fields_are_kept_as_vendor_data() -> None:
    """Among them are order ids and the event time."""
    assert trades("binance", OLD)[0]["vendor"] == {
        "E": "1672515782136", "b": "88", "a": "50", "M": "true",
    }  # fmt: skip


def test_trade_time_in_microseconds_is_decoded() -> None:
    """Clients may request microseconds when they connect."""
    frame = BARE.replace("1672515782134", "1672515782134567")
    assert trades("binance", frame)[0]["timestamp"] == at("2022-12-31T19:43:02.134567")


def test_trade_time_is_microseconds_from_ten_to_the_fifteenth_on() -> None:
    """In frames and REST responses alike; smaller times are milliseconds."""
    first = 10**15
    frame = BARE.replace("1672515782134", str(first))
    assert trades("binance", frame)[0]["timestamp"] == at("2001-09-09T01:46:40")
    assert reasons("binance", frame.replace(str(first), str(first - 1))) == ["bad_time"]
    row = (
        f'{{"id":1,"price":"4","qty":"12","quoteQty":"48","time":{first},"isBuyerMaker":true,'
        '"isBestMatch":true}'
    )
    rest = EXCHANGES["binance"].rest
    assert rest.parse_page(json.loads(f"[{row}]")).times_us == [first]
    earlier = row.replace(str(first), str(first - 1))
    assert rest.parse_page(json.loads(f"[{earlier}]")).times_us == [(first - 1) * 1000]


def test_ids_up_to_64_bits_are_decoded_and_others_are_dead_letters() -> None:
    assert trades("binance", BARE.replace("12345", str(2**64 - 1)))[0]["sequence"] == 2**64 - 1
    assert trades("binance", BARE.replace("12345", str(2**63 + 5)))[0]["sequence"] == 2**63 + 5
    assert reasons("binance", BARE.replace("12345", str(2**64))) == ["bad_id"]
    assert reasons("binance", BARE.replace("12345", "-1")) == ["bad_id"]


@pytest.mark.parametrize(
    "frame",
    [
        '{"result":null,"id":1}',
        '{"error":{"code":2,"msg":"Invalid request: unknown variant"},"id":7}',
        '{"code":-1121,"msg":"Invalid symbol."}',
        '{"stream":"btcusdt@depth@100ms","data":{"e":"depthUpdate","E":1,"s":"BTCUSDT","U":1,'
        '"u":2,"b":[["1.0","2.0"]],"a":[]}}',
        '{"stream":"btcusdt@bookTicker","data":{"u":400900217,"s":"BTCUSDT","b":"25.3",'
        '"B":"31.2","a":"25.4","A":"40.6"}}',
        '{"e":"kline","E":1,"s":"BTCUSDT","k":{"t":1,"T":2,"i":"1m","x":false}}',
        '{"e":"aggTrade","E":1,"s":"BTCUSDT","a":1,"p":"1","q":"1","f":1,"l":1,"T":1,"m":true}',
        '{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[["0.0026","100"]]}',
        '[{"e":"24hrMiniTicker","E":1,"s":"BNBBTC","c":"1"}]',
        '{"e":"serverShutdown","E":1770123456789}',
        '{"event":{"e":"serverShutdown","E":1770123456789}}',
    ],
)
def test_other_events_are_control_frames(frame: str) -> None:
    """Acks, errors, depth, tickers, klines, aggregate trades and REST responses."""
    assert kinds("binance", frame) == ["control"]


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('"p":"0.00100000"', '"p":"NaN"', "bad_price"),
        ('"p":"0.00100000"', '"p":"1e400"', "bad_price"),
        ('"p":"0.00100000"', '"p":"-0"', "bad_price"),
        ('"p":"0.00100000"', '"p":"0"', "bad_price"),
        ('"p":"0.00100000"', '"p":"0.0010000000001"', "bad_price"),
        ('"p":"0.00100000"', '"p":""', "bad_price"),
        ('"p":"0.00100000"', '"p":"1_000"', "bad_price"),
        ('"p":"0.00100000"', '"p":" 1"', "bad_price"),
        ('"p":"0.00100000"', '"p":"１"', "bad_price"),  # noqa: RUF001 - a wide digit
        ('"q":"100.00000000"', '"q":"-1"', "bad_quantity"),
        ('"q":"100.00000000"', '"q":"Infinity"', "bad_quantity"),
        ('"q":"100.00000000"', '"q":"9999999999999999999"', "out_of_range"),
        ('"p":"0.00100000"', '"p":1.5', "bad_shape"),
        ('"t":12345', '"t":"12345"', "bad_shape"),
        ('"t":12345,', "", "bad_shape"),
        ('"m":true', '"m":1', "bad_shape"),
        ('"T":1672515782134', '"T":-62135596800000', "bad_time"),
        ('"T":1672515782134', '"T":253402300799999', "bad_time"),
        ('"T":1672515782134', '"T":99999999999999999999', "bad_time"),
        ('"s":"BNBBTC"', '"s":"QQQZZZ"', "unknown_instrument"),
        ('"s":"BNBBTC"', '"s":"USDT"', "unknown_instrument"),
        ('"s":"BNBBTC"', '"s":"BTC\'; DROP TABLE x\\n"', "unknown_instrument"),
        ('"s":"BNBBTC"', '"s":"BTCUSDT_210625"', "unknown_instrument"),
    ],
)
def test_invalid_trade_is_a_dead_letter_with_its_reason(old: str, new: str, reason: str) -> None:
    frame = BARE.replace(old, new)
    assert frame != BARE
    assert reasons("binance", frame) == [reason]
    assert kinds("binance", frame) == ["dead"]
