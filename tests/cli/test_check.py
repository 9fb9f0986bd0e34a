"""`candlewax check`: whether the exchanges answer by REST."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from candlewax.simulator.plan import FaultRates, Plan
from candlewax.simulator.server import Simulator
from tests.support.command_inside import command
from tests.support.exchange_server import running
from tests.support.ports import free_port


@pytest.fixture(scope="module")
def addresses() -> Iterator[dict[str, str]]:
    """Simulated exchanges that answer, but for Kraken."""
    with running(Simulator(Plan(rate=100, fault_rates=FaultRates(refuse=("LINKUSDT",))))) as (
        simulator,
        _,
    ):
        urls = {}
        for name in ("binance", "kraken", "coinbase"):
            urls[f"CANDLEWAX_{name.upper()}_URL"] = simulator.url(name)
            urls[f"CANDLEWAX_{name.upper()}_REST_URL"] = simulator.rest_url(name)
        urls["CANDLEWAX_KRAKEN_REST_URL"] = f"http://127.0.0.1:{free_port()}/kraken"
        yield urls


def lines(text: str, subject: str) -> list[list[str]]:
    parts = [line.split(maxsplit=2) for line in text.splitlines()]
    return [part for part in parts if part[1] == subject]


def test_each_exchange_in_use_is_asked_by_rest(
    tmp_path: Path, addresses: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """One that does not answer is wrong, and told once. Those not in use are not asked."""
    settings = {
        "CANDLEWAX_FEED": "live",
        "CANDLEWAX_EXCHANGES": "binance,kraken",
        "CANDLEWAX_CLICKHOUSE": str(tmp_path / "tables"),
        **addresses,
    }
    done = command("check", **settings)
    kraken = addresses["CANDLEWAX_KRAKEN_REST_URL"].removesuffix("/kraken")
    binance, other = lines(done.stdout, "REST")
    assert (binance[0], other[0]) == ("ok", "wrong")
    assert binance[2].startswith("binance: ")
    assert binance[2].endswith(" answers with trades")
    assert other[2].startswith(f"kraken: no answer from {kraken}")
    assert done.returncode == 1
    assert not [one for one in caplog.records if "waits" in one.getMessage()]
    assert command("check", **settings | {"CANDLEWAX_EXCHANGES": "binance"}).returncode == 0


def test_subscribed_markets_that_do_not_trade_are_told(
    tmp_path: Path, addresses: dict[str, str]
) -> None:
    """By the exchange's list; one that cannot be had is told, and no reason to fail."""
    file = tmp_path / "instruments.toml"
    file.write_text(
        '[binance.subscribe]\nBTCUSDT = "BTC/USDT"\nLINKUSDT = "LINK/USDT"\nETH_USDT = "ETH/USDT"\n'
        '[binance.also]\nOLDUSDT = "OLD/USDT"\n'
        '[kraken.subscribe]\n"BTC/USD" = "BTC/USD"\n'
        '[coinbase.subscribe]\nBTC-USD = "BTC/USD"\n'
    )
    settings = {
        "CANDLEWAX_FEED": "live",
        "CANDLEWAX_INSTRUMENTS": str(file),
        "CANDLEWAX_CLICKHOUSE": str(tmp_path / "tables"),
        **addresses,
    }
    binance, renamed, kraken, coinbase = lines(command("check", **settings).stdout, "markets")
    assert binance[::2] == ["note", "binance: LINKUSDT (LINK/USDT) is delisted"]
    assert renamed[::2] == [
        "note",
        "binance: ETH_USDT is listed no more; ETH/USDT is now ETHUSDT",
    ]
    assert kraken[0] == "note"
    assert "kraken: whether its markets trade is not known: no answer from http" in kraken[2]
    assert coinbase[::2] == ["ok", "coinbase: all 1 subscribed ones trade"]


def test_a_replay_asks_no_exchange(tmp_path: Path, addresses: dict[str, str]) -> None:
    done = command("check", CANDLEWAX_CLICKHOUSE=str(tmp_path / "tables"), **addresses)
    assert not lines(done.stdout, "REST")
    assert done.returncode == 0


def test_live_feed_is_checked_for_the_directory_it_would_fill(
    tmp_path: Path, addresses: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"CANDLEWAX_FEED": "live", "CANDLEWAX_EXCHANGES": "binance", **addresses}
    (found,) = lines(command("check", **settings).stdout, "database")
    assert found == [
        "note",
        "database",
        "data/simulated: is not there yet; the first start makes it",
    ]
    assert not list(tmp_path.iterdir())


def test_empty_directory_holds_no_database_yet(tmp_path: Path) -> None:
    """And stays empty, also if a command reads it."""
    settings = {"CANDLEWAX_CLICKHOUSE": str(tmp_path)}
    done = command("check", **settings)
    assert lines(done.stdout, "database")[0][0] == "note"
    assert done.returncode == 0
    read = command("sql", "SELECT 1", **settings)
    assert read.returncode == 1
    assert read.stderr.startswith(f"candlewax: {tmp_path}: no database here")
    assert not list(tmp_path.iterdir())
