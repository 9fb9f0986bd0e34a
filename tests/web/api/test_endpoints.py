"""The API over HTTP: its answers, formats, pages and refusals."""

import csv
import io
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path

import polars as pl
import pytest

from candlewax.clickhouse.client import Database, open_tables
from candlewax.exchanges import EXCHANGES
from tests.support.api_candles import COUNT, at, candle_json, follow, plain, shown
from tests.support.web_server import (
    BEGIN,
    CANDLES,
    MARKET,
    Client,
    candle,
    serving,
    store_candles,
    store_trades,
    trade,
)

TRADES = "/api/v1/trades"


@pytest.mark.parametrize(
    "symbol", ["BTC/USDT' OR 1=1 --", "{x:String}", "龙虾/USDT", "btc/usd", "\0", "%", "a\nb"]
)
@pytest.mark.parametrize("path", [CANDLES, "/api/v1/trades"])
def test_market_that_is_not_stored_is_not_found(client: Client, path: str, symbol: str) -> None:
    """Whatever its name holds: names are passed as values, never as SQL."""
    answer = client.ask(path, {**MARKET, "symbol": symbol})
    assert answer.refusal == (404, "unknown_market", "symbol")


@pytest.mark.parametrize("symbol", ["龙虾/USDT", "TSLAx/USD", "A&B+C/D E", "BTC/USDT:USDT-250627"])
def test_market_with_any_name_is_found_by_each_endpoint(
    engine: Database, engine_path: Path, symbol: str
) -> None:
    """Names hold other scripts and characters that addresses must escape."""
    opened = open_tables(engine_path, "of_names")
    store_candles(opened, 2, symbol)
    store_trades(opened, 2)
    opened.client.command(
        "INSERT INTO silver_trades SELECT * REPLACE ({symbol:String} AS symbol) FROM silver_trades",
        parameters={"symbol": symbol},
    )
    try:
        with serving(opened, engine_path) as served:
            ask = served.client.ask
            names = {row["symbol"] for row in ask("/api/v1/symbols").json["data"]}
            assert symbol in names
            market = {**MARKET, "symbol": symbol}
            for path in (CANDLES, "/api/v1/trades"):
                assert len(ask(path, market).json["data"]) == 2
            assert ask("/api/v1/gaps", {"symbol": symbol}).json["data"] == []
            paged = ask(CANDLES, {**market, "limit": "1"})
            assert len(ask(paged.json["next"]).json["data"]) == 1
    finally:
        opened.close()
        engine.client.command("DROP DATABASE of_names SYNC")


def test_candles_are_returned_with_every_digit(client: Client) -> None:
    """The latest candles, ordered by time, with their status."""
    answer = client.ask(CANDLES, {**MARKET, "limit": 3})
    assert shown(answer.rows) == [candle_json(number) for number in range(COUNT - 3, COUNT)]
    assert [row["closed"] for row in answer.rows] == [True, True, False]
    assert [row["status"] for row in answer.rows] == ["complete", "complete", "forming"]


@pytest.mark.parametrize(
    ("span", "first", "last"),
    [
        ({"from": at(5), "to": at(8)}, 5, 7),
        ({"from": at(20)}, 20, COUNT - 1),
        ({"to": at(4)}, 0, 3),
        ({"from": str(int(BEGIN.timestamp())), "limit": 2}, 0, 1),
        ({"from": "2026-09-14T14:00:30+02:00", "limit": 1}, 1, 1),
        ({"to": "2026-09-14T12:02:00.5Z"}, 0, 2),
    ],
)
def test_span_includes_its_start_and_excludes_its_end(
    client: Client, span: dict[str, str], first: int, last: int
) -> None:
    """Times are given as text with any offset, or as seconds."""
    answer = client.ask(CANDLES, {**MARKET, **span})
    assert shown(answer.rows) == [candle_json(number) for number in range(first, last + 1)]


@pytest.mark.parametrize("begin", [None, at(0)])
def test_next_links_page_through_each_candle_once(client: Client, begin: str | None) -> None:
    """Backwards from the latest, or forwards from a given time."""
    request = {**MARKET, "limit": 7, **({"from": begin} if begin else {})}
    answer = client.ask(CANDLES, request)
    pages = [answer.rows]
    while answer.json["next"]:
        assert answer.headers["link"] == f'<{answer.json["next"]}>; rel="next"'
        answer = follow(client, answer.json["next"])
        pages.append(answer.rows)
    ordered = pages if begin else pages[::-1]
    assert shown(list(chain.from_iterable(ordered))) == [
        candle_json(number) for number in range(COUNT)
    ]


