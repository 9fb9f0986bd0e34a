"""`candlewax reconcile` against a local server of daily files."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from candlewax.cli.main import main
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.daily_files import CHECKSUM
from candlewax.simulator.market.market import Trade
from tests.support.daily_files import (
    contract_lines,
    in_base,
    kline_lines,
    publishing,
    put,
    trade_lines,
)
from tests.support.minutes_of_trades import market_of, trades_of
from tests.support.processes import candlewax

pytestmark = pytest.mark.slow("processes with a database each", seconds=8)

DAY = "2026-01-31"
BEGIN = int(datetime(2026, 1, 31, tzinfo=UTC).timestamp())
MINUTES = 1_440
COUNTS = tuple((minute * 7) % 4 for minute in range(MINUTES))
"""Trades of each minute: a quarter of the minutes has none, and the first neither."""


@dataclass(frozen=True)
class Site:
    """Folder of published files, its address, and what is in them."""

    folder: Path
    url: str
    trades: list[Trade]

    def publish(self, trades: list[Trade], klines: str) -> None:
        """Publish the two files of the day."""
        put(self.folder, TRADES, trade_lines(trades))
        put(self.folder, KLINES, klines)


FILES = EXCHANGES["binance"].daily_files
assert FILES is not None
NATIVE = market_of("binance").native_symbol
TRADES = FILES.trades_path(NATIVE, datetime.fromtimestamp(BEGIN, UTC).date())
KLINES = FILES.candles_path(NATIVE, datetime.fromtimestamp(BEGIN, UTC).date())


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that publishes a day of trades and the candles of them."""
    folder = tmp_path_factory.mktemp("site")
    trades = trades_of(market_of("binance"), BEGIN, COUNTS)
    with publishing(folder) as url:
        yield Site(folder, url, trades)


def test_paths_are_those_of_the_public_data() -> None:
    """Spot and USD-M futures have folders of their own."""
    assert f"/data/spot/daily/trades/{NATIVE}/{NATIVE}-trades-{DAY}.zip" == TRADES
    assert f"/data/spot/daily/klines/{NATIVE}/1m/{NATIVE}-1m-{DAY}.zip" == KLINES
    futures = EXCHANGES["binance_usdm"].daily_files
    assert futures is not None
    assert futures.trades_path("BTCUSDT", datetime(2026, 1, 31, tzinfo=UTC).date()) == (
        "/data/futures/um/daily/trades/BTCUSDT/BTCUSDT-trades-2026-01-31.zip"
    )


