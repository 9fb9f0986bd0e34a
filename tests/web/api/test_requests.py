"""Requests to the API: filters, several markets, orders, names, times; and errors that help."""

import csv
import io
from collections.abc import Iterator
from datetime import datetime
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from candlewax.clickhouse.client import Database
from candlewax.exchanges import EXCHANGES
from tests.support.api_candles import at, follow
from tests.support.states import SECONDS, store_states
from tests.support.traded_market import COUNT, FIRST, candles, traded_tables, trades
from tests.support.web_server import BEGIN, CANDLES, Answer, Client

BTC = {"exchange": "binance", "symbol": "BTC/USDT"}
BOTH = {"exchange": "binance", "symbol": "ETH/USDT,BTC/USDT"}
TRADES = "/api/v1/trades"
TICKERS = "/api/v1/tickers"


@pytest.fixture(scope="module")
def shared_tables(engine: Database, engine_path: Path) -> Iterator[Database]:
    """Three traded markets, one more with candles of each status, and gaps of each state."""
    with traded_tables(engine, engine_path, "of_requests") as tables:
        store_states(tables)
        yield tables


def starts(answer: Answer) -> list[str]:
    return [one["window_start"] for one in answer.rows]


SOL = {**BTC, "symbol": "SOL/USDT"}


@pytest.mark.parametrize(
    ("asked", "numbers"),
    [
        ({"closed": "true"}, range(199)),
        ({"closed": "false"}, [199]),
        ({"closed": "true", "limit": 2}, [197, 198]),
        ({"status": "complete"}, range(0, 199, 4)),
        ({"status": "gaps,partial", "limit": 3}, [194, 197, 198]),
        ({"status": "complete", "from": at(1), "limit": 2}, [4, 8]),
        ({"status": "forming", "closed": "true"}, []),
        ({"status": "complete", "from": at(1), "to": at(4)}, []),
    ],
)
def test_only_selected_candles_are_returned(
    client: Client, asked: dict[str, Any], numbers: Any
) -> None:
    """The limit counts those that are selected. Two requests: from the tables and from memory."""
    for _ in range(2):
        answer = client.ask(CANDLES, {**SOL, **asked})
        assert starts(answer) == [at(number) for number in numbers]


def test_selected_candles_are_paged_through_each_once(client: Client) -> None:
    """In every form, as links keep the filter."""
    answer = client.ask(CANDLES, {**SOL, "status": "gaps", "limit": 20})
    found = starts(answer)
    while answer.json["next"]:
        answer = follow(client, answer.json["next"])
        found = starts(answer) + found
    assert found == [at(number) for number in range(1, 199, 4)]
    text = client.ask(CANDLES, {**SOL, "status": "gaps", "format": "csv"}).body.decode()
    assert [one["window_start"] for one in csv.DictReader(io.StringIO(text))] == found


@pytest.mark.parametrize("span", [{}, {"from": at(0)}])
def test_several_markets_are_paged_through_each_candle_once(
    client: Client, span: dict[str, str]
) -> None:
    """Each row names its market; a page of all ends at the same time."""
    asked = {**BTC, "symbol": "ETH/USDT,SOL/USDT", "limit": 70, **span}
    answer = client.ask(CANDLES, asked)
    assert answer.json["symbols"] == ["ETH/USDT", "SOL/USDT"]
    found = [(one["symbol"], one["window_start"]) for one in answer.rows]
    while answer.json["next"]:
        answer = follow(client, answer.json["next"])
        found += [(one["symbol"], one["window_start"]) for one in answer.rows]
    assert len(found) == len(set(found))
    assert set(found) == {
        *(("ETH/USDT", at(number)) for number in range(len(candles()))),
        *(("SOL/USDT", at(number)) for number in range(200)),
    }


def test_several_markets_are_the_same_in_every_form(client: Client) -> None:
    """In the order of the request, with exchange and symbol in front."""
    rows = client.ask(CANDLES, BOTH).rows
    expected = [(symbol, one["open"]) for symbol in ("ETH/USDT", "BTC/USDT") for one in candles()]
    assert [(one["symbol"], Decimal(one["open"])) for one in rows] == expected
    text = client.ask(CANDLES, {**BOTH, "format": "csv"}).body.decode()
    lines = list(csv.DictReader(io.StringIO(text)))
    assert [(one["symbol"], Decimal(one["open"])) for one in lines] == expected
    assert list(lines[0])[:2] == list(rows[0])[:2] == ["exchange", "symbol"]
    parquet = client.ask(CANDLES, {**BOTH, "format": "parquet"}).body
    assert pl.read_parquet(io.BytesIO(parquet)).select("symbol", "open").rows() == expected
    arrow = client.ask(CANDLES, {**BOTH, "format": "arrow"}).body
    assert pl.read_ipc_stream(io.BytesIO(arrow)).select("symbol", "open").rows() == expected