@pytest.mark.parametrize("begin", [None, at(0)])
def test_next_links_page_through_each_trade_once(client: Client, begin: str | None) -> None:
    """Also if a page ends between trades of the same microsecond."""
    answer = client.ask(TRADES, {**MARKET, "limit": 4, **({"from": begin} if begin else {})})
    pages = [answer.rows]
    while answer.json["next"]:
        answer = follow(client, answer.json["next"])
        pages.append(answer.rows)
    rows = list(chain.from_iterable(pages if begin else pages[::-1]))
    assert [row["trade_id"] for row in rows] == [trade(n)["trade_id"] for n in range(COUNT)]
    assert [row["quantity"] for row in rows] == [plain(trade(n)["quantity"]) for n in range(COUNT)]
    assert [row["side"] for row in rows] == [trade(n)["side"] for n in range(COUNT)]


@pytest.mark.parametrize("by_header", [True, False])
def test_every_format_holds_the_same_candles(client: Client, by_header: bool) -> None:
    """The format is chosen by a parameter or by the Accept header."""

    def ask(form: str, kind: str) -> bytes:
        if by_header:
            accept = f"image/png, {kind};q=0.9, text/html;q=0.1"
            answer = client.ask(CANDLES, MARKET, headers={"Accept": accept})
        else:
            answer = client.ask(CANDLES, {**MARKET, "format": form})
        assert answer.status == 200
        assert answer.headers["content-type"].startswith(kind)
        return answer.body

    rows = list(csv.DictReader(io.StringIO(ask("csv", "text/csv").decode())))
    assert [row["low"] for row in rows] == [candle_json(number)["low"] for number in range(COUNT)]
    parquet = pl.read_parquet(io.BytesIO(ask("parquet", "application/vnd.apache.parquet")))
    arrow = pl.read_ipc_stream(io.BytesIO(ask("arrow", "application/vnd.apache.arrow.stream")))
    for frame in (parquet, arrow):
        assert frame["low"].to_list() == [candle(number)["low"] for number in range(COUNT)]
        assert frame["window_start"].to_list() == [
            candle(number)["window_start"] for number in range(COUNT)
        ]


def test_unknown_format_is_refused(client: Client) -> None:
    """With 406 for the header, and 400 for the parameter."""
    assert client.ask(CANDLES, MARKET, headers={"Accept": "image/png"}).refusal == (
        406,
        "not_acceptable",
        None,
    )
    refused = client.ask(CANDLES, {**MARKET, "format": "xml"})
    assert refused.refusal == (400, "bad_parameter", "format")


def test_unchanged_answer_is_304_without_a_body(client: Client) -> None:
    """For a client that sends the entity tag it has. Another page has another tag."""
    first = client.ask(CANDLES, MARKET)
    headers = {"If-None-Match": first.headers["etag"]}
    again = client.ask(CANDLES, MARKET, headers=headers)
    assert (again.status, again.body) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    other = client.ask(CANDLES, {**MARKET, "limit": 2}, headers=headers)
    assert other.status == 200


