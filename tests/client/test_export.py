"""`candlewax export` writes files that others read."""

from decimal import Decimal
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow.feather
import pytest

from candlewax.cli.main import main
from candlewax.client.request import CANDLE
from tests.client.conftest import CANDLES
from tests.support.web_server import BEGIN, candle


def export(*arguments: object) -> None:
    """Run the command; an error ends the test."""
    with pytest.raises(SystemExit) as ended:
        main(["export", *map(str, arguments)])
    assert ended.value.code == 0


def refusal(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Run the command, which must fail; its last line."""
    with pytest.raises(SystemExit) as ended:
        main(["export", *map(str, arguments)])
    assert ended.value.code == 1
    return capsys.readouterr().err.splitlines()[-1]


CLOSES = [candle(number)["close"] for number in range(CANDLES)]


def test_parquet_has_exact_types(tmp_path: Path) -> None:
    export(tmp_path / "all.parquet")
    found = pl.read_parquet(tmp_path / "all.parquet")
    assert found.schema == CANDLE
    assert found["close"].to_list() == CLOSES


def test_csv_has_every_digit(tmp_path: Path) -> None:
    export(tmp_path / "all.csv", "--closed")
    found = pd.read_csv(tmp_path / "all.csv", dtype=str)
    assert list(found["close"].map(Decimal)) == CLOSES[:-1]
    assert found["low"][0] == "99.999999999999"
    assert found["window_start"][0] == "2026-09-14T12:00:00Z"
    assert list(found.columns) == list(CANDLE)


def test_floats_are_the_nearest(tmp_path: Path) -> None:
    export(tmp_path / "all.parquet", "--floats")
    assert pl.read_parquet(tmp_path / "all.parquet")["close"].to_list() == [
        float(close) for close in CLOSES
    ]


def test_hive_names_market_and_timeframe_by_folders(tmp_path: Path) -> None:
    export(tmp_path, "--layout", "hive", "--timeframe", "1m", "--timeframe", "1d")
    found = pl.scan_parquet(tmp_path).sort("timeframe", "window_start").collect()
    assert set(found["symbol"]) == {"BTC/USDT"}
    assert found.filter(timeframe="1m")["close"].to_list() == CLOSES
    assert found.filter(timeframe="1d")["close"].to_list() == CLOSES[-1:]


def test_freqtrade_finds_closed_candles_in_its_own_form(tmp_path: Path) -> None:
    """As freqtrade's FeatherDataHandler reads them: file name, columns, and their types."""
    export(tmp_path, "--layout", "freqtrade", "--symbol", "BTC/USDT")
    found = pyarrow.feather.read_feather(tmp_path / "binance" / "BTC_USDT-1m.feather")
    assert list(found.columns) == ["date", "open", "high", "low", "close", "volume"]
    assert str(found["date"].dtype) == "datetime64[ms, UTC]"
    assert found["date"][0] == pd.Timestamp(BEGIN)
    assert list(found["close"]) == [float(close) for close in CLOSES[:-1]]


def test_time_range_is_half_open(tmp_path: Path) -> None:
    path = tmp_path / "part.csv"
    export(path, "--from", "2026-09-14T12:10", "--to", "2026-09-14T12:20")
    assert pl.read_csv(path).height == 10


def test_file_that_cannot_be_finished_leaves_the_old_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "all.csv"
    path.write_text("as it was", "utf-8")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("candlewax.client.export._arrow", fail)
    assert refusal(capsys, path) == f"candlewax: {path}: No space left on device"
    assert path.read_text("utf-8") == "as it was"
    assert list(tmp_path.iterdir()) == [path]


def test_file_is_left_as_it_was_if_no_candle_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "all.csv"
    path.write_text("as it was", "utf-8")
    with_gap = ["--complete", "--from", "2026-09-14T12:05", "--to", "2026-09-14T12:06"]
    for arguments in (["--from", "2030-01-01"], with_gap):
        text = f"candlewax: no candle is selected; {path} is left as it was"
        assert refusal(capsys, path, *arguments) == text
        assert path.read_text("utf-8") == "as it was"
        assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["a.txt"],
            "a.txt: its ending names no format, takes .parquet, .csv, .feather, or --format",
        ),
        (["."], ".: its ending names no format, takes .parquet, .csv, .feather, or --format"),
        ([".", "--format", "csv"], ".: is a directory; a layout hive or freqtrade fills one"),
        (
            ["f", "--layout", "freqtrade", "--format", "csv"],
            "format: got csv, takes feather with this layout",
        ),
        (["a.csv", "--from", "2026-09-15", "--to", "2026-09-15"], "--from is not before --to"),
        (
            ["a.csv", "--symbol", "X/Y"],
            "symbol: got 'X/Y', takes one that is stored, such as BTC/USDT",
        ),
        (
            ["none/a.csv", "--from", "2030-01-01"],
            "no candle is selected; none/a.csv is left as it was",
        ),
    ],
)
def test_what_cannot_be_exported_is_said(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert refusal(capsys, *arguments) == f"candlewax: {message}"
