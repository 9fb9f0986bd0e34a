"""`candlewax verify`: our candles against those that the exchange publishes."""

import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from candlewax.clickhouse.client import Database
from tests.dataflows.test_recorded import kraken_trades, replay, v2
from tests.support import recorded
from tests.support.command_process import run
from tests.support.stored import FIELDS
from tests.verification.test_kline_comparison import CANDLE

Verify = Callable[..., tuple[int | str | None, str, str]]

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
MS = 1_704_067_200_000


@pytest.fixture
def verify(
    tables: Database,
    engine_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Verify:
    """A function that runs `candlewax verify` and returns status, output and errors."""

    def run_verify(*arguments: str | Path) -> tuple[int | str | None, str, str]:
        words = map(str, arguments)
        status = run(monkeypatch, engine_path, tables, "verify", *words)
        return status, *capsys.readouterr()

    return run_verify


def store(tables: Database, *minutes: int, market: str = "binance BTC/USDT", **more: Any) -> None:
    """Store closed one-minute candles without the pipeline."""
    exchange, symbol = market.split()
    for minute in minutes:
        start = BEGIN + timedelta(minutes=minute)
        row = {
            "timeframe": "1m", "exchange": exchange, "symbol": symbol, "window_start": start,
            **dict.fromkeys(FIELDS, 1), "open_time": start, "close_time": start, **CANDLE,
            "status": "complete", **more,
        }  # fmt: skip
        del row["vwap"]
        tables.client.insert("ohlcv", [list(row.values())], column_names=list(row))


def kline(minute: int, **more: object) -> str:
    fields = {**CANDLE, **more}
    names = ("open", "high", "low", "close", "volume")
    later = ("quote_volume", "trade_count", "buy_volume", "buy_quote_volume")
    opened = MS + minute * 60_000
    values = [
        opened,
        *(fields[n] for n in names),
        opened + 59_999,
        *(fields[n] for n in later),
        0,
    ]
    return ",".join(map(str, values)) + "\n"


def test_comparison_counts_equal_and_different_candles(
    tables: Database, verify: Verify, tmp_path: Path
) -> None:
    """In JSON, beside the keys of every run, and in text."""
    store(tables, 0, 1, 2, 4)
    store(tables, 3, status="gaps", high=1)
    path = tmp_path / "BTCUSDT-1m-2024-01-01.csv"
    path.write_text("".join([kline(0), kline(1, low="0.5"), kline(3), kline(4), kline(9)]))
    status, out, _ = verify("--json", "--exchange-candles", path)
    assert status == 1
    result = json.loads(out)
    assert {"candles", "mismatches", "missing_in_gold", "missing_in_check", "examples"} <= set(
        result
    )
    (score,) = result["exchange_candles"]
    examples = score.pop("examples")
    assert score == {
        "file": str(path), "exchange": "binance", "symbol": "BTC/USDT", "timeframe": "1m",
        "open": 0, "compared": 4, "equal": 2, "differing": 2, "known": 1,
        "fields": {"high": 1, "low": 1}, "only_ours": 1, "only_theirs": 0, "empty": 0, "beyond": 1,
    }  # fmt: skip
    assert [(e["window_start"], e["problem"]) for e in examples] == [
        ("2024-01-01 00:01:00", "differs"),
        ("2024-01-01 00:03:00", "differs"),
        ("2024-01-01 00:02:00", "only_ours"),
    ]
    status, out, _ = verify("--exchange-candles", path)
    assert status == 1
    assert "binance BTC/USDT 1m differ in: high 1, low 1" in out
    assert "low: ours 1.000000000000, theirs 0.500000000000" in out


def test_empty_database_ends_with_2(tables: Database, verify: Verify) -> None:
    """The JSON is still printed. With a single candle the check runs."""
    for words in ((), ("--json",)):
        status, out, err = verify(*words)
        assert status == 2
        assert err.splitlines()[-1].startswith("candlewax: nothing to verify in ")
        assert bool(out) == (words == ("--json",))
    store(tables, 0)
    status, out, err = verify()
    assert (status, err) == (1, "")
    assert "1 without trades" in out


def test_verify_without_kline_files_prints_nothing_of_them(
    tables: Database, verify: Verify
) -> None:
    """The JSON has no key for them."""
    status, out, _ = verify("--json")
    assert status == 2
    assert "exchange_candles" not in json.loads(out)
    assert tables.query("SELECT count() FROM ohlcv").item() == 0


@pytest.mark.parametrize(
    ("name", "arguments", "market"),
    [
        ("BTCUSDT-1m-2024-01-01.csv", [], "binance BTC/USDT"),
        ("BTCUSDT-1m-2024-01.csv", [], "binance_usdm BTC/USDT:USDT"),
        (
            "x.csv",
            ["--exchange", "binance", "--symbol", "BTC/USDT", "--timeframe", "1m"],
            "binance BTC/USDT",
        ),
        ("x.csv", ["--symbol", "BTC/USDT:USDT", "--timeframe", "1m"], "binance_usdm BTC/USDT:USDT"),
    ],
)
def test_market_is_that_of_the_file_name_or_the_options(
    tables: Database, verify: Verify, tmp_path: Path, name: str, arguments: list[str], market: str
) -> None:
    """A name of spot and futures is the one of which candles are stored."""
    store(tables, 0, market=market)
    path = tmp_path / name
    path.write_text(kline(0))
    _, out, err = verify("--json", "--exchange-candles", path, *arguments)
    assert err == ""
    (score,) = json.loads(out)["exchange_candles"]
    assert (f"{score['exchange']} {score['symbol']}", score["equal"]) == (market, 1)


def test_published_archive_is_read(tables: Database, verify: Verify, tmp_path: Path) -> None:
    """It holds one file."""
    store(tables, 0)
    path = tmp_path / "BTCUSDT-1m-2024-01-01.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("BTCUSDT-1m-2024-01-01.csv", kline(0))
    _, out, _ = verify("--json", "--exchange-candles", path)
    assert json.loads(out)["exchange_candles"][0]["equal"] == 1


@pytest.mark.parametrize(
    ("name", "text", "arguments", "reason"),
    [
        ("BTCUSDT-1m-2024-01-01.csv", "a,b\n1,2\n", [], "expected 12 columns, got 2"),
        ("BTCUSDT-3m-2024-01-01.csv", kline(0), [], "--timeframe: 3m"),
        ("BTCUSDT-5m-2024-01-01.csv", kline(1), [], "not those of windows of 5m"),
        ("x.csv", kline(0), [], "--timeframe: neither the file nor its name names one"),
        ("x.csv", kline(0), ["--timeframe", "1m"], "--symbol: neither the file"),
        ("SOLUSDT-1m-2024-01-01.csv", kline(0), [], "no closed candle of SOLUSDT of binance or"),
        ("x.zip", "no archive", [], "cannot be read"),
        ("x.json", "{}", [], "is no answer of OHLC"),
        ("x.json", "{}", ["--exchange", "binance"], "--exchange: binance publishes no such"),
    ],
)
def test_file_that_cannot_be_compared_is_named(
    tables: Database,
    verify: Verify,
    tmp_path: Path,
    name: str,
    text: str,
    arguments: list[str],
    reason: str,
) -> None:
    """With status 2 and the reason."""
    store(tables, 0)
    store(tables, 0, timeframe="5m")
    path = tmp_path / name
    path.write_text(text)
    status, _, err = verify("--exchange-candles", path, *arguments)
    assert status == 2
    assert f"{path}: " in err
    assert reason in err


def test_ambiguous_market_name_is_refused(tables: Database, verify: Verify, tmp_path: Path) -> None:
    """With status 2, if both spot and futures have candles."""
    store(tables, 0)
    store(tables, 0, market="binance_usdm BTC/USDT:USDT")
    path = tmp_path / "BTCUSDT-1m-2024-01-01.csv"
    path.write_text(kline(0))
    status, _, err = verify("--exchange-candles", path)
    assert (status, "--exchange: binance and binance_usdm both have BTCUSDT" in err) == (2, True)


@recorded.needed
def test_published_binance_klines_agree(tables: Database, verify: Verify, tmp_path: Path) -> None:
    """Seven minutes agree; the first was recorded in part, and its certificate says so."""
    frames = [
        frame
        for day in ("20240718", "20240719")
        for frame in recorded.binance(f"binance_usdm_btcusdt_{day}.raw.gz")
    ]
    replay([recorded.log(tmp_path / "f.tsv", "binance_usdm", frames, "c")], tables)
    path = recorded.DATA / "klines" / "binance_usdm_BTCUSDT_1m_20240718T2357Z.csv"
    words = ("--symbol", "BTC/USDT:USDT", "--timeframe", "1m")
    status, out, _ = verify("--json", *words, "--exchange-candles", path)
    (score,) = json.loads(out)["exchange_candles"]
    assert (score["compared"], score["equal"], score["known"], score["beyond"]) == (8, 7, 1, 1)
    assert (score["only_ours"], score["only_theirs"], status) == (0, 0, 0)
    lines = path.read_text().splitlines(keepends=True)
    lines[4] = lines[4].replace(",2480,", ",2481,")
    changed = tmp_path / "BTCUSDT-1m-2024-07.csv"
    changed.write_text("".join(lines))
    status, out, _ = verify("--json", "--exchange-candles", changed)
    (score,) = json.loads(out)["exchange_candles"]
    assert (status, score["equal"], score["fields"]["trade_count"]) == (1, 6, 2)
    assert [e["window_start"] for e in score["examples"] if e["status"] == "complete"] == [
        "2024-07-19 00:00:00"
    ]


@recorded.needed
def test_published_kraken_candles_agree(tables: Database, verify: Verify, tmp_path: Path) -> None:
    """Each minute with trades agrees in all fields; minutes without trades need no candle."""
    frames = [
        (int(time * 10**9) + 40_000_000, v2(list(fills)))
        for time, fills in groupby(kraken_trades(), key=lambda trade: trade[2])
    ]
    replay([recorded.log(tmp_path / "k.tsv", "kraken", frames, "k")], tables)
    path = recorded.DATA / "kraken_rest" / "kraken_xbtusdt_ohlc_1m_part1.json"
    status, out, _ = verify("--json", "--exchange-candles", path)
    (score,) = json.loads(out)["exchange_candles"]
    assert (score["exchange"], score["symbol"], score["timeframe"]) == ("kraken", "BTC/USDT", "1m")
    # The first minute was recorded in part, the last one is not closed.
    assert (score["equal"], score["differing"], score["known"]) == (138, 1, 1)
    assert (score["only_ours"], score["only_theirs"], status) == (0, 0, 0)
    assert score["empty"] > 50
