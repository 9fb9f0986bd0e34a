"""Filling gaps and backfill over a real broker and a ClickHouse server."""

import signal
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from candlewax.core import frame_log
from candlewax.core.kind_marks import REAL
from candlewax.pipeline.data_kind import stored_kind
from candlewax.simulator.market.market import Trade
from candlewax.simulator.plan import Plan
from candlewax.simulator.server import Simulator
from tests.support.exchange_server import running
from tests.support.kafka import reading
from tests.support.kafka.system import System
from tests.support.mending import frame, gaps, markets, played, stored
from tests.support.minutes_of_trades import begin_s, market_of, publish, trades_of
from tests.support.processes import candlewax
from tests.support.reconciling import ALL_EQUAL, COUNTS, LAST

pytestmark = pytest.mark.slow("processes over a broker and a server", seconds=60)


def send(system: System, log: Path, trades: Iterable[Trade]) -> None:
    """Send trades of the simulator to the raw topic, as a recording."""
    texts = ['{"candlewax":"connected","made":"simulator"}', *map(frame, trades)]
    now = time.time_ns()
    log.write_text(
        "".join(
            frame_log.format_line(now + n, "binance", "b0", n, text) for n, text in enumerate(texts)
        )
    )
    assert system.start("ingest", CANDLEWAX_FEED=str(log)).wait() == 0


def test_repair_fills_gaps_through_the_raw_topic(system: System, tmp_path: Path) -> None:
    """A recording without some trades is sent. `silver` finds the gaps, `repair` sends the answers
    of REST to the same topic, and no trade is missing in the end.
    """
    with played(4000) as (simulator, _):
        trades = markets(simulator, "binance")["BTCUSDT"]
        log = tmp_path / "recorded.tsv"
        recorded = [trade for n, trade in enumerate(trades) if n % 20 != 7 or n > len(trades) - 20]
        send(system, log, recorded)
        silver = system.durable("silver")
        reading.until(lambda: len(stored(system.tables, "binance")) == len(recorded), seconds=120)
        reading.until(lambda: gaps(system.tables), seconds=60)
        settings = {"CANDLEWAX_BINANCE_REST_URL": simulator.rest_url("binance")}
        repair = system.start("repair", **settings)
        reading.until(
            lambda: {gap["state"] for gap in gaps(system.tables)} == {"repaired"}, seconds=120
        )
        for process in (repair, silver):
            assert process.end(signal.SIGTERM) == 0, process.said()
    ways = stored(system.tables, "binance")
    assert ways.keys() == {("BTCUSDT", trade.trade_id) for trade in trades}
    assert set(ways.values()) == {"websocket", "rest"}


def test_repair_again_fills_a_given_up_gap_beside_running_dataflows(
    system: System, tmp_path: Path
) -> None:
    """`candlewax repair --again` sends the answers to the raw topic, where `silver` reads them."""
    with played(2000) as (simulator, _):
        trades = markets(simulator, "binance")["BTCUSDT"]
        recorded = [trade for n, trade in enumerate(trades) if not 20 <= n < 24]
        send(system, tmp_path / "recorded.tsv", recorded)
        silver = system.durable("silver")
        (gap,) = reading.until(lambda: gaps(system.tables), seconds=120)
        given_up = f"""
            INSERT INTO gaps (exchange, symbol, first_sequence, last_sequence, missing, before,
                after, state, reason, attempts)
            SELECT exchange, symbol, first_sequence, last_sequence, missing, before, after,
                'unrepairable', 'too old', 2
            FROM gaps FINAL WHERE first_sequence = {gap["first_sequence"]}
            """
        system.tables.client.command(given_up)
        settings = {"CANDLEWAX_BINANCE_REST_URL": simulator.rest_url("binance"), **system.settings}
        done = candlewax(tmp_path, "repair", "--again", **settings)
        assert done.returncode == 0, done.stderr
        assert "1 gaps' trades sent; 0 given up, 0 left" in done.stdout
        reading.until(
            lambda: {found["state"] for found in gaps(system.tables)} == {"repaired"}, seconds=120
        )
        assert silver.end(signal.SIGTERM) == 0, silver.said()
    assert stored(system.tables, "binance").keys() == {
        ("BTCUSDT", trade.trade_id) for trade in trades
    }


def test_repair_compares_the_candles_that_another_process_stores(
    system: System, tmp_path: Path
) -> None:
    """`tables` stores candles, and `repair` shows them equal to the exchange's but for one."""
    begin, wrong = begin_s(12), 3
    trades = trades_of(market_of("binance"), begin, (*COUNTS, LAST))
    with running(Simulator(Plan(starts_paused=True))) as (simulator, _):
        # The exchange says another price of the last trade of a minute.
        place = sum(COUNTS[: wrong + 1]) - 1
        corrected = trades[place]._replace(price=trades[place].price + 1)
        publish(simulator, [*trades[:place], corrected, *trades[place + 1 :]])
        send(system, tmp_path / "recorded.tsv", trades)
        tables = system.durable("tables")
        settings = {"CANDLEWAX_BINANCE_REST_URL": simulator.rest_url("binance")}
        settings["CANDLEWAX_EXCHANGES"] = "binance"
        repair = system.start("tests.support.kafka.prompt_repair", name="repair", **settings)
        expected = {**ALL_EQUAL, wrong: "differs"}
        reading.until(lambda: reconciled(system, begin) == expected, seconds=120)
        for process in (repair, tables):
            assert process.end(signal.SIGTERM) == 0, process.said()


def reconciled(system: System, begin: int) -> dict[int, str]:
    """Return the result of each closed minute in the view, by its place."""
    rows = system.tables.query(
        "SELECT toUnixTimestamp(window_start) AS start, toString(reconciled) AS reconciled "
        "FROM ohlcv_1m_reconciled WHERE closed ORDER BY start"
    ).rows()
    return {(start - begin) // 60: result for start, result in rows}


def test_repair_ends_if_no_exchange_can_be_requested(system: System) -> None:
    """The settings name no exchange; the database stays without a kind."""
    repair = system.start("repair")
    assert repair.wait() == 0, repair.said()
    assert "no exchange may be requested by REST" in repair.said()
    assert stored_kind(system.tables) == ""


def test_backfill_sends_a_dump_to_the_raw_topic(system: System, tmp_path: Path) -> None:
    """It counts as data of real markets, and `silver` stores each trade."""
    dump = tmp_path / "BTCUSDT-trades-2026-01-01.csv"
    dump.write_text("".join(f"{n},2,3,6,{1767225600000 + n},True,True\n" for n in range(1, 50)))
    sent = candlewax(
        tmp_path, "backfill", "binance", "BTCUSDT", "--dump", str(dump), **system.settings
    )
    assert sent.returncode == 0, sent.stderr
    assert "1 frames sent" in sent.stdout
    silver = system.start("silver")
    reading.until(lambda: len(stored(system.tables, "binance")) == 49, seconds=120)
    assert silver.end(signal.SIGTERM) == 0, silver.said()
    assert set(stored(system.tables, "binance").values()) == {"dump"}
    assert stored_kind(system.tables) == REAL
