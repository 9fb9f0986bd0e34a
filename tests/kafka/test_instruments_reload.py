"""A changed instruments file behind a broker, taken up by the processes on both sides of it."""

import signal
import time
from pathlib import Path

import pytest

from candlewax.simulator.plan import Plan
from candlewax.simulator.server import Simulator
from tests.support.exchange_server import running
from tests.support.kafka.reading import ends, until
from tests.support.kafka.system import RAW, Process, System
from tests.support.processes import candlewax

pytestmark = pytest.mark.slow("processes over a broker and a server", seconds=20)

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

TRADES = """
SELECT toString(symbol), uniqExact(sequence), max(sequence) - min(sequence) + 1
FROM silver_trades FINAL GROUP BY symbol
"""

FIRST = """
SELECT toUnixTimestamp64Micro(min(received_at)) FROM silver_trades WHERE symbol = 'SOL/USDT'
"""

CHANGES = """
SELECT toString(symbol), subscribed, toUnixTimestamp64Micro(at) FROM subscriptions FINAL
ORDER BY symbol, at
"""


def take_up(process: Process) -> None:
    """Let a process take up the file, and wait until it has."""
    process.tell(signal.SIGHUP)
    until(lambda: "is taken up; added: binance SOLUSDT; dropped: binance ETHUSDT" in process.said())


def test_new_market_comes_in_behind_a_broker_and_no_frame_of_others_is_lost(
    system: System, tmp_path: Path
) -> None:
    """The tables know since when it is subscribed: since the reload, before its first trade."""
    path = tmp_path / "instruments.toml"
    path.write_text(BEFORE)
    with running(Simulator(Plan(rate=300))) as (simulator, _):
        settings = {
            "CANDLEWAX_FEED": "live",
            "CANDLEWAX_INSTRUMENTS": str(path),
            "CANDLEWAX_BINANCE_URL": simulator.url("binance"),
        }
        tables, ingest = (system.start(name, **settings) for name in ("tables", "ingest"))

        def stored() -> set[str]:
            return {symbol for symbol, *_ in system.tables.query(TRADES).rows()}

        until(lambda: stored() == {"BTC/USDT", "ETH/USDT"}, pause=0.2)
        started = time.time_ns() // 1000
        path.write_text(AFTER)
        take_up(tables)
        take_up(ingest)
        until(lambda: simulator.subscribed("binance") == {"BTCUSDT", "SOLUSDT"})
        until(lambda: "SOL/USDT" in stored(), pause=0.2)
        assert ingest.end() == 0, ingest.said()
    sent = sum(end - begin for begin, end in ends(system.servers, RAW.format("binance")))
    counting = "SELECT count() FROM bronze_frames FINAL"
    until(lambda: system.tables.query(counting).item() == sent, pause=0.2)
    assert tables.end() == 0, tables.said()
    rows = {symbol: (count, span) for symbol, count, span in system.tables.query(TRADES).rows()}
    assert rows.keys() == {"BTC/USDT", "ETH/USDT", "SOL/USDT"}
    # The numbers of each market have no hole, from its first trade to its last one.
    assert all(count == span for count, span in rows.values()), rows
    changes = system.tables.query(CHANGES).rows()
    assert [change[:2] for change in changes] == [
        ("BTC/USDT", True), ("ETH/USDT", True), ("ETH/USDT", False), ("SOL/USDT", True),
    ]  # fmt: skip
    first = system.tables.query(FIRST).item()
    assert changes[1][2] < started <= changes[2][2] == changes[3][2] <= first
    verified = candlewax(tmp_path, "verify", **system.settings)
    assert verified.returncode == 0, verified.stdout
