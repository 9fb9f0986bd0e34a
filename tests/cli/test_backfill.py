"""The command `candlewax backfill`."""

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from candlewax.cli import backfill as command
from candlewax.cli.backfill import BackfillRequest, BackfillRequestError, parse_request
from candlewax.cli.main import main
from candlewax.clickhouse.client import Database
from tests.support import command_inside
from tests.support.command_inside import Done
from tests.support.decoding import INSTRUMENTS
from tests.support.mending import markets, played


def parse(*arguments: str) -> BackfillRequest:
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers(), lambda _: 0)
    return parse_request(parser.parse_args(["backfill", *arguments]), INSTRUMENTS)


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("exchange", "symbol", "native"),
    [
        ("binance", "BTCUSDT", "BTCUSDT"),
        ("binance", "BTC/USDT", "BTCUSDT"),
        ("binance", "PEPEUSDT", "PEPEUSDT"),
        ("binance_usdm", "BTC/USDT:USDT", "BTCUSDT"),
        ("kraken", "BTC/USD", "BTC/USD"),
        ("coinbase", "BTC/USD", "BTC-USD"),
    ],
)
def test_market_is_found_by_native_and_unified_symbol(
    exchange: str, symbol: str, native: str
) -> None:
    """The request holds the native symbol."""
    request = parse(exchange, symbol, "--from", "2026-01-31", "--to", "2026-01-31T12:30:00")
    span = us("2026-01-31"), us("2026-01-31T12:30:00")
    assert request == BackfillRequest(exchange, native, span, ())


def test_times_without_an_offset_are_utc() -> None:
    """Times with an offset are converted."""
    request = parse(
        "kraken", "BTC/USD", "--from", "2026-01-31T02:00:00+02:00", "--to", "2026-02-01T00:00:00Z"
    )
    assert request.span == (us("2026-01-31"), us("2026-02-01"))


def test_dump_is_read_whole_without_times() -> None:
    """The request has no span."""
    request = parse("binance", "BTCUSDT", "--dump", "a.csv", "b.zip")
    assert request == BackfillRequest("binance", "BTCUSDT", None, (Path("a.csv"), Path("b.zip")))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("binance", "nothing"), "'nothing' is no symbol of binance"),
        (("kraken", "BTCUSDT"), "'BTCUSDT' is no symbol of kraken"),
        (("binance", "BTCUSDT"), "--from and --to: missing; needed without --dump"),
        (("binance", "BTCUSDT", "--from", "2026-01-02"), "^--to: missing"),
        (
            ("binance", "BTCUSDT", "--from", "2026-01-02", "--to", "2026-01-02"),
            "--from: got 2026-01-02T00:00:00Z, takes a time before --to, 2026-01-02T00:00:00Z",
        ),
        (
            ("binance", "BTCUSDT", "--from", "2200-01-01", "--to", "2200-01-02"),
            "--from: got 2200-01-01T00:00:00Z, takes a time before now, 20",
        ),
    ],
)
def test_invalid_request_is_refused_with_its_reason(
    arguments: tuple[str, ...], reason: str
) -> None:
    with pytest.raises(BackfillRequestError, match=reason):
        parse(*arguments)


def backfill(tables: Database, place: Path, *arguments: str, **settings: str) -> Done:
    """Run the command on a test's database."""
    name = str(tables.client.database)
    where = {"CANDLEWAX_CLICKHOUSE": str(place), "CANDLEWAX_DATABASE": name}
    return command_inside.command("backfill", *arguments, **where, **settings)


def test_command_stores_a_dump_once(tables: Database, engine_path: Path, tmp_path: Path) -> None:
    """The first run stores its trades; for the second all are known."""
    dump = tmp_path / "BTCUSDT-trades-2026-01-01.csv"
    dump.write_text("1,2,3,6,1767225600000,True,True\n2,2,3,6,1767225601000,False,True\noops\n")
    arguments = ("binance", "BTC/USDT", "--dump", str(dump))
    first = backfill(tables, engine_path, *arguments)
    assert first.returncode == 0, first.stderr
    assert "2 trades stored, 0 known before, 1 dead letters" in first.stdout
    assert "BTCUSDT-trades-2026-01-01.csv: 2 trades of BTCUSDT" in first.stdout
    assert "1 lines cannot be read, see dead_letters" in first.stderr
    second = backfill(tables, engine_path, *arguments)
    assert "0 trades stored, 2 known before, 1 dead letters" in second.stdout


