"""Bars in frames and files, from a directory and over HTTP."""

from collections.abc import Iterator
from datetime import date
from decimal import ROUND_DOWN, Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from candlewax import client
from candlewax.cli.main import main
from candlewax.clickhouse.client import Database
from candlewax.client import bar_pages
from candlewax.client.request import BAR
from tests.support import bar_oracle, oracle
from tests.support.stored_bars import FILLS, bar_tables, time_us
from tests.support.verified_tables import moment
from tests.support.web_server import serving

CONTENT = (
    "open", "high", "low", "close", "volume", "quote_volume", "buy_volume", "buy_quote_volume",
    "trade_count", "first_sequence", "last_sequence", "closed", "status", "missing", "repaired",
)  # fmt: skip


@pytest.fixture(scope="module")
def stored(engine: Database, engine_path: Path) -> Iterator[Database]:
    with bar_tables(engine, engine_path, "client_bars") as opened:
        yield opened


def right(kind: str, threshold: str) -> list[dict[str, Any]]:
    """The rows of a rule, from the trades in plain decimals."""
    mark = oracle.watermarks(FILLS)["binance"]
    found = bar_oracle.bars(FILLS, kind, Decimal(threshold), mark)
    return [
        {
            "exchange": "binance",
            "symbol": "BTC/USDT",
            "kind": kind,
            "threshold": Decimal(threshold),
            "day": moment(day * bar_oracle.DAY_US).date(),
            "number": number,
            **{name: bar[name] for name in CONTENT},
            "vwap": (bar["quote_volume"] / bar["volume"]).quantize(Decimal("1e-12"), ROUND_DOWN),
            "open_time": moment(bar["open_time"]),
            "close_time": moment(bar["close_time"]),
        }
        for (day, number), bar in sorted(found.items())
    ]


def rows(found: pl.DataFrame) -> list[dict[str, Any]]:
    return list(found.iter_rows(named=True))


@pytest.mark.parametrize("page_rows", [1, 3, 100_000])
@pytest.mark.parametrize(("kind", "threshold"), [("tick", "1"), ("tick", "4"), ("volume", "7.5")])
def test_bars_come_once_each_whatever_the_pages(
    monkeypatch: pytest.MonkeyPatch, page_rows: int, kind: str, threshold: str
) -> None:
    monkeypatch.setattr(bar_pages, "PAGE_ROWS", page_rows)
    found = client.bars("BTC-USDT", f"{kind} {threshold}", exchange="binance")
    assert found.schema == BAR
    assert rows(found) == right(kind, threshold)


def test_span_and_states_select_bars() -> None:
    """A bar is in a span by its first trade."""
    every = right("tick", "4")
    begin, end = moment(time_us(5)), moment(time_us(13))
    inside = [one for one in every if begin <= one["open_time"] < end]
    assert 0 < len(inside) < len(every)
    assert rows(client.bars("BTC/USDT", "tick 4", begin=begin, end=end)) == inside
    second = [one for one in every if one["day"] == every[-1]["day"]]
    midnight: date = every[-1]["day"]
    assert rows(client.bars("BTC/USDT", "tick 4", begin=midnight)) == second
    closed, complete = (
        client.bars("BTC/USDT", "tick 4", closed=True),
        client.bars("BTC/USDT", "tick 4", complete=True),
    )
    assert rows(closed) == [one for one in every if one["closed"]]
    assert rows(complete) == [one for one in every if one["status"] == "complete"]
    assert every != rows(closed) != rows(complete) != []


def test_running_server_answers_like_the_directory(stored: Database, engine_path: Path) -> None:
    with serving(stored, engine_path) as served:
        address = f"http://127.0.0.1:{served.client.port}"
        found = client.bars("BTC/USDT", "dollar 900.0", database=address)
    assert rows(found) == right("dollar", "900")


