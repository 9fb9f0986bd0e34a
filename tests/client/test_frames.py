"""Frames of candles and trades, by Polars and pandas, from a directory and over HTTP."""

from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pytest

from candlewax import client
from candlewax.clickhouse.client import Database
from candlewax.client import reader
from candlewax.client.request import CANDLE, TRADE, RequestError
from tests.client.conftest import CANDLES, TRADES, WITH_GAP
from tests.support.web_server import BEGIN, candle, serving, trade


def closes(rows: pl.DataFrame) -> list[Decimal]:
    return rows["close"].to_list()


def expected(first: int, after_last: int) -> list[Decimal]:
    return [candle(number)["close"] for number in range(first, after_last)]


def minute(number: int) -> datetime:
    return BEGIN + timedelta(minutes=number)


def test_markets_are_those_with_candles() -> None:
    assert client.markets().select("exchange", "symbol").rows() == [("binance", "BTC/USDT")]


def test_candles_have_exact_decimals_in_order() -> None:
    found = client.candles("BTC/USDT")
    assert found.schema == CANDLE
    assert closes(found) == expected(0, CANDLES)
    assert found["low"][0] == Decimal("99.999999999999")
    assert found["window_start"][0] == BEGIN


@pytest.mark.parametrize("name", ["BTCUSDT", "btc-usdt", "XBT/USDT"])
def test_market_is_known_by_other_names(name: str) -> None:
    found = client.candles(name)
    assert set(found["symbol"]) == {"BTC/USDT"}
    assert found.height == CANDLES


def test_closed_leaves_out_the_forming_candle_and_complete_those_without_proof() -> None:
    assert closes(client.candles("BTC/USDT", closed=True)) == expected(0, CANDLES - 1)
    complete = expected(0, CANDLES - 1)
    del complete[WITH_GAP]
    assert closes(client.candles("BTC/USDT", complete=True)) == complete


def test_empty_database_is_told_before_an_unknown_name(tables: Database) -> None:
    with pytest.raises(RequestError, match=r"^no candles are stored$"):
        reader.Reader(tables).select_markets(["okx"], ["BTC/USDT"])


def test_no_candle_is_a_frame_with_all_columns() -> None:
    assert client.candles("BTC/USDT", "1h").schema == CANDLE


@pytest.mark.parametrize("page_rows", [7, 50, 100_000])
@pytest.mark.parametrize(
    ("begin", "end", "first", "after_last"),
    [
        (minute(10), minute(20), 10, 20),
        (minute(10) + timedelta(microseconds=1), minute(20) + timedelta(microseconds=1), 11, 21),
        ("2026-09-14T12:10", "2026-09-14T14:20:00+02:00", 10, 20),
        (date(2026, 9, 14), None, 0, CANDLES),
        (None, minute(0), 0, 0),
    ],
)
def test_candles_of_a_time_range(
    monkeypatch: pytest.MonkeyPatch,
    page_rows: int,
    begin: Any,
    end: Any,
    first: int,
    after_last: int,
) -> None:
    monkeypatch.setattr(reader, "PAGE_ROWS", page_rows)
    assert closes(client.candles("BTC/USDT", begin=begin, end=end)) == expected(first, after_last)


@pytest.mark.parametrize("page_rows", [1, 4, 30, 100_000])
def test_trades_come_once_each_whatever_the_pages(
    monkeypatch: pytest.MonkeyPatch, page_rows: int
) -> None:
    monkeypatch.setattr(reader, "PAGE_ROWS", page_rows)
    found = client.trades("BTC/USDT")
    assert found.schema == TRADE
    wanted = [trade(number) for number in range(TRADES)]
    assert found["trade_id"].to_list() == [one["trade_id"] for one in wanted]
    assert found["timestamp"].to_list() == [one["timestamp"] for one in wanted]
    assert found["price"].to_list() == [one["price"] for one in wanted]


def test_pandas_has_decimals_or_floats() -> None:
    exact = client.candles("BTC/USDT", frame="pandas")
    assert isinstance(exact, pd.DataFrame)
    assert list(exact["close"]) == expected(0, CANDLES)
    floats = client.candles("BTC/USDT", frame="pandas", numbers="float")
    assert floats["close"].dtype == "float64"
    assert list(floats["close"]) == [float(close) for close in expected(0, CANDLES)]


def test_running_server_answers_like_the_directory(stored: Database, engine_path: Path) -> None:
    with serving(stored, engine_path) as served:
        address = f"http://127.0.0.1:{served.client.port}"
        assert client.candles("BTC/USDT", database=address).equals(client.candles("BTC/USDT"))
        assert client.trades("BTC/USDT", database=address).equals(client.trades("BTC/USDT"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"symbol": "BTC-USD"},
            "symbol: got 'BTC-USD', takes one that is stored, such as BTC/USDT",
        ),
        (
            {"exchange": "krakn"},
            "exchange: got 'krakn', takes one that is stored, such as binance",
        ),
        ({"timeframe": "2m"}, "timeframe: got '2m', takes 1m, 5m, 15m, 30m, 1h, 1d"),
        ({"numbers": "double"}, "numbers: got 'double', takes 'exact' or 'float'"),
        ({"frame": "arrow"}, "frame: got 'arrow', takes 'polars' or 'pandas'"),
        ({"begin": "yesterday"}, "begin: takes a date or a time"),
        ({"end": datetime(2026, 9, 14)}, "end: got 2026-09-14 00:00:00, takes a time with its"),  # noqa: DTZ001 - it is refused
        ({"begin": 1_789_430_400}, "begin: got 1789430400, takes text, a date, or a time with its"),
        (
            {"begin": "2026-09-15", "end": "2026-09-14"},
            "end: got 2026-09-14, takes a time after begin, which is 2026-09-15",
        ),
        ({"database": "ftp://a:secret@b:1"}, "database: takes a directory, or an address with its"),
        ({"database": "http://127.0.0.1:99999"}, "database: takes a directory, or an address with"),
        ({"database": "127.0.0.1:8000"}, "database: takes a directory, or an address with its"),
        ({"database": ""}, "database: takes a directory, or an address with its port"),
    ],
)
def test_wrong_argument_is_named_with_what_it_takes(
    arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(client.RequestError, match="^" + message.replace("(", r"\(")):
        client.candles(**{"symbol": "BTC/USDT", **arguments})
