"""The whole pipeline on live websockets, as a user starts it: real processes, exchanges
that are simulated, an embedded database.
"""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bytewax.recovery import init_db_dir

from candlewax.simulator.plan import Plan
from candlewax.simulator.server import Simulator
from tests.support.decoding import INSTRUMENTS
from tests.support.exchange_server import running
from tests.support.kafka.reading import until
from tests.support.processes import FLOW, ROOT, candlewax, environment, queries, query

VENUES = ("binance", "kraken", "coinbase")
MARKETS = sum(len(INSTRUMENTS.subscriptions(exchange)) for exchange in VENUES)


def settings(simulator: Simulator) -> dict[str, str]:
    """A live feed of the simulated exchanges."""
    urls = {f"CANDLEWAX_{name.upper()}_URL": simulator.url(name) for name in VENUES}
    return {"CANDLEWAX_FEED": "live", **urls}


@contextmanager
def listening(
    folder: Path, simulator: Simulator, *options: str
) -> Iterator[subprocess.Popen[bytes]]:
    """The pipeline, subscribed to all markets."""
    env = environment(folder, **settings(simulator))
    with (folder / "out.log").open("ab") as out:
        process = subprocess.Popen((*FLOW, *options), cwd=ROOT, env=env, stdout=out, stderr=out)
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
    """Exchange, native symbol and id of each trade that somebody could hear."""
    return {
        (one.trade.market.exchange, one.trade.market.native_symbol, str(one.trade.trade_id))
        for one in simulator.journal
        if not one.skipped and one.trade.market.exchange in VENUES
    }


def stored(folder: Path) -> set[tuple[str, ...]]:
    """The same of each stored trade."""
    return set(
        map(
            tuple,
            query(folder, "SELECT exchange, native_symbol, trade_id FROM silver_trades FINAL"),
        )
    )


def test_all_that_was_published_is_stored(tmp_path: Path) -> None:
    """When it is stopped, and the candles are what the trades say; what happened to the
    connections is stored among the frames.
    """
    plan = Plan(rate=1000, trades=3000, starts_paused=True)
    with running(Simulator(plan)) as (simulator, run):
        with listening(tmp_path, simulator) as process:
            play(simulator, run)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0, (tmp_path / "out.log").read_text()
        assert stored(tmp_path) == published(simulator)
    assert candlewax(tmp_path, "verify").returncode == 0
    events, letters = queries(
        tmp_path,
        "SELECT exchange, JSONExtractString(frame, 'candlewax') AS event, count() "
        "FROM bronze_frames FINAL WHERE kind = 'control' AND event != '' GROUP BY ALL ORDER BY ALL",
        "SELECT count() FROM dead_letters",
    )
    assert events == [
        [name, event, "1"]
        for name in sorted(VENUES)
        for event in ("connected", "disconnected", "subscribed")
    ]
    assert letters == [["0"]]


def test_a_killed_run_goes_on_with_what_it_stored(tmp_path: Path) -> None:
    """What it stored stays right, what its frames hold is stored too, and only what it never
    stored is missing; also where a recovery store remembers less.
    """
    store = tmp_path / "recovery"
    store.mkdir()
    init_db_dir(store, 1)
    options = ["-r", str(store), "-s", "1", "-b", "0"]
    plan = Plan(rate=1000, trades=2000, starts_paused=True)
    with running(Simulator(plan)) as (simulator, run):
        with listening(tmp_path, simulator, *options) as process:
            play(simulator, run)
            process.send_signal(signal.SIGKILL)
            process.wait()
        first = published(simulator)
        kept = stored(tmp_path)
        assert kept <= first
    with running(
        Simulator(Plan(rate=1000, trades=2000, starts_paused=True, ids_from=1_000_000))
    ) as (
        simulator,
        run,
    ):
        with listening(tmp_path, simulator, *options) as process:
            play(simulator, run)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=60) == 0, (tmp_path / "out.log").read_text()
        second = published(simulator)
        found = stored(tmp_path)
        assert kept | second <= found <= first | second
    ((held,),) = query(tmp_path, "SELECT sum(fresh) FROM bronze_frames FINAL")
    assert int(held) == len(found)
    assert candlewax(tmp_path, "verify").returncode == 0