@pytest.mark.parametrize(
    ("symbol", "rule", "message"),
    [
        ("BTC/USDT", "tick", "bars: got 'tick', takes a kind and a positive threshold, such as"),
        ("BTC/USDT", "tick 0", "bars: got 'tick 0', takes a kind and a positive threshold"),
        (
            "BTC/USDT",
            "volume 8",
            "bars: got volume 8, takes one stored of BTC/USDT of binance: "
            "tick 1, tick 4, volume 7.5, dollar 900",
        ),
        ("ETH/USDT", "tick 4", "bars: got tick 4, but no bars of ETH/USDT of binance are stored"),
    ],
)
def test_bars_that_there_are_not_are_named(symbol: str, rule: str, message: str) -> None:
    with pytest.raises(client.RequestError, match="^" + message):
        client.bars(symbol, rule)


def test_older_database_has_no_bars(stored: Database) -> None:
    stored.client.command("RENAME TABLE bars TO away")
    try:
        with pytest.raises(client.RequestError, match="no bars of BTC/USDT of binance are stored"):
            client.bars("BTC/USDT", "tick 4")
    finally:
        stored.client.command("RENAME TABLE away TO bars")


def export(*arguments: object) -> int | str | None:
    """Run the command; its exit status."""
    with pytest.raises(SystemExit) as ended:
        main(["export", *map(str, arguments)])
    return ended.value.code


def test_file_holds_the_bars_of_all_markets_that_have_them(tmp_path: Path) -> None:
    assert export(tmp_path / "bars.parquet", "--bars", "tick 4", "--bars", "volume 7.5") == 0
    found = pl.read_parquet(tmp_path / "bars.parquet")
    assert found.schema == BAR
    assert rows(found) == right("tick", "4") + right("volume", "7.5")


def test_csv_of_bars_has_days_and_every_digit(tmp_path: Path) -> None:
    assert export(tmp_path / "bars.csv", "--bars", "dollar 900", "--closed") == 0
    found = pl.read_csv(tmp_path / "bars.csv", infer_schema=False)
    wanted = [one for one in right("dollar", "900") if one["closed"]]
    assert found.columns == list(BAR)
    assert found["day"].to_list() == [f"{one['day']:%Y-%m-%d}" for one in wanted]
    assert [Decimal(text) for text in found["volume"]] == [one["volume"] for one in wanted]
    assert found["open_time"][0] == f"{wanted[0]['open_time']:%Y-%m-%dT%H:%M:%S.%fZ}"


def test_hive_names_rules_by_folders(tmp_path: Path) -> None:
    assert export(tmp_path, "--layout", "hive", "--bars", "tick 4", "--bars", "dollar 900") == 0
    found = pl.scan_parquet(tmp_path).sort("day", "number").collect()
    assert set(found["symbol"]) == {"BTC/USDT"}
    for kind, threshold in (("tick", "4"), ("dollar", "900")):
        of_kind = found.filter(kind=kind, threshold=int(threshold))
        assert of_kind["close"].to_list() == [one["close"] for one in right(kind, threshold)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--bars", "tick 5"],
            "bars: got tick 5, takes one that is stored: tick 1, tick 4, volume 7.5, dollar 900",
        ),
        (["--bars", "tick 4", "--symbol", "ETH/USDT"], "bars: got tick 4, but none are stored"),
        (["--bars", "tock 4"], "bars: got 'tock 4', takes a kind and a positive threshold"),
        (["--bars", "tick 4", "--timeframe", "1m"], "a file holds bars or candles, not both"),
        (["--bars", "tick 4", "--from", "2030-01-01"], "no bar is selected; "),
    ],
)
def test_bars_that_cannot_be_exported_are_said(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export(tmp_path / "bars.csv", *arguments) == 1
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_freqtrade_has_no_bars(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(tmp_path, "--layout", "freqtrade", "--bars", "tick 4") == 1
    assert "--bars: got the layout freqtrade, which holds candles only" in capsys.readouterr().err
