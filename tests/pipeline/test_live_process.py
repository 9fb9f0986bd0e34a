"""The whole pipeline on live websockets, as a user starts it: a real process, simulated exchanges
and an embedded database.
"""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from candlewax.simulator.plan import Plan
from candlewax.simulator.server import Simulator
from tests.support.decoding import INSTRUMENTS
from tests.support.exchange_server import running
from tests.support.kafka.reading import until
from tests.support.processes import FLOW, ROOT, environment, outputs

pytestmark = pytest.mark.slow("a process on live feeds", seconds=10)

VENUES = ("binance", "kraken", "coinbase")
MARKETS = sum(len(INSTRUMENTS.subscriptions(exchange)) for exchange in VENUES)


def settings(simulator: Simulator) -> dict[str, str]:
    """A live feed of the simulated exchanges."""
    urls = {f"CANDLEWAX_{name.upper()}_URL": simulator.url(name) for name in VENUES}
    return {"CANDLEWAX_FEED": "live", **urls}


@contextmanager
def listening(folder: Path, simulator: Simulator) -> Iterator[subprocess.Popen[bytes]]:
    """Run the pipeline; it is subscribed to all markets."""
    env = environment(folder, **settings(simulator))
    with (folder / "out.log").open("ab") as out:
        process = subprocess.Popen(FLOW, cwd=ROOT, env=env, stdout=out, stderr=out)
    try:
        until(lambda: sum(len(simulator.subscribed(name)) for name in VENUES) == MARKETS)
        yield process
    finally:
        process.kill()
        process.wait()


def play(simulator: Simulator, run: Any) -> None:
    """Play the market to its end."""

    async def whole() -> None:
        simulator.begin()
        await simulator.ended()

    run(whole())


def published(simulator: Simulator) -> set[tuple[str, str, str]]:
    """Return exchange, native symbol and id of each trade that was sent."""
    return {
        (entry.trade.market.exchange, entry.trade.market.native_symbol, str(entry.trade.trade_id))
        for entry in simulator.journal
        if not entry.skipped and entry.trade.market.exchange in VENUES
    }


SUBSCRIBED = "SELECT count() FROM subscription_spans WHERE ended > now()"

CONTROL = """
SELECT exchange, JSONExtractString(frame, 'candlewax') AS event, count()
FROM bronze_frames FINAL WHERE kind = 'control' AND event != '' GROUP BY ALL ORDER BY ALL
"""


def test_every_published_trade_is_stored(tmp_path: Path) -> None:
    """Once the process is stopped. Connection events are stored among the frames."""
    plan = Plan(rate=1000, trades=1000, starts_paused=True)
    with running(Simulator(plan)) as (simulator, run):
        with listening(tmp_path, simulator) as process:
            play(simulator, run)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0, (tmp_path / "out.log").read_text()
        expected = published(simulator)
    trades = "SELECT exchange, native_symbol, trade_id FROM silver_trades FINAL"
    queries = (trades, CONTROL, "SELECT count() FROM dead_letters", SUBSCRIBED)
    commands = [("sql", sql, "--format", "TabSeparated") for sql in queries]
    outputs_ = outputs(tmp_path, *commands, ("verify",))
    stored, events, letters = (
        [line.split("\t") for line in text.splitlines()] for text in outputs_[:3]
    )
    assert set(map(tuple, stored)) == expected
    assert len(stored) == len(expected) > 500
    assert events == [
        [name, event, "1"]
        for name in sorted(VENUES)
        for event in ("connected", "disconnected", "subscribed")
    ]
    assert letters == [["0"]]
    assert outputs_[3] == f"{MARKETS}\n"