def test_equal_day_is_told_in_one_line(site: Site, tmp_path: Path) -> None:
    """Minutes without trades count too. The files stay in a folder that is named."""
    site.publish(site.trades, kline_lines(site.trades, BEGIN, MINUTES))
    done = candlewax(
        tmp_path, "reconcile", "binance", "BTC/USDT", DAY, "--folder", str(tmp_path / "files"),
        CANDLEWAX_BINANCE_FILES_URL=site.url,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    first, *files, numbers, last = done.stdout.splitlines()
    assert first == f"binance BTC/USDT {DAY}"
    assert len(files) == 2
    begin, end = site.trades[0].trade_id, site.trades[-1].trade_id
    assert numbers == f"{sum(COUNTS):,} trades, numbers {begin} to {end} without a hole"
    assert last == "1,440 of 1,440 candles equal in every field"
    kept = {path.name for path in (tmp_path / "files").iterdir()}
    assert kept == {Path(TRADES).name, Path(KLINES).name}


def test_contracts_are_compared_without_a_quote_volume(site: Site, tmp_path: Path) -> None:
    """The files of COIN-M have the base in its place, and times in milliseconds."""
    market = market_of("binance_coinm")
    trades = trades_of(market, BEGIN, COUNTS)
    files = EXCHANGES["binance_coinm"].daily_files
    assert files is not None
    name, day = market.native_symbol, datetime.fromtimestamp(BEGIN, UTC).date()
    assert (
        files.trades_path(name, day)
        == f"/data/futures/cm/daily/trades/{name}/{name}-trades-{DAY}.zip"
    )
    put(site.folder, files.trades_path(name, day), contract_lines(trades))
    put(site.folder, files.candles_path(name, day), in_base(kline_lines(trades, BEGIN, MINUTES)))
    done = candlewax(
        tmp_path,
        "reconcile",
        "binance_coinm",
        name,
        DAY,
        CANDLEWAX_BINANCE_COINM_FILES_URL=site.url,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "1,440 of 1,440 candles equal in every field"


def test_differences_are_listed_with_both_values(site: Site, tmp_path: Path) -> None:
    """A trade that the file lacks is missed by its number, too."""
    (missing,) = [trade for trade in site.trades if trade.time_us == (BEGIN + 3 * 60) * 1_000_000]
    published = [replace_price(trade, site) for trade in site.trades]
    klines = kline_lines(published, BEGIN, MINUTES)
    site.publish([trade for trade in site.trades if trade is not missing], klines)
    done = candlewax(
        tmp_path, "reconcile", "binance", NATIVE, DAY, "--json",
        CANDLEWAX_BINANCE_FILES_URL=site.url,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "")
    told = json.loads(done.stdout)
    assert (told["candles"], told["equal"], told["missing"]) == (1_440, 1_438, 1)
    first, last = told["differing"]
    assert first["window_start"] == "2026-01-31T00:03:00+00:00"
    # It was the only trade of its minute: we have no candle.
    assert first["fields"]["trade_count"] == {"ours": "", "theirs": "1"}
    assert set(last["fields"]) >= {"close", "quote_volume"}
    assert "volume" not in last["fields"]


def replace_price(trade: Trade, site: Site) -> Trade:
    """Change the price of the last trade by one tick."""
    return trade._replace(price=trade.price + 1) if trade is site.trades[-1] else trade


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[object, str]:
    """Run the command in this process; it ends before any database is opened."""
    with pytest.raises(SystemExit) as ended:
        main(["reconcile", *words])
    return ended.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("kraken", "BTC/USD", DAY),
            "kraken: no daily files of trades and candles are known of it; those of binance, ",
        ),
        (("binance", "NO/PE", DAY), "'NO/PE' is no symbol of binance"),
        (("binance", "BTC/USDT", "2026-01-31T12:00"), "takes a day in UTC, as 2026-01-31"),
        (("binance", "BTC/USDT", "2100-01-01"), "2100-01-01 has not ended"),
        (("binance", "BTC/USDT", "2020-01-01"), "there is no such file"),
    ],
)
def test_day_that_cannot_be_compared_is_told(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
) -> None:
    """With exit status 2."""
    monkeypatch.setenv("CANDLEWAX_BINANCE_FILES_URL", site.url)
    code, error = run(capsys, *words)
    assert code == 2
    assert message in error


@pytest.mark.parametrize(
    ("checksum", "message"),
    [
        ("0" * 64 + f"  {Path(TRADES).name}\n", "the file is damaged or was changed"),
        ("0" * 64 + "  other.zip\n", f"expected a SHA-256 and the name {Path(TRADES).name}"),
        ("no checksum", "expected a SHA-256"),
    ],
)
def test_file_with_another_checksum_is_refused(
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    checksum: str,
    message: str,
) -> None:
    """And it does not stay."""
    monkeypatch.setenv("CANDLEWAX_BINANCE_FILES_URL", site.url)
    trades = put(site.folder, TRADES, trade_lines(site.trades[:3]))
    trades.with_name(trades.name + CHECKSUM).write_text(checksum)
    code, error = run(capsys, "binance", "BTC/USDT", DAY, "--folder", str(tmp_path / "files"))
    assert code == 2
    assert message in error
    assert list((tmp_path / "files").iterdir()) == []


def test_address_that_does_not_answer_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """After three attempts."""
    monkeypatch.setenv("CANDLEWAX_BINANCE_FILES_URL", "http://127.0.0.1:1")
    code, error = run(capsys, "binance", "BTC/USDT", DAY)
    assert code == 2
    assert "no answer in 3 attempts" in error
