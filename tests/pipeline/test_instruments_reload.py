"""A changed instruments file, taken up by a process that goes on."""

import logging
import signal
import subprocess
from pathlib import Path

import pytest

from candlewax.core.instruments import load
from candlewax.pipeline.instruments_reload import InstrumentsReload
from candlewax.pipeline.process import ProcessContext
from candlewax.runtime.counters import Counters
from candlewax.runtime.settings import Settings
from candlewax.runtime.settings import load as load_settings
from candlewax.simulator.plan import Plan
from candlewax.simulator.server import Simulator
from tests.support.exchange_server import running
from tests.support.kafka.reading import until
from tests.support.processes import FLOW, ROOT, environment, outputs

BEFORE = """
[binance.subscribe]
BTCUSDT = "BTC/USDT"
ETHUSDT = "ETH/USDT"
"""

AFTER = """
[binance.subscribe]
BTCUSDT = "BTC/USDT"
SOLUSDT = { symbol = "SOL/USDT", tick = "0.01" }
"""


def settings(path: Path) -> Settings:
    """Return settings that name a file of instruments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CANDLEWAX_INSTRUMENTS", str(path))
        return load_settings()


def reload(path: Path) -> tuple[InstrumentsReload, ProcessContext, list[str]]:
    """Return what takes up a file, the process, and where it notes that parts followed."""
    path.write_text(BEFORE)
    instruments, calls = load(path), list[str]()
    process = ProcessContext(instruments, instruments.exchanges, Counters())
    process.instrument_followers.append(lambda: calls.append("followed"))
    return InstrumentsReload(settings(path), process), process, calls


def fail() -> None:
    """Fail as a database does that does not answer."""
    raise RuntimeError


def test_changed_file_is_followed_by_all_parts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """One that fails does not keep the others from it; a new exchange is told."""
    path = tmp_path / "instruments.toml"
    reloading, process, calls = reload(path)
    process.instrument_followers.insert(0, fail)
    path.write_text(AFTER + '[kraken.subscribe]\n"BTC/USD" = "BTC/USD"\n')
    with caplog.at_level(logging.INFO, "candlewax"):
        reloading.take_up()
    assert process.instruments.subscriptions("binance") == ["BTCUSDT", "SOLUSDT"]
    assert calls == ["followed"]
    assert caplog.messages == [
        "instruments: a part could not follow the change; the next SIGHUP tries again",
        f"instruments: {path} is taken up; added: binance SOLUSDT, kraken BTC/USD; "
        "dropped: binance ETHUSDT",
        "instruments: kraken: new exchanges take a restart",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[binance.subscribe]\nBTCUSDT = 7\n", "looks like BTC/USDT"),
        ("[binance", "Expected"),
        ('[binance.also]\nBTCUSDT = "XBT/USDT"\n', "it is BTC/USDT in this process"),
    ],
)
def test_broken_file_is_refused_and_the_markets_stay(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, reason: str
) -> None:
    """The log names the file and the fault."""
    path = tmp_path / "instruments.toml"
    reloading, process, calls = reload(path)
    path.write_text(text)
    reloading.take_up()
    (message,) = caplog.messages
    assert str(path) in message
    assert reason in message
    assert message.endswith("The markets stay as they are")
    assert process.instruments.subscriptions("binance") == ["BTCUSDT", "ETHUSDT"]
    assert not calls


def test_file_that_was_replaced_below_its_mount_is_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A container holds the old file, and cannot see another one that took its name."""
    path = tmp_path / "instruments.toml"
    path.write_text(BEFORE)
    with path.open() as mounted:
        held = Path(f"/proc/self/fd/{mounted.fileno()}")
        instruments = load(held)
        process = ProcessContext(instruments, instruments.exchanges, Counters())
        reloading = InstrumentsReload(settings(held), process)
        path.write_text(BEFORE + 'SOLUSDT = "SOL/USDT"\n')
        reloading.take_up()
        assert process.instruments.subscriptions("binance") == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
        caplog.clear()
        other = tmp_path / "other.toml"
        other.write_text(AFTER)
        other.replace(path)
        reloading.take_up()
    (message,) = caplog.messages
    assert f"{held}: the file that is mounted here was replaced by another one" in message
    assert process.instruments.subscriptions("binance") == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]


@pytest.mark.slow("a process on a live feed", seconds=10)
def test_live_process_takes_up_a_file_on_sighup_without_losing_a_trade(tmp_path: Path) -> None:
    """New markets are subscribed and stored, a broken file changes nothing."""
    path = tmp_path / "instruments.toml"
    path.write_text(BEFORE)
    with running(Simulator(Plan(rate=300))) as (simulator, _):
        env = environment(
            tmp_path, CANDLEWAX_FEED="live", CANDLEWAX_INSTRUMENTS=str(path),
            CANDLEWAX_BINANCE_URL=simulator.url("binance"),
        )  # fmt: skip
        with (tmp_path / "out.log").open("ab") as log_file:
            process = subprocess.Popen(FLOW, cwd=ROOT, env=env, stdout=log_file, stderr=log_file)
        log = tmp_path / "out.log"

        def count(symbol: str) -> int:
            markets = (entry.trade.market for entry in list(simulator.journal))
            return sum(market.native_symbol == symbol for market in markets)

        try:
            until(lambda: simulator.subscribed("binance") == {"BTCUSDT", "ETHUSDT"})
            path.write_text("[binance.subscribe]\nBTCUSDT = 7\n")
            process.send_signal(signal.SIGHUP)
            until(lambda: "The markets stay as they are" in log.read_text())
            path.write_text(AFTER)
            process.send_signal(signal.SIGHUP)
            until(lambda: simulator.subscribed("binance") == {"BTCUSDT", "SOLUSDT"})
            begin = count("SOLUSDT")
            until(lambda: count("SOLUSDT") > begin + 1)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0, log.read_text()
        finally:
            process.kill()
            process.wait()
    trades = "SELECT symbol, uniqExact(sequence), max(sequence) - min(sequence) + 1, count() > 1"
    stored, listed, asked, outages, verified = outputs(
        tmp_path,
        *(("sql", sql, "--format", "TabSeparated") for sql in (
            f"{trades} FROM silver_trades FINAL GROUP BY symbol ORDER BY symbol",
            "SELECT symbol, tick FROM instruments FINAL ORDER BY symbol",
            "SELECT symbol, argMax(subscribed, at) FROM subscriptions GROUP BY symbol ORDER BY 1",
            "SELECT symbol, ended > began FROM market_outages FINAL ORDER BY symbol",
        )),
        ("verify",),
    )  # fmt: skip
    rows = {symbol: rest for symbol, *rest in (line.split("\t") for line in stored.splitlines())}
    assert rows.keys() >= {"BTC/USDT", "SOL/USDT"}
    # The numbers of each market have no hole, from its first trade to its last one.
    assert all(count == span for count, span, _ in rows.values())
    assert rows["SOL/USDT"][2] == "1"
    assert listed.splitlines() == ["BTC/USDT\t\\N", "ETH/USDT\t\\N", "SOL/USDT\t0.01"]
    assert asked.splitlines() == ["BTC/USDT\ttrue", "ETH/USDT\tfalse", "SOL/USDT\ttrue"]
    # The last candle of the dropped market is not complete, as the tables prove by themselves.
    assert outages.splitlines() == ["ETH/USDT\t0"]
    assert "certificates of candles agree" in verified
    assert all(line.startswith("All ") for line in verified.splitlines()), verified
