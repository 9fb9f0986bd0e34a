"""Tick, volume and dollar bars over HTTP: exact text, pages, spans, forms and refusals."""

import io
from collections.abc import Iterator
from datetime import timedelta
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from candlewax.clickhouse.client import Database
from tests.support import bar_oracle, oracle
from tests.support.api_candles import follow, plain
from tests.support.stored_bars import FILLS, MARKET, bar_tables, time_us
from tests.support.verified_tables import moment
from tests.support.web_server import Client

PATH = "/api/v1/bars"
FOURS = {**MARKET, "kind": "tick", "threshold": "4"}
EACH = {**MARKET, "kind": "tick", "threshold": "1"}

AMOUNTS = (
    "open", "high", "low", "close", "volume", "quote_volume", "buy_volume", "buy_quote_volume",
)  # fmt: skip
COUNTS = (
    "trade_count", "first_sequence", "last_sequence", "closed", "status", "missing", "repaired",
)  # fmt: skip


@pytest.fixture(scope="module")
def shared_tables(engine: Database, engine_path: Path) -> Iterator[Database]:
    """Bars of one market on two days, and a market without bars."""
    with bar_tables(engine, engine_path, "of_bars") as opened:
        yield opened


def right(kind: str, threshold: str) -> list[dict[str, Any]]:
    """What the API must say of all bars of a rule, from the trades in plain decimals."""
    mark = oracle.watermarks(FILLS)["binance"]
    found = bar_oracle.bars(FILLS, kind, Decimal(threshold), mark)
    return [
        {
            "day": f"{moment(day * bar_oracle.DAY_US):%Y-%m-%d}",
            "number": number,
            **{name: plain(bar[name]) for name in AMOUNTS},
            "vwap": plain(
                (bar["quote_volume"] / bar["volume"]).quantize(Decimal("1e-12"), ROUND_DOWN)
            ),
            **{name: bar[name] for name in COUNTS},
            "open_time": f"{moment(bar['open_time']):%Y-%m-%dT%H:%M:%S.%fZ}",
            "close_time": f"{moment(bar['close_time']):%Y-%m-%dT%H:%M:%S.%fZ}",
        }
        for (day, number), bar in sorted(found.items())
    ]


@pytest.mark.parametrize(
    ("kind", "threshold"), [("tick", "4"), ("tick", "1"), ("volume", "7.5"), ("dollar", "900.0")]
)
def test_bars_are_those_of_the_trades(client: Client, kind: str, threshold: str) -> None:
    """With their certificates, as exact text; the market by another name."""
    asked = {**MARKET, "symbol": "btcusdt", "kind": kind, "threshold": threshold}
    answer = client.ask(PATH, asked)
    assert answer.rows == right(kind, threshold)
    assert answer.json["symbols"] == ["BTC/USDT"]
    assert answer.json["next"] is None
    assert {row["status"] for row in answer.rows} == {"complete", "gaps", "forming"}


@pytest.mark.parametrize("start", [{"from": "2000-01-01"}, {}])
def test_pages_lead_through_all_bars(client: Client, start: dict[str, str]) -> None:
    """Forwards and backwards, over midnight, and where two bars begin at the same time."""
    answer = client.ask(PATH, {**EACH, **start, "limit": 7})
    pages = [answer.rows]
    while answer.json["next"]:
        answer = follow(client, answer.json["next"])
        pages.append(answer.rows)
    assert [len(page) for page in pages] == [7, 7, 7, 7, 2]
    ordered = pages if start else pages[::-1]
    assert [row for page in ordered for row in page] == right("tick", "1")
    newest = client.ask(PATH, {**EACH, **start, "limit": 2, "order": "desc"}).rows
    assert newest == right("tick", "1")[:-3:-1]


