"""Consolidated candles over HTTP: exact text, pages, forms and refusals."""

import io
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from candlewax.clickhouse.client import Database
from tests.support.api_candles import at, follow
from tests.support.web_server import BEGIN, Client, candle, filled_tables, row, store_rows

COUNT = 6
PATH = "/api/v1/consolidated/1m"
ASKED = {"base": "BTC", "quote": "USDT"}


@pytest.fixture(scope="module")
def shared_tables(engine: Database, engine_path: Path) -> Iterator[Database]:
    """Two venues of BTC/USDT in the first minutes, and one perpetual."""
    with filled_tables(engine, engine_path, "of_consolidated", 0) as tables:
        rows = []
        for number in range(COUNT):
            own = row("1m", closed=True, **candle(number))
            other = {
                **own, "exchange": "kraken", "close": own["close"] + Decimal("0.1"),
                "close_time": own["close_time"] + timedelta(microseconds=1),
                "volume": 2 * own["volume"],
            }  # fmt: skip
            rows += [own, other, {**own, "symbol": "BTC/USDT:USDT"}]
        days = [
            {**one, "timeframe": "1d", "window_start": BEGIN.replace(hour=0)} for one in rows[:3]
        ]
        store_rows(tables, [*rows, *days])
        yield tables


def starts(rows: list[dict[str, Any]]) -> list[str]:
    return [one["window_start"] for one in rows]


def test_amounts_are_exact_text_in_each_part(client: Client) -> None:
    """The volumes are 2.5 and 5, the quote volumes 1 each."""
    (one,) = client.ask(PATH, {**ASKED, "from": at(0), "limit": 1}).rows
    end = BEGIN + timedelta(seconds=59)
    kraken_end = f"{end:%Y-%m-%dT%H:%M:%S}.000001Z"
    assert {name: one[name] for name in ("volume", "quote_volume", "vwap", "low", "close")} == {
        "volume": "7.5", "quote_volume": "2", "vwap": "0.266666666666",
        "low": "99.999999999999", "close": "100.35",
    }  # fmt: skip
    assert (one["trusted"], one["status"], one["venues"], one["absent"]) == (True, "complete", 2, 0)
    assert (one["spread"], one["high_close_exchange"], one["low_close_exchange"]) == (
        "0.1", "kraken", "binance",
    )  # fmt: skip
    # 0.1 of 100.25 in ten-thousandths.
    assert one["spread_bps"] == "9.975062344139"
    assert one["close_time"] == kraken_end
    assert [
        (part["exchange"], part["close"], part["share"], part["close_time"], part["proof"])
        for part in one["parts"]
    ] == [
        ("binance", "100.25", "0.333333333333", f"{end:%Y-%m-%dT%H:%M:%S}.000000Z", "numbers"),
        ("kraken", "100.35", "0.666666666666", kraken_end, "numbers"),
    ]


def test_pages_lead_through_all_windows(client: Client) -> None:
    """Forwards and backwards, as those of candles."""
    every = [at(number) for number in range(COUNT)]
    first = client.ask(PATH, {**ASKED, "from": at(0), "limit": 4})
    assert starts(first.rows) == every[:4]
    assert starts(follow(client, first.json["next"]).rows) == every[4:]
    last = client.ask(PATH, {**ASKED, "limit": 4})
    assert starts(last.rows) == every[2:]
    assert starts(follow(client, last.json["next"]).rows) == every[:2]
    newest = client.ask(PATH, {**ASKED, "order": "desc", "limit": COUNT + 1})
    assert starts(newest.rows) == every[::-1]
    assert newest.json["next"] is None
    assert client.ask(PATH, {**ASKED, "to": at(0)}).rows == []


def test_other_forms_hold_the_same_candles(client: Client) -> None:
    """CSV without parts, Parquet with them as decimals."""
    rows = client.ask(PATH, ASKED).rows
    csv = pl.read_csv(client.ask(PATH, {**ASKED, "format": "csv"}).body, infer_schema=False)
    assert csv.columns == [name for name in rows[0] if name != "parts"]
    assert csv["vwap"].to_list() == [one["vwap"] for one in rows]
    parquet = pl.read_parquet(io.BytesIO(client.ask(PATH, {**ASKED, "format": "parquet"}).body))
    (shares, *_) = parquet["parts"].list.eval(pl.element().struct.field("share")).to_list()
    assert shares == [Decimal("0.333333333333"), Decimal("0.666666666666")]


def test_kinds_and_quotes_are_chosen(client: Client) -> None:
    """A perpetual is no part of spot; nor is another quote, unless it is asked for."""
    (one, *_) = client.ask(PATH, {**ASKED, "kind": "perpetual"}).rows
    assert [(part["exchange"], part["symbol"]) for part in one["parts"]] == [
        ("binance", "BTC/USDT:USDT")
    ]
    for base, quote in (("XBT", "USD,USDT"), ("xbt", "usdt"), ("btc", "Usdt,usd")):
        both = client.ask(PATH, {"base": base, "quote": quote})
        assert both.json["symbols"] == ["BTC/USDT"]
        assert len(both.rows) == COUNT


def test_wrong_requests_are_refused(client: Client) -> None:
    """With what there is."""
    nothing = client.ask(PATH, {"base": "BTC", "quote": "EUR"})
    assert nothing.refusal == (404, "unknown_market", "quote")
    assert "there is BTC/USDT, BTC/USDT:USDT" in nothing.json["error"]["message"]
    unknown = client.ask(PATH, {"base": "DOGE", "quote": "USDT"})
    assert unknown.refusal == (404, "unknown_market", "base")
    for change, code, name in (
        ({"kind": "future"}, "bad_parameter", "kind"),
        ({"quote": "USD,USDT,USDC,EUR,GBP,JPY"}, "bad_parameter", "quote"),
    ):
        assert client.ask(PATH, {**ASKED, **change}).refusal == (400, code, name)
    assert client.ask(PATH, {"base": "BTC"}).refusal == (400, "bad_parameter", "quote")
    assert client.ask("/api/v1/consolidated/2m", ASKED).refusal == (
        404, "unknown_timeframe", "timeframe",
    )  # fmt: skip
