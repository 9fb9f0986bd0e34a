"""The addresses in Binance's shape: fields, spans, ids and errors."""

from decimal import Decimal
from typing import Any

import pytest

from candlewax.clickhouse.client import Database
from tests.support.traded_market import COUNT, FIRST, candles, trade, trades
from tests.support.web_server import BEGIN, Answer, Client

BEGIN_MS = int(BEGIN.timestamp()) * 1000
BTC = {"symbol": "BTCUSDT"}
KLINES = {**BTC, "interval": "1m"}


def kline(one: dict[str, Any], step_ms: int = 60_000) -> list[Any]:
    """A candle as Binance writes it, with exact amounts."""
    start = int(one["window_start"].timestamp()) * 1000
    return [
        start, one["open"], one["high"], one["low"], one["close"], one["volume"],
        start + step_ms - 1, one["quote_volume"], one["trade_count"], one["buy_volume"],
        one["buy_quote_volume"], "0",
    ]  # fmt: skip


def exact(lines: list[list[Any]]) -> list[list[Any]]:
    """Lines of klines with their amounts as decimals; each of them must be text."""
    for line in lines:
        assert all(isinstance(line[place], str) for place in (1, 2, 3, 4, 5, 7, 9, 10))
    return [
        [Decimal(value) if isinstance(value, str) else value for value in line[:11]] + line[11:]
        for line in lines
    ]


def code(answer: Answer) -> int:
    """The code of an error, which has a message, and no other fields."""
    assert answer.status >= 400
    assert set(answer.json) == {"code", "msg"}
    assert answer.json["msg"]
    found: int = answer.json["code"]
    return found


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ({}, 0, 8),
        ({"limit": 2}, 7, 8),
        ({"limit": 5000}, 0, 8),
        ({"startTime": BEGIN_MS + 60_000, "limit": 2}, 1, 2),
        ({"startTime": BEGIN_MS + 60_000, "endTime": BEGIN_MS + 180_000}, 1, 3),
        ({"startTime": BEGIN_MS + 1, "endTime": BEGIN_MS + 119_999}, 1, 1),
        ({"endTime": BEGIN_MS + 60_000}, 0, 1),
        ({"startTime": (BEGIN_MS + 60_000) * 1000, "limit": 1}, 1, 1),
        ({"endTime": 9_999_999_999_999}, 0, 8),
    ],
)
def test_klines_have_twelve_fields_and_spans_include_their_end(
    client: Client, asked: dict[str, int], first: int, last: int
) -> None:
    """The last ones without a start; the forming one is among them."""
    answer = client.ask("/api/v3/klines", {**KLINES, **asked})
    assert exact(answer.json) == [kline(one) for one in candles()[first : last + 1]]


def test_span_without_a_candle_is_empty(client: Client) -> None:
    """Also one that ends before it begins, as at Binance."""
    for asked in ({"startTime": BEGIN_MS + 10**9}, {"startTime": BEGIN_MS, "endTime": 0}):
        assert client.ask("/api/v3/klines", {**KLINES, **asked}).json == []


@pytest.mark.parametrize("name", ["BTCUSDT", "BTC/USDT", "btc-usdt", "XBTUSDT", "btcusdt"])
def test_symbol_is_found_by_any_of_its_names(client: Client, name: str) -> None:
    answer = client.ask("/api/v3/klines", {**KLINES, "symbol": name, "limit": 1})
    assert exact(answer.json) == [kline(candles()[-1])]


def test_each_exchange_has_a_path_of_its_own(client: Client) -> None:
    """The path without one is that of Binance."""
    kraken = client.ask("/kraken/api/v3/klines", {**KLINES, "symbol": "BTCUSD"})
    assert len(kraken.json) == len(candles())
    assert code(client.ask("/kraken/api/v3/klines", KLINES)) == -1121
    assert code(client.ask("/nasdaq/api/v3/klines", KLINES)) == -1121
    (market,) = client.ask("/kraken/api/v3/exchangeInfo").json["symbols"]
    assert (market["symbol"], market["baseAsset"], market["quoteAsset"]) == ("BTCUSD", "BTC", "USD")


def test_steps_of_a_market_are_coarse_enough_for_programs_that_check_them(
    client: Client, shared_tables: Database
) -> None:
    """Those of the table of instruments if it has them, else 10^-8, as at Binance; no finer ones,
    which freqtrade refuses. A market that does not trade has a break.
    """
    (market,) = client.ask("/api/v3/exchangeInfo", BTC).json["symbols"]
    price, lot = market["filters"]
    assert (price["tickSize"], lot["stepSize"], market["status"]) == (
        "0.00000001",
        "0.00000001",
        "TRADING",
    )
    shared_tables.client.command(
        "INSERT INTO instruments (exchange, native_symbol, symbol, tick, status) "
        "VALUES ('binance', 'BTCUSDT', 'BTC/USDT', 0.01, 'suspended')"
    )
    (market,) = client.ask("/api/v3/exchangeInfo", BTC).json["symbols"]
    shared_tables.client.command("TRUNCATE TABLE instruments")
    assert market["filters"][0] == {
        "filterType": "PRICE_FILTER",
        "minPrice": "0.01",
        "maxPrice": price["maxPrice"],
        "tickSize": "0.01",
    }
    assert market["status"] == "BREAK"