def test_span_holds_bars_whose_first_trade_is_in_it(client: Client) -> None:
    """From inclusive, to exclusive, by the microsecond."""
    bars = right("tick", "4")
    begin, end = moment(time_us(5)), moment(time_us(13))
    asked = {**FOURS, "from": f"{begin:%Y-%m-%dT%H:%M:%S.%fZ}"}
    inside = client.ask(PATH, {**asked, "to": f"{end:%Y-%m-%dT%H:%M:%S.%fZ}"}).rows
    assert inside == bars[1:3]
    later = end + timedelta(microseconds=1)
    assert client.ask(PATH, {**asked, "to": f"{later:%Y-%m-%dT%H:%M:%S.%fZ}"}).rows == bars[1:4]
    after = begin + timedelta(microseconds=1)
    assert client.ask(PATH, {**FOURS, "from": f"{after:%Y-%m-%dT%H:%M:%S.%fZ}"}).rows == bars[2:]
    assert client.ask(PATH, {**FOURS, "to": "2000-01-01"}).rows == []


def test_bars_are_chosen_by_their_certificate(client: Client) -> None:
    """Several statuses with commas between them."""
    bars = right("tick", "1")
    for asked, chosen in (
        ({"closed": "false"}, [bar for bar in bars if not bar["closed"]]),
        ({"closed": "true"}, [bar for bar in bars if bar["closed"]]),
        ({"status": "gaps,forming"}, [bar for bar in bars if bar["status"] != "complete"]),
    ):
        assert chosen
        assert client.ask(PATH, {**EACH, **asked}).rows == chosen


def test_other_forms_hold_the_same_bars(client: Client) -> None:
    """CSV as text, Parquet and Arrow as decimals and times."""
    rows = right("tick", "4")
    csv = pl.read_csv(client.ask(PATH, {**FOURS, "format": "csv"}).body, infer_schema=False)
    texts = [{name: str(value) for name, value in row.items()} for row in rows]
    shown = [{**row, "closed": str(row["closed"] == "true")} for row in csv.iter_rows(named=True)]
    assert shown == texts
    parquet = client.ask(PATH, {**FOURS, "format": "parquet"}).body
    arrow = client.ask(PATH, {**FOURS, "format": "arrow"}).body
    for table in (pl.read_parquet(io.BytesIO(parquet)), pl.read_ipc_stream(io.BytesIO(arrow))):
        assert table.columns == csv.columns
        assert table["quote_volume"].to_list() == [Decimal(row["quote_volume"]) for row in rows]
        assert [f"{day:%Y-%m-%d}" for day in table["day"]] == [row["day"] for row in rows]


@pytest.mark.parametrize(
    ("changed", "status", "parameter", "parts"),
    [
        ({"kind": "time"}, 400, "kind", ("takes one of", "dollar, tick, volume", "time")),
        ({"threshold": "0"}, 400, "threshold", ("a positive whole number", "'0'")),
        ({"threshold": "1.5"}, 400, "threshold", ("a positive whole number", "'1.5'")),
        ({"kind": "volume", "threshold": "1e3"}, 400, "threshold", ("a positive number", "1e3")),
        ({"cursor": "2026-09-14~x"}, 400, "cursor", ("the link to a next page",)),
        ({"threshold": "5"}, 404, "threshold", ("tick 1, tick 4, volume 7.5, dollar 900;",)),
        ({"symbol": "DOGE/USDT"}, 404, "symbol", ("nothing is stored of DOGE/USDT",)),
        (
            {"symbol": "ETHUSDT", "threshold": "1000"},
            404,
            "symbol",
            ("no bars of ETH/USDT at binance", '"ETH/USDT" = ["tick 1000"] in [binance.bars]'),
        ),
    ],
)
def test_refusal_names_what_there_is(
    client: Client, changed: dict[str, str], status: int, parameter: str, parts: tuple[str, ...]
) -> None:
    """Or, for a market without bars, how they are switched on."""
    answer = client.ask(PATH, {**FOURS, **changed})
    code = {400: "bad_parameter", 404: "unknown_bars"}[status]
    code = "unknown_market" if changed.get("symbol") == "DOGE/USDT" else code
    assert answer.refusal == (status, code, parameter)
    message = answer.json["error"]["message"]
    assert all(part in message for part in parts), message


def test_older_database_has_no_bars(client: Client, shared_tables: Database) -> None:
    """Its next process that stores makes the table."""
    shared_tables.command("RENAME TABLE bars TO away")
    answer = client.ask(PATH, FOURS)
    shared_tables.command("RENAME TABLE away TO bars")
    assert answer.refusal == (404, "unknown_bars", "symbol")
    assert client.ask(PATH, FOURS).rows
