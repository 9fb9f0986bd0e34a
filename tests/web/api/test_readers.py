"""Readers of files over HTTP, pointed at addresses of the API; each of them is the real program."""

from collections.abc import Iterator
from decimal import Decimal
from urllib.parse import urlencode

import duckdb
import pandas as pd
import polars as pl
import pytest

from tests.support.api_candles import COUNT
from tests.support.duckdb_http import httpfs
from tests.support.web_server import CANDLES, MARKET, Client, candle

LOWS = [candle(number)["low"] for number in range(COUNT)]


def url(client: Client, **parameters: str) -> str:
    """An address of candles."""
    return f"http://127.0.0.1:{client.port}{CANDLES}?{urlencode({**MARKET, **parameters})}"


@pytest.fixture
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    """DuckDB with its own reader of HTTP, which it would download otherwise."""
    with duckdb.connect() as connection:
        connection.load_extension(str(httpfs()))
        yield connection


def test_polars_scans_parquet(client: Client) -> None:
    """It asks for the size, then for the parts of the columns that it needs."""
    scanned = pl.scan_parquet(url(client, format="parquet"))
    assert scanned.select("low").collect()["low"].to_list() == LOWS
    filtered = scanned.filter(pl.col("trade_count") > 20).select("trade_count").collect()
    assert filtered["trade_count"].to_list() == list(range(21, COUNT + 1))


def test_polars_scans_csv(client: Client) -> None:
    scanned = pl.scan_csv(url(client, format="csv"), schema_overrides={"low": pl.String})
    assert [Decimal(text) for text in scanned.collect()["low"]] == LOWS


def test_pandas_reads_csv_and_parquet(client: Client) -> None:
    """CSV has every digit if it is read as text, Parquet has decimals."""
    read = pd.read_csv(url(client, format="csv"), dtype={"low": str})
    assert [Decimal(text) for text in read["low"]] == LOWS
    assert pd.read_parquet(url(client, format="parquet"))["low"].to_list() == LOWS


def test_duckdb_queries_parquet_and_csv(client: Client, duck: duckdb.DuckDBPyConnection) -> None:
    parquet = f"SELECT low FROM read_parquet('{url(client, format='parquet')}')"
    assert [low for (low,) in duck.execute(parquet).fetchall()] == LOWS
    csv = f"SELECT low FROM read_csv('{url(client, format='csv')}', all_varchar = true)"
    assert [Decimal(low) for (low,) in duck.execute(csv).fetchall()] == LOWS