def test_trades_are_found_by_id_and_by_time(client: Client) -> None:
    """With every digit, the taker's side, and null for what is not known."""
    made = trade(30)
    expected = {
        "id": FIRST + 30, "price": made["price"], "qty": made["quantity"],
        "quoteQty": made["quote_volume"], "time": BEGIN_MS + 270_000,
        "isBuyerMaker": made["side"] == "SELL", "isBestMatch": None,
    }  # fmt: skip
    (found,) = client.ask(
        "/api/v3/historicalTrades", {**BTC, "fromId": FIRST + 30, "limit": 1}
    ).json
    amounts = {name: Decimal(found[name]) for name in ("price", "qty", "quoteQty")}
    assert {**found, **amounts} == expected
    for asked, numbers in (
        ({}, range(COUNT)),
        ({"fromId": FIRST + 57}, range(57, COUNT)),
        ({"fromId": 0, "limit": 2}, range(2)),
        ({"fromId": FIRST + COUNT}, range(0)),
        ({"startTime": BEGIN_MS + 9_000, "endTime": BEGIN_MS + 27_000}, range(1, 4)),
        ({"endTime": BEGIN_MS + 26_999, "limit": 1}, range(2, 3)),
    ):
        rows = client.ask("/api/v3/aggTrades", {**BTC, **asked}).json
        assert [(one["a"], one["f"], one["l"]) for one in rows] == [
            (FIRST + number,) * 3 for number in numbers
        ]
    (last,) = client.ask("/api/v3/trades", {**BTC, "limit": 1}).json
    assert last["id"] == FIRST + COUNT - 1


def test_trades_without_numbers_have_their_text_as_id(client: Client) -> None:
    """And cannot be asked for by number, which the error says."""
    asked = {"symbol": "BTCUSD"}
    (last,) = client.ask("/kraken/api/v3/trades", {**asked, "limit": 1}).json
    assert last["id"] == f"made-{COUNT - 1}"
    refused = client.ask("/kraken/api/v3/historicalTrades", {**asked, "fromId": 1})
    assert code(refused) == -1100
    assert "startTime" in refused.json["msg"]


def test_tickers_follow_from_the_trades_of_24_hours(client: Client) -> None:
    """One market is an object, several are a list."""
    day = client.ask("/api/v3/ticker/24hr", BTC).json
    first, last = trades()[0]["price"], trades()[-1]["price"]
    volume = sum(one["quantity"] for one in trades())
    value = sum(one["quote_volume"] for one in trades())
    assert Decimal(day["priceChange"]) == last - first
    assert Decimal(day["priceChangePercent"]) == round(100 * (last - first) / first, 4)
    assert Decimal(day["weightedAvgPrice"]) == round(value / volume, 12)
    assert Decimal(day["highPrice"]) == max(one["price"] for one in trades())
    assert Decimal(day["quoteVolume"]) == value
    assert (day["firstId"], day["lastId"], day["count"]) == (FIRST, FIRST + COUNT - 1, COUNT)
    assert day["closeTime"] - day["openTime"] == 24 * 3600 * 1000 - 1
    assert day["closeTime"] == BEGIN_MS + 9 * 60_000 - 1
    prices = client.ask("/api/v3/ticker/price", {"symbols": '["ETHUSDT","BTCUSDT"]'}).json
    assert {one["symbol"] for one in prices} == {"BTCUSDT", "ETHUSDT"}
    assert {Decimal(one["price"]) for one in prices} == {last}


@pytest.mark.parametrize(
    ("path", "asked", "expected", "text"),
    [
        ("klines", BTC, -1102, "interval"),
        ("klines", {**KLINES, "interval": "2m"}, -1120, "30m"),
        ("klines", {**KLINES, "limit": 0}, -1100, "limit"),
        ("klines", {**KLINES, "startTime": "soon"}, -1100, "startTime"),
        ("klines", {**KLINES, "timeZone": "3"}, -1100, "timeZone"),
        ("klines", {**KLINES, "colour": "red"}, -1104, "colour"),
        ("klines", {**KLINES, "symbol": "BTCUSD"}, -1121, "kraken"),
        ("trades", {}, -1102, "symbol"),
        ("aggTrades", {**BTC, "fromId": 1, "startTime": BEGIN_MS}, -1128, "fromId"),
        ("historicalTrades", {**BTC, "fromId": "x"}, -1100, "fromId"),
        ("ticker/price", {"symbols": "BTCUSDT"}, -1100, "JSON array"),
        ("ticker/price", {**BTC, "symbols": '["BTCUSDT"]'}, -1128, "symbols"),
        ("depth", BTC, -1020, "klines"),
        ("account", {}, -1020, "klines"),
    ],
)
def test_error_has_the_code_of_binance_and_names_what_is_wrong(
    client: Client, path: str, asked: dict[str, Any], expected: int, text: str
) -> None:
    answer = client.ask(f"/api/v3/{path}", asked)
    assert code(answer) == expected
    assert text in answer.json["msg"]


def test_order_is_refused(client: Client) -> None:
    assert code(client.ask("/api/v3/order", BTC, method="POST")) == -1020