@pytest.mark.parametrize(
    ("changed", "parameter"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "10001"}, "limit"),
        ({"limit": "-1"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-09-14T12:00:00"}, "from"),
        ({"from": "1969-12-31T23:59:59Z"}, "from"),
        ({"to": "2262-01-01T00:00:00Z"}, "to"),
        ({"to": "99999999999999999999"}, "to"),
        ({"from": at(5), "to": at(5)}, "to"),
        ({"from": at(5), "to": at(4)}, "to"),
        ({"exchange": "nasdaq"}, "exchange"),
        ({"symbol": "B" * 101}, "symbol"),
        ({"symbol": ""}, "symbol"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_invalid_parameter_is_refused_by_name(
    client: Client, changed: dict[str, str], parameter: str
) -> None:
    answer = client.ask(CANDLES, {**MARKET, **changed})
    assert answer.refusal == (400, "bad_parameter", parameter)


def test_missing_or_repeated_parameter_is_refused_by_name(client: Client) -> None:
    assert client.ask(CANDLES, {"exchange": "binance"}).refusal[2] == "symbol"
    twice = client.ask(f"{CANDLES}?exchange=binance&exchange=kraken&symbol=BTC/USDT")
    assert twice.refusal == (400, "bad_parameter", "exchange")


@pytest.mark.parametrize(
    "cursor", ["", "x", "~~", "2026-09-14T12:00:00.000000~-1~a", "2026-09-14T12:00:00.0~1' OR 1~"]
)
def test_cursor_that_is_not_from_a_link_is_refused(client: Client, cursor: str) -> None:
    answer = client.ask(TRADES, {**MARKET, "cursor": cursor})
    assert answer.refusal == (400, "bad_parameter", "cursor")


def test_unknown_path_timeframe_market_and_method_have_their_own_errors(client: Client) -> None:
    assert client.ask("/api/v1/nothing").refusal == (404, "not_found", None)
    assert client.ask("/api/v1/ohlcv/2m", MARKET).refusal == (404, "unknown_timeframe", "timeframe")
    unknown = client.ask(CANDLES, {**MARKET, "symbol": "ABC/USDT"})
    assert unknown.refusal == (404, "unknown_market", "symbol")
    assert client.ask(CANDLES, MARKET, method="POST").refusal == (405, "method_not_allowed", None)
    assert client.ask("/static/../app.py").status == 404
    assert client.ask("/static/%2e%2e/app.py").status == 404


def test_symbols_and_exchanges_are_read_from_the_tables(
    client: Client, shared_tables: Database
) -> None:
    """Exchanges without rows are listed too, with no symbols."""
    (symbol,) = client.ask("/api/v1/symbols").rows
    assert (symbol["exchange"], symbol["symbol"]) == ("binance", "BTC/USDT")
    assert (symbol["kind"], symbol["contract_size"], symbol["contract_unit"]) == (
        "spot",
        None,
        None,
    )
    shared_tables.client.command(
        "INSERT INTO instruments (exchange, native_symbol, symbol, contract_size, contract_unit) "
        "VALUES ('binance', 'BTCUSDT', 'BTC/USDT', 100, 'USD')"
    )
    (symbol,) = client.ask("/api/v1/symbols").rows
    assert (symbol["contract_size"], symbol["contract_unit"]) == ("100", "USD")
    shared_tables.client.command("TRUNCATE TABLE instruments")
    assert client.ask("/api/v1/symbols", {"exchange": "kraken"}).rows == []
    counts = {row["exchange"]: row["symbols"] for row in client.ask("/api/v1/exchanges").rows}
    assert counts == {**dict.fromkeys(EXCHANGES, 0), "binance": 1}


def test_gaps_are_filtered_by_overlap_with_a_span(client: Client, shared_tables: Database) -> None:
    """Each gap is returned once, in its latest state."""
    before, after = BEGIN + timedelta(minutes=3), BEGIN + timedelta(minutes=4)
    for missing, state in ((5, "open"), (2, "repairing")):
        shared_tables.client.command(
            "INSERT INTO gaps (exchange, symbol, first_sequence, last_sequence, missing, before, "
            "after, connection, detected_at, state, attempts) VALUES ('binance', 'BTC/USDT', 10, "
            f"14, {missing}, {before.timestamp()}, {after.timestamp()}, 'b', "
            f"{after.timestamp()}, '{state}', 1)"
        )
    (gap,) = client.ask("/api/v1/gaps", MARKET).rows
    assert (gap["count"], gap["missing"], gap["state"]) == (5, 2, "repairing")
    assert datetime.fromisoformat(gap["before"]) == before
    for span, count in (({"to": at(3)}, 0), ({"to": at(4)}, 1), ({"from": at(5)}, 0)):
        assert len(client.ask("/api/v1/gaps", span).rows) == count


def test_gaps_of_two_numberings_are_listed_apart(client: Client, shared_tables: Database) -> None:
    """Though their sequence numbers are the same."""
    for numbering, missing in ((0, 5), (1, 3)):
        time = (BEGIN + timedelta(minutes=3)).timestamp()
        shared_tables.client.command(
            "INSERT INTO gaps (exchange, symbol, first_sequence, last_sequence, missing, before, "
            f"after, state, numbering) VALUES ('binance', 'BTC/USDT', 20, 24, {missing}, {time}, "
            f"{time}, 'open', {numbering})"
        )
    rows = [row for row in client.ask("/api/v1/gaps").rows if row["first_sequence"] == 20]
    shared_tables.client.command("DELETE FROM gaps WHERE first_sequence = 20")
    assert [(row["numbering"], row["missing"]) for row in rows] == [(0, 5), (1, 3)]
    document = client.ask("/openapi.json").json
    assert set(document["components"]["schemas"]["Gap"]["properties"]) == set(rows[0])