@pytest.mark.parametrize(
    ("text", "span", "message", "frames"),
    [
        # Other days.
        (
            "id,price,qty,quote_qty,time,is_buyer_maker\n1,2,3,6,1767225600000,True\n",
            ("--from", "2026-01-05"),
            "no trade of BTCUSDT in that span; no trade was stored",
            0,
        ),
        ("oops\n", (), "no trade that can be read of BTCUSDT; no trade was stored", 1),
    ],
)
def test_dump_without_trades_ends_with_1(
    tables: Database,
    engine_path: Path,
    tmp_path: Path,
    text: str,
    span: tuple[str, ...],
    message: str,
    frames: int,
) -> None:
    """No frame of other days is stored, nor the header of the file."""
    dump = tmp_path / "BTCUSDT-trades-2026-01-01.csv"
    dump.write_text(text)
    done = backfill(tables, engine_path, "binance", "BTC/USDT", "--dump", str(dump), *span)
    assert done.returncode == 1
    assert message in done.stderr
    assert f"{frames} frames in" in done.stdout


def test_span_before_the_first_trade_ends_with_1(
    tables: Database, engine_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No frame is stored. A span that holds some trades stores them and prints their number."""
    monkeypatch.setenv("no_proxy", "*")
    with played() as (simulator, _):
        trades = markets(simulator, "coinbase")["BTC-USD"]
        url = {"CANDLEWAX_COINBASE_REST_URL": simulator.rest_url("coinbase")}
        first = datetime.fromtimestamp(trades[0].time_us // 1_000_000, UTC)
        begin = (first - timedelta(days=1)).isoformat()
        arguments = ("coinbase", "BTC-USD", "--from", begin, "--to")
        before = backfill(tables, engine_path, *arguments, first.isoformat(), **url)
        within = backfill(
            tables, engine_path, *arguments, (first + timedelta(seconds=1)).isoformat(), **url
        )
    assert before.returncode == 1
    assert "coinbase: no trade of BTC-USD in that span; no trade was stored" in before.stderr
    assert "0 frames in" in before.stdout
    end_us = int(first.timestamp() + 1) * 1_000_000
    count = sum(trade.time_us < end_us for trade in trades)
    assert within.returncode == 0, within.stderr
    assert f"coinbase: {count:,} trade" in within.stdout
    assert f"{count:,} trades stored" in within.stdout


SPAN = ("--from", "2026-01-01", "--to", "2026-01-02")


@pytest.mark.parametrize(
    ("arguments", "settings", "message"),
    [
        (("kraken", "BTC/USD", "--dump", "x.csv"), {}, "kraken publishes no dumps"),
        (("binance", "BTCUSDT", "--dump", "none.csv"), {}, "none.csv: there is no such file"),
        (("binance", "FOO", *SPAN), {}, "'FOO' is no symbol of binance"),
        (("binance_usdm", "BTCUSDT", *SPAN), {}, "CANDLEWAX_BINANCE_USDM_KEY: needed"),
        (("bybit", "BTCUSDT", *SPAN), {}, "bybit cannot be asked for trades: its REST shows"),
        (
            ("kraken", "BTC/USD", *SPAN),
            {"KRAKEN_URL": "ws://127.0.0.1:1/x"},
            "CANDLEWAX_KRAKEN_REST_URL: needed",
        ),
    ],
)
def test_wrong_options_end_with_1_before_any_request(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    settings: dict[str, str],
    message: str,
) -> None:
    """The message names the cause."""
    for name, text in settings.items():
        monkeypatch.setenv(f"CANDLEWAX_{name}", text)
    with pytest.raises(SystemExit) as ended:
        main(["backfill", *arguments])
    assert ended.value.code == 1
    assert message in capsys.readouterr().err
