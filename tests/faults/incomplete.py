"""An exchange whose answers by REST lack some trades once."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from candlewax.clickhouse.client import Database, connect
from candlewax.core.gaps.fill_plan import RETRY_PREFIX
from candlewax.runtime.setting_parsers import Server
from candlewax.simulator.exchanges.published import Published
from candlewax.simulator.plan import Plan
from candlewax.simulator.server import Simulator
from candlewax.verification.verify import check_totals, report, verify
from tests.faults.account import Account
from tests.faults.embedded import listen
from tests.faults.fault import Fault, Outcome
from tests.faults.place import Place
from tests.faults.stage import VENUES
from tests.support.clickhouse_process import serving
from tests.support.exchange_server import running
from tests.support.kafka import reading, truth
from tests.support.ports import free_port

HASTE = {
    "settle_s": 0.2, "first_retry_s": 0.2, "max_retry_s": 1.0, "poll_s": 0.1,
    "proof_age_s": 0.0, "confirm_s": 1.0,
}  # fmt: skip
"""Pauses between questions, much shorter than they are; every answer counts at once."""

LACKING = 3
"""How many answers lack something, each time; no gap is asked for twice while they do."""

_OPEN = re.compile(r"^candlewax_open_gaps\{.*\} (\S+)$", re.MULTILINE)

_GAPS = """
SELECT exchange, symbol, first_sequence, missing, toString(state) AS state, reason, attempts
FROM gaps FINAL
"""

_STORED = """
SELECT exchange, symbol, sequence, count() AS rows FROM silver_trades FINAL GROUP BY ALL
"""


def rest_incomplete(place: Place) -> Outcome:
    """No trades for a moment; when they come again and what was missed is asked for, the first
    answers lack three trades each, and the next ones nothing.
    """
    folder = place.folder / "incomplete"
    folder.mkdir()
    plan = Plan(rate=place.size.rate, seed=place.seed, starts_paused=True)
    port = free_port()
    settings = {
        "CANDLEWAX_TEST_FLOW": "ohlcv",
        "CANDLEWAX_TEST_FILLS": json.dumps(HASTE),
        "CANDLEWAX_METRICS_PORT": str(port),
    }
    with running(Simulator(plan)) as (simulator, run), (folder / "said").open("w+") as said:
        rest = {f"CANDLEWAX_{name.upper()}_REST_URL": simulator.rest_url(name) for name in VENUES}
        process = listen(folder / "tables", simulator.url, said=said, **settings, **rest)
        try:
            reading.until(lambda: all(map(simulator.subscribed, VENUES)))
            _at(run, simulator.begin)
            reading.until(lambda: len(simulator.journal) > place.size.rate)
            for _ in range(place.size.times):
                _lack_once(place, simulator, run, lambda: _open_gaps(port))
            _at(run, simulator.pause)
            reading.until(lambda: not _open_gaps(port), seconds=120, pause=0.1)
        finally:
            process.terminate()
            process.wait(timeout=60)
        said.seek(0)
        outcome = _compare(folder / "tables", simulator.journal, said.read())
    if process.returncode:
        outcome.wrong.append(f"it ended with {process.returncode}")
    return outcome


def _lack_once(
    place: Place, simulator: Simulator, run: Callable[..., Any], open_gaps: Callable[[], int]
) -> None:
    """Make gaps, and let the first answers about them lack trades; returns when all are filled."""
    seconds = min(place.size.absence, 5)

    def stall() -> None:
        simulator.lack(LACKING)
        simulator.stall(None, seconds)

    _at(run, stall)
    reading.until(lambda: not simulator.incomplete_answers, seconds=120, pause=0.1)
    reading.until(lambda: not open_gaps(), seconds=120, pause=0.1)


def _at(run: Callable[..., Any], action: Callable[[], None]) -> None:
    """Do something where the exchanges are played."""

    async def act() -> None:
        action()
        await asyncio.sleep(0)

    run(act())


def _open_gaps(port: int) -> int:
    """How many gaps are open, as the process's metrics say."""
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        text = answer.read().decode()
    return sum(int(float(count)) for count in _OPEN.findall(text))


def _compare(folder: Path, journal: list[Published], said: str) -> Outcome:
    with serving(folder) as server:
        tables = connect(Server(server.dsn), "market")
        outcome = Outcome(account=_account(tables, journal))
        gaps = tables.query(_GAPS).to_dicts()
        tables.close()
    left = [gap for gap in gaps if gap["state"] != "repaired"]
    if left:
        outcome.wrong.append(f"{len(left)} gaps are not repaired: {left[:3]}")
    doubts = said.count(RETRY_PREFIX)
    if not doubts:
        outcome.wrong.append("no answer lacked what was asked for")
    outcome.seen = f"{len(gaps):,} gaps, {doubts:,} times one was to be asked for once more"
    return outcome


def _account(tables: Database, journal: list[Published]) -> Account:
    """Each trade between the first and the last one of a market is stored once."""
    found = Account()
    found.frames = int(tables.query("SELECT count() FROM bronze_frames FINAL").item())
    stored: dict[tuple[str, str], set[int]] = {}
    twice = []
    for exchange, symbol, number, rows in tables.query(_STORED).rows():
        stored.setdefault((exchange, symbol), set()).add(number)
        twice += [(exchange, symbol, number)] * (rows - 1)
    lost = []
    for one in journal:
        exchange, number = one.trade.market.exchange, one.trade.trade_id
        symbol = truth.SYMBOLS.get(exchange, {}).get(one.trade.market.native_symbol, "")
        numbers = stored.get((exchange, symbol), set())
        if numbers and min(numbers) <= number <= max(numbers):
            found.trades += 1
            lost += [] if number in numbers else [(exchange, symbol, number)]
    found.lost = found.note("trades lost", lost)
    found.doubled = found.note("trades stored twice", twice)
    found.wrong += check_totals(tables.client)
    checked = verify(tables.client)
    if not checked.equal:
        found.wrong.append(report(checked))
    return found


FAULTS = [
    Fault(
        "rest-incomplete",
        f"trades missed, and {LACKING} answers of REST that lack three of them each, then whole "
        "ones; a second look comes after 1 s, not 180",
        rest_incomplete,
        live=False,
    )
]