def test_limit_of_several_markets_counts_for_each_and_has_a_bound(client: Client) -> None:
    answer = client.ask(CANDLES, {**BOTH, "limit": 2})
    assert [one["symbol"] for one in answer.rows] == ["ETH/USDT"] * 2 + ["BTC/USDT"] * 2
    refused = client.ask(CANDLES, {**BOTH, "limit": 5001})
    assert refused.refusal == (400, "bad_parameter", "limit")
    assert "5000" in refused.json["error"]["message"]


@pytest.mark.parametrize("form", ["json", "csv", "parquet", "arrow"])
def test_descending_order_is_the_ascending_one_reversed(client: Client, form: str) -> None:
    """It takes the newest rows of a span, also with `from`."""
    for span in ({}, {"from": at(2), "to": at(7)}, {"from": at(0), "limit": 3}):
        asked = {**BTC, "format": form, **span}
        found = rows_of(client.ask(CANDLES, {**asked, "order": "desc"}), form)
        expected = rows_of(client.ask(CANDLES, {**asked, "limit": 1000}), form)
        assert found == expected[::-1][: len(found)]
        assert len(found) == span.get("limit", len(expected))


def rows_of(answer: Answer, form: str) -> list[Any]:
    if form == "json":
        return answer.rows
    if form == "csv":
        return list(csv.DictReader(io.StringIO(answer.body.decode())))
    read = pl.read_parquet if form == "parquet" else pl.read_ipc_stream
    return read(io.BytesIO(answer.body)).rows()


@pytest.mark.parametrize("begin", [None, at(2)])
def test_descending_pages_hold_each_row_once(client: Client, begin: str | None) -> None:
    """Candles and trades, down to the begin if there is one."""
    span = {"from": begin} if begin else {}
    numbers = range(8, 1 if begin else -1, -1)
    since = datetime.fromisoformat(begin) if begin else BEGIN
    ids = [one["trade_id"] for one in trades() if one["timestamp"] >= since]
    for path, expected in ((CANDLES, [at(number) for number in numbers]), (TRADES, ids[::-1])):
        answer = client.ask(path, {**BTC, **span, "order": "desc", "limit": 7})
        found = answer.rows
        while answer.json["next"]:
            answer = follow(client, answer.json["next"])
            found += answer.rows
        key = "window_start" if path == CANDLES else "trade_id"
        assert [one[key] for one in found] == expected


def test_page_that_ends_with_its_span_has_no_link(client: Client) -> None:
    """In both orders: the span of a next page would be empty."""
    for order in ("asc", "desc"):
        asked = {**BTC, "from": at(2), "to": at(4), "order": order, "limit": 2}
        answer = client.ask(CANDLES, asked)
        assert (len(answer.rows), answer.json["next"]) == (2, None)


@pytest.mark.parametrize(
    ("exchange", "name", "symbol"),
    [
        ("binance", "BTCUSDT", "BTC/USDT"),
        ("binance", "btc-usdt", "BTC/USDT"),
        ("binance", "XBT/USDT", "BTC/USDT"),
        ("binance", "ETH_USDT", "ETH/USDT"),
        ("kraken", "XBT/USD", "BTC/USD"),
        ("kraken", "BTC-USD", "BTC/USD"),
    ],
)
def test_other_names_are_answered_with_what_was_meant(
    client: Client, exchange: str, name: str, symbol: str
) -> None:
    """The answer names the market."""
    for path in (CANDLES, TRADES):
        answer = client.ask(path, {"exchange": exchange, "symbol": name})
        assert answer.json["symbols"] == [symbol]
        assert answer.rows
    ticker = client.ask(TICKERS, {"exchange": exchange, "symbol": name})
    assert [one["symbol"] for one in ticker.rows] == [symbol]


@pytest.mark.parametrize(
    ("exchange", "name", "hint"),
    [
        ("binance", "BTC/USD", "it is stored of kraken"),
        ("binance", "BTC/USTD", "there is BTC/USDT"),
        ("coinbase", "BTC/USD", "it is stored of kraken"),
        ("binance", "!", "nothing is stored of !"),
    ],
)
def test_unknown_market_is_refused_with_what_may_be_meant(
    client: Client, exchange: str, name: str, hint: str
) -> None:
    for path in (CANDLES, TRADES, TICKERS):
        answer = client.ask(path, {"exchange": exchange, "symbol": name})
        assert answer.refusal == (404, "unknown_market", "symbol")
        assert hint in answer.json["error"]["message"]


@pytest.mark.parametrize(
    "begin",
    [
        SECONDS + 60, (SECONDS + 60) * 1000, (SECONDS + 60) * 10**6, (SECONDS + 60) * 10**9,
        "2026-09-14T14:01:00+02:00", "2026-09-14T14:01:00 02:00", "20260914T120100Z",
        "2026-09-14t12:01z", "2026-09-14 12:01:00.000Z",
    ],
)  # fmt: skip
def test_time_is_taken_in_any_unit_and_form(client: Client, begin: int | str) -> None:
    """Told apart by size. The blank is a + that was not escaped."""
    if isinstance(begin, str) and " 02:00" in begin:
        address = (
            f"{CANDLES}?exchange=binance&symbol=BTCUSDT&limit=1&from={begin.replace(' ', '+')}"
        )
        assert starts(client.ask(address)) == [at(1)]
    assert starts(client.ask(CANDLES, {**BTC, "from": begin, "limit": 1})) == [at(1)]


