"""Comparisons with the exchanges' own candles over the API, and candles chosen by them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from candlewax.clickhouse.client import Database
from tests.support.api_candles import at
from tests.support.traded_market import traded_tables
from tests.support.web_server import Client

CANDLES = "/api/v1/ohlcv/1m"
COMPARISONS = "/api/v1/reconciliations"
BTC = {"exchange": "binance", "symbol": "BTC/USDT"}


@pytest.fixture(scope="module")
def shared_tables(engine: Database, engine_path: Path) -> Iterator[Database]:
    """A traded market with four comparisons, of which one is of an older version of its candle."""
    with traded_tables(engine, engine_path, "of_reconciliations") as tables:
        for minute, result, fields, version in (
            (0, "equal", "[]", "version"),
            (1, "differs", "['close', 'volume']", "version"),
            (2, "unavailable", "[]", "version"),
            (3, "equal", "[]", "version - 2"),
        ):
            tables.command(
                "INSERT INTO reconciliations SELECT exchange, symbol, window_start, "
                f"'{result}', {version}, revision, 'complete', {fields}, "
                f"arrayMap(name -> concat('our ', name), {fields}), "
                f"arrayMap(name -> concat('their ', name), {fields}), "
                f"if('{result}' = 'unavailable', 'no candle', ''), now64(6) FROM ohlcv FINAL "
                "WHERE timeframe = '1m' AND exchange = 'binance' AND symbol = 'BTC/USDT' "
                f"AND window_start = parseDateTimeBestEffort('{at(minute)}')"
            )
        yield tables


@pytest.mark.parametrize(
    ("asked", "minutes"),
    [
        ({"reconciled": "equal"}, [0]),
        ({"reconciled": "differs"}, [1]),
        ({"reconciled": "differs,unavailable"}, [1, 2]),
        ({"reconciled": "no", "to": at(5)}, [3, 4]),
        ({"reconciled": "no,equal", "to": at(4)}, [0, 3]),
        ({"reconciled": "equal", "from": at(1), "to": at(4)}, []),
    ],
)
def test_candles_are_chosen_by_their_comparison(
    client: Client, asked: dict[str, str], minutes: list[int]
) -> None:
    """A candle that has changed since counts as not compared."""
    rows = client.ask(CANDLES, {**BTC, "limit": 200, **asked}).rows
    assert [row["window_start"] for row in rows] == [at(minute) for minute in minutes]


def test_only_minutes_are_compared(client: Client) -> None:
    """The message names the timeframe."""
    answer = client.ask("/api/v1/ohlcv/5m", {**BTC, "reconciled": "equal"})
    assert answer.status == 400
    assert "takes the timeframe 1m; got 5m" in answer.body.decode()


@pytest.mark.parametrize(
    ("asked", "minutes"),
    [
        ({}, [3, 2, 1, 0]),
        (BTC, [3, 2, 1, 0]),
        ({"exchange": "kraken"}, []),
        ({"symbol": "BTCUSDT", "exchange": "binance", "result": "equal"}, [3, 0]),
        ({"result": "differs,unavailable", "limit": 1}, [2]),
        ({"from": at(1), "to": at(3)}, [2, 1]),
    ],
)
def test_comparisons_are_listed_newest_first(
    client: Client, asked: dict[str, Any], minutes: list[int]
) -> None:
    """Of all markets or of one."""
    rows = client.ask(COMPARISONS, asked).rows
    assert [row["window_start"] for row in rows] == [at(minute) for minute in minutes]


def test_comparison_has_both_values_of_each_field(client: Client) -> None:
    """In the order of the fields."""
    (row,) = client.ask(COMPARISONS, {"result": "differs"}).rows
    assert row["fields"] == ["close", "volume"]
    assert row["ours"] == ["our close", "our volume"]
    assert row["theirs"] == ["their close", "their volume"]
    (unavailable,) = client.ask(COMPARISONS, {"result": "unavailable"}).rows
    assert (unavailable["reason"], unavailable["fields"]) == ("no candle", [])
    schema = client.ask("/openapi.json").json["components"]["schemas"]["Reconciliation"]
    assert set(schema["properties"]) == set(row)


def test_lists_are_joined_in_csv(client: Client) -> None:
    """Other formats keep them."""
    answer = client.ask(COMPARISONS, {"result": "differs", "format": "csv"})
    header, line = answer.body.decode().splitlines()
    values = dict(zip(header.split(","), line.split(","), strict=True))
    assert (values["fields"], values["theirs"]) == ("close volume", "their close their volume")
