"""Details of dead letters: the expected value and the actual one."""

import pytest

from candlewax.core.frames import FROM_DUMP
from tests.support.decoding import read

SPOT = (
    '{"e":"trade","E":1789473605000,"s":"BTCUSDT","t":500,"p":"1.5","q":"2","T":1789473605000,'
    '"m":false,"M":true}'
)
V2 = (
    '{"channel":"trade","type":"update","data":[{"symbol":"ETH/EUR","side":"buy","price":0.5,'
    '"qty":6.25,"ord_type":"limit","trade_id":46,"timestamp":"2026-09-25T07:48:36.925533Z"}]}'
)
V1 = '[0,[["5541.20","0.15","1534614057.321597","s","l",""]],"trade","XBT/USD"]'
ADVANCED = (
    '{"channel":"market_trades","client_id":"","timestamp":"2026-09-15T12:00:20Z",'
    '"sequence_num":0,"events":[{"type":"update","trades":[{"trade_id":"100",'
    '"product_id":"ETH-USD","price":"60.01","size":"0.01","side":"BUY",'
    '"time":"2026-09-15T12:00:07.5Z"}]}]}'
)


@pytest.mark.parametrize("few", [0, 40])
@pytest.mark.parametrize(
    ("exchange", "frame", "old", "new", "detail"),
    [
        ("binance", SPOT, '"T":1789473605000', '"T":99999999999999999999',
         "expected milliseconds or microseconds since 1970, got 99999999999999999999"),
        ("binance", SPOT, '"t":500', '"t":"500"',
         "expected integer in field 't', got the text \"500\""),
        ("binance", SPOT, '"p":"1.5"', '"p":1.5',
         "expected text in field 'p', got the number 1.5"),
        ("binance", SPOT, '"p":"1.5"', '"p":null', "expected text in field 'p', got null"),
        ("binance", SPOT, '"p":"1.5"', '"p":""',
         'expected a number above zero with at most 12 decimals, got ""'),
        ("binance", SPOT, '"q":"2"', '"q":" 2"',
         'expected a number above zero with at most 12 decimals, got " 2"'),
        ("binance", SPOT, '"m":false', '"m":"false"',
         "expected boolean in field 'm', got the text \"false\""),
        ("kraken", V2, '"side":"buy"', '"side":"none"', "expected buy or sell, got none"),
        ("kraken", V2, "2026-09-25T07:48:36.925533Z", "2026-09-25 07:48:36",
         "expected an ISO 8601 time with its zone, such as 2026-09-15T12:00:07.5Z, "
         "got 2026-09-25 07:48:36"),
        ("kraken", V2, '"price":0.5', '"price":"0.5"',
         "expected number in field 'price', got the text \"0.5\""),
        ("kraken", V1, '"s","l"', '"ask","l"', "expected b or s, got ask"),
        ("kraken", V1, "1534614057.321597", "soon",
         "expected seconds since 1970, with up to 6 decimals kept, got soon"),
        ("coinbase", ADVANCED, '"BUY"', '"UNKNOWN_SIDE"',
         "expected BUY or SELL, the maker's, got UNKNOWN_SIDE"),
        ("coinbase", ADVANCED, '"trade_id":"100"', '"trade_id":100',
         "expected text in field 'trade_id', got the number 100"),
        ("coinbase", ADVANCED, "2026-09-15T12:00:07.5Z", "2026-09-15T12:00:07.5",
         "expected an ISO 8601 time with its zone, such as 2026-09-15T12:00:07.5Z, "
         "got 2026-09-15T12:00:07.5"),
    ],
)  # fmt: skip
def test_detail_names_expected_and_actual_value(
    exchange: str, frame: str, old: str, new: str, detail: str, few: int
) -> None:
    """In both decoding paths; the frames beside it are decoded."""
    assert old in frame
    decoded = read(exchange, frame, frame.replace(old, new), frame, few=few)
    (letter,) = decoded.dead_letters.rows(named=True)
    assert letter["detail"] == detail
    assert decoded.trades["row"].to_list() == [0, 2]


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        ("2,1.5,2,3,soon,True,True",
         "expected milliseconds or microseconds since 1970, got soon"),
        ("2,1.5,2,3,1789473605000,perhaps,True", "expected true or false, got perhaps"),
        ("two,1.5,2,3,1789473605000,True,True", "expected a whole number below 2^64, got two"),
    ],
)  # fmt: skip
def test_detail_of_a_dump_line_names_expected_and_actual_value(line: str, detail: str) -> None:
    """The lines beside it are decoded."""
    good = "1,1.5,2,3,1789473605000,True,True"
    decoded = read("binance", f"{good}\n{line}", connection=f"{FROM_DUMP}BTCUSDT")
    (letter,) = decoded.dead_letters.rows(named=True)
    assert letter["detail"] == detail
    assert decoded.trades["trade_id"].to_list() == ["1"]


@pytest.mark.parametrize("few", [0, 40])
@pytest.mark.parametrize(
    ("text", "microseconds"),
    [
        ("2026-09-15T12:00:07.5Z", 1_789_473_607_500_000),
        ("2026-09-15T12:00:07.5+00:00", 1_789_473_607_500_000),
        ("2026-09-15T12:00:07.500000999-0000", 1_789_473_607_500_000),
        ("2026-09-15T14:30:07+02:30", 1_789_473_607_000_000),
        ("2026-09-14T23:00:07.25-13:00", 1_789_473_607_250_000),
        ("2026-09-15t12:00:07z", 1_789_473_607_000_000),
    ],
)
def test_time_with_an_offset_is_converted_to_utc(text: str, microseconds: int, few: int) -> None:
    """Digits beyond the microsecond are cut; other times of the batch are unaffected."""
    frames = [frame.replace("2026-09-15T12:00:07.5Z", text) for frame in (ADVANCED, ADVANCED)]
    decoded = read("coinbase", ADVANCED, *frames, few=few)
    assert decoded.dead_letters.is_empty()
    times = decoded.trades["timestamp"].dt.timestamp("us").to_list()
    assert times == [1_789_473_607_500_000, microseconds, microseconds]


@pytest.mark.parametrize(
    "text", ["2026-09-15T12:00:075Z", "2026-09-15T12:00:07.Z", "2026-09-31T12:00:07+00:00",
             "2026-09-15T12:00:07+25:00", "2026-09-15T12:00:07 +00:00", ""],
)  # fmt: skip
def test_invalid_time_is_a_dead_letter(text: str) -> None:
    frame = ADVANCED.replace("2026-09-15T12:00:07.5Z", text)
    assert read("coinbase", frame).dead_letters["reason"].to_list() == ["bad_time"]