def test_date_is_its_midnight_in_utc(client: Client) -> None:
    assert starts(client.ask(CANDLES, {**BTC, "from": "2026-09-14", "limit": 1})) == [at(0)]
    assert client.ask(CANDLES, {**BTC, "to": "2026-09-14"}).rows == []


@pytest.mark.parametrize(
    ("path", "changed", "parts"),
    [
        (CANDLES, {"exchange": "nasdaq"}, (", ".join(EXCHANGES), "nasdaq")),
        (CANDLES, {"limit": "ten"}, ("from 1 to 10000", "ten")),
        (CANDLES, {"format": "xml"}, ("arrow, csv, json, parquet", "xml")),
        (CANDLES, {"closed": "maybe"}, ("true or false", "maybe")),
        (CANDLES, {"status": "good"}, ("complete, forming, gaps, partial, unverified", "good")),
        (CANDLES, {"order": "up"}, ("asc, desc", "up")),
        (
            CANDLES,
            {"colour": "red"},
            ("exchange, symbol, closed, status, reconciled, order, limit",),
        ),
        (CANDLES, {"from": "20260914"}, ("without its hyphens",)),
        (CANDLES, {"from": "2026-09-14T12:00:00"}, ("has no zone",)),
        (CANDLES, {"symbol": ",".join(["A/B"] * 21)}, ("1 to 20 names",)),
        ("/api/v1/gaps", {"state": "closed"}, ("open, repaired, repairing, unrepairable",)),
        ("/api/v1/ohlcv/2m", {}, ("1m, 5m, 15m, 30m, 1h, 1d", "2m")),
    ],
)
def test_error_names_what_is_allowed(
    client: Client, path: str, changed: dict[str, str], parts: tuple[str, ...]
) -> None:
    """And what was given; never a pattern."""
    message = client.ask(path, {**BTC, **changed}).json["error"]["message"]
    assert all(part in message for part in parts), message
    assert "regex" not in message
    assert "^" not in message


def test_gaps_are_filtered_by_state_and_symbol(client: Client) -> None:
    """Several of each, and in both orders."""
    asked = {"exchange": "binance", "state": "open,repairing", "symbol": "ETHUSDT,SOL/USDT"}
    rows = client.ask("/api/v1/gaps", asked).rows
    expected = [("ETH/USDT", "open"), ("ETH/USDT", "repairing")]
    assert [(one["symbol"], one["state"]) for one in rows] == expected
    turned = client.ask("/api/v1/gaps", {**asked, "order": "desc"}).rows
    assert turned == rows[::-1]
    assert len(client.ask("/api/v1/gaps").rows) == 8


def cut(price: Decimal) -> Decimal:
    """A price without what is beyond its twelfth decimal."""
    return price.quantize(Decimal("1e-12"), ROUND_DOWN)


def test_tickers_hold_the_latest_price_and_24_hours(client: Client) -> None:
    """They follow from all trades; the hours end with the newest minute of the exchange."""
    (kraken,) = client.ask(TICKERS, {"exchange": "kraken"}).rows
    first, last = trades()[0], trades()[-1]
    volume = sum(one["quantity"] for one in trades())
    value = sum(one["quote_volume"] for one in trades())
    exact = {
        "price": last["price"], "open": first["price"],
        "high": max(one["price"] for one in trades()), "low": min(one["price"] for one in trades()),
        "change": last["price"] - first["price"],
        "change_percent": round(100 * (last["price"] - first["price"]) / first["price"], 4),
        "vwap": cut(value / volume), "volume": volume, "quote_volume": value,
        "buy_volume": sum(one["quantity"] for one in trades() if one["side"] == "BUY"),
    }  # fmt: skip
    assert {name: Decimal(kraken[name]) for name in exact} == exact
    assert datetime.fromisoformat(kraken["time"]) == last["timestamp"]
    assert (kraken["window_start"], kraken["window_end"]) == (at(9 - 24 * 60), at(9))
    assert kraken["trade_count"] == COUNT
    # Binance's newest trade is one of SOL/USDT's day, so its hours end there.
    by_symbol = {one["symbol"]: one for one in client.ask(TICKERS, {"exchange": "binance"}).rows}
    assert set(by_symbol) == {"BTC/USDT", "ETH/USDT", "SOL/USDT"}
    assert by_symbol["BTC/USDT"]["last_sequence"] == FIRST + COUNT - 1
    two = client.ask(TICKERS, {"symbol": "BTC/USDT,BTC/USD", "format": "csv"}).body.decode()
    names = [(one["exchange"], one["symbol"]) for one in csv.DictReader(io.StringIO(two))]
    assert names == [("binance", "BTC/USDT"), ("kraken", "BTC/USD")]
