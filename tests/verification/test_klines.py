"""Klines that exchanges publish are read exactly, or refused."""

from decimal import Decimal

import pytest

from candlewax.verification.klines import (
    KlinesError,
    find_unified_symbol,
    parse_file_name,
    read_binance,
    read_kraken,
)

NAMES = (
    b"open_time,open,high,low,close,volume,close_time,quote_volume,count,"
    b"taker_buy_volume,taker_buy_quote_volume,ignore\n"
)
ROW = (
    b"1721347020000,63930.40,63952.70,63930.10,63952.60,38.947,1721347079999,"
    b"2490421.07850,434,32.253,2062351.12880,0\n"
)

OHLC = b"""{"error":[],"result":{"XXBTZUSD":[
[1762777140,"106038.3","106038.4","106038.1","106038.2","106038.3","0.00032101",3],
[1762777200,"106038.2","106038.2","106038.2","106038.2","0.0","0.00000000",0],
[1762777260,"1","1","1","1","1","1",1]],"last":1762777200}}"""


@pytest.mark.parametrize("text", [NAMES + ROW, ROW, b"\xef\xbb\xbf" + ROW, ROW.rstrip()])
def test_kline_is_read_with_and_without_a_header(text: bytes) -> None:
    """With exact amounts; it has no average price."""
    (row,) = read_binance(text).rows.rows(named=True)
    assert row == {
        "window_start": 1_721_347_020_000_000,
        "open": Decimal("63930.40"), "high": Decimal("63952.70"), "low": Decimal("63930.10"),
        "close": Decimal("63952.60"), "volume": Decimal("38.947"),
        "quote_volume": Decimal("2490421.07850"), "trade_count": 434,
        "buy_volume": Decimal("32.253"), "buy_quote_volume": Decimal("2062351.12880"),
        "vwap": None, "vwap_digits": None,
    }  # fmt: skip


def test_microseconds_are_recognized_by_size() -> None:
    """As in the files of spot since 2025."""
    later = ROW.replace(b"1721347020000", b"1735689600000000")
    assert read_binance(later).rows["window_start"].to_list() == [1_735_689_600_000_000]


def test_kraken_answer_is_read_up_to_the_committed_candle() -> None:
    """The row after `last` can still change."""
    klines = read_kraken(OHLC)
    assert (klines.native_symbol, klines.timeframe, klines.open) == ("XXBTZUSD", "1m", 1)
    assert klines.rows["window_start"].to_list() == [1_762_777_140_000_000, 1_762_777_200_000_000]
    first = klines.rows.row(0, named=True)
    assert first["vwap"] == Decimal("106038.3")
    assert (first["vwap_digits"], first["trade_count"]) == (1, 3)
    assert first["volume"] == Decimal("0.00032101")
    assert first["quote_volume"] is None


def test_unquoted_number_keeps_its_digits() -> None:
    """It is not read as a float."""
    long = OHLC.replace(b'"106038.4"', b"106038.123456789012")
    assert read_kraken(long).rows["high"][0] == Decimal("106038.123456789012")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "empty"),
        (b"1,2,3\n", "expected 12 columns, got 3"),
        (NAMES + ROW.replace(b"38.947", b"3.8e1"), "line 2: volume is '3.8e1'"),
        (ROW.replace(b"38.947", b"38.9470000000001"), "line 1: volume"),
        (ROW.replace(b"38.947", b""), "line 1: volume is None"),
        (ROW.replace(b"434", b"-1"), "line 1: trade_count is '-1'"),
        (ROW + ROW, "a window twice"),
    ],
)
def test_inexact_file_is_refused(text: bytes, message: str) -> None:
    """The message names the line and the field."""
    with pytest.raises(KlinesError, match=message):
        read_binance(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[]", "no answer"),
        (b'{"error":["EQuery:Unknown asset pair"]}', "no answer"),
        (b'{"result":{"A":[],"B":[],"last":1}}', "no answer"),
        (b'{"result":{"A":[[1,"2"]],"last":1}}', "row 1: expected 8 fields"),
        (OHLC.replace(b'"0.00032101"', b'"x"'), "row 1: volume is 'x'"),
    ],
)
def test_malformed_answer_is_refused(text: bytes, message: str) -> None:
    """The message names the row and the field."""
    with pytest.raises(KlinesError, match=message):
        read_kraken(text)


@pytest.mark.parametrize(
    ("name", "market"),
    [
        ("BTCUSDT-1m-2024-01-01.csv", ("BTCUSDT", "1m")),
        ("BTCUSDT-1h-2024-01.zip", ("BTCUSDT", "1h")),
        ("BTCUSDT_240628-1d-2024-01.csv", ("BTCUSDT_240628", "1d")),
        ("klines.csv", None),
        ("BTCUSDT-1m.csv", None),
    ],
)
def test_file_name_gives_the_market(name: str, market: tuple[str, str] | None) -> None:
    """As Binance writes it."""
    assert parse_file_name(name) == market


@pytest.mark.parametrize(
    ("native", "symbol"),
    [
        ("XXBTZUSD", "BTC/USD"),
        ("XBTUSDT", "BTC/USDT"),
        ("XETHXXBT", "ETH/BTC"),
        ("XDGUSD", "DOGE/USD"),
        ("SOLUSD", "SOL/USD"),
        ("USDTZUSD", None),
    ],
)
def test_kraken_rest_names_are_understood(native: str, symbol: str | None) -> None:
    """Old names with their X and Z, and new ones without."""
    known = ["BTC/USD", "BTC/USDT", "ETH/BTC", "DOGE/USD", "SOL/USD"]
    assert find_unified_symbol(native, known) == symbol
