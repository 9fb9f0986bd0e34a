"""Helpers that store what somebody heard of a simulated market, and mend it by REST."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
from bytewax.testing import TestingSource, run_main

from candlewax.clickhouse.client import Database
from candlewax.core.frames import FrameBatch
from candlewax.core.kind_marks import SIMULATED
from candlewax.core.schema import FRAMES
from candlewax.exchanges import EXCHANGES
from candlewax.feeds.rest.client import Answer
from candlewax.feeds.rest.fill_schedule import FillTiming, GapSelection
from candlewax.feeds.rest.gap_fill import GapFillSource
from candlewax.feeds.rest.gap_filler import RestEndpoint
from candlewax.pipeline import builder
from candlewax.pipeline.data_kind import claim
from candlewax.pipeline.process import ProcessContext
from candlewax.runtime.counters import Counters
from candlewax.simulator.exchanges.registry import feed_of
from candlewax.simulator.market.market import Trade
from candlewax.simulator.plan import FaultRates, Plan
from candlewax.simulator.server import Simulator
from dataflows import ohlcv, repair
from tests.support.exchange_server import running
from tests.support.playing import INSTRUMENTS

QUICK = FillTiming(
    settle_s=0, first_retry_s=0.01, max_retry_s=0.05, poll_s=0.01, proof_age_s=0, confirm_s=0
)
"""Nobody waits, and every answer is believed."""

Heard = Callable[[int, Trade], bool]
"""Whether a trade was heard, by its place in its market."""


@contextmanager
def played(
    trades: int = 3000, **fault_rates: Any
) -> Iterator[tuple[Simulator, Callable[..., Any]]]:
    """A simulator whose market is closed; its REST goes on."""
    plan = Plan(rate=50_000, trades=trades, fault_rates=FaultRates(**fault_rates))
    with running(Simulator(plan)) as (simulator, run):
        run(simulator.ended())
        yield simulator, run


def markets(simulator: Simulator, exchange: str) -> dict[str, list[Trade]]:
    """The trades of each market."""
    found: dict[str, list[Trade]] = {}
    for one in simulator.journal:
        if one.trade.market.exchange == exchange:
            found.setdefault(one.trade.market.native_symbol, []).append(one.trade)
    return found


def frame(trade: Trade) -> str:
    """What a websocket says of a trade."""
    return feed_of(trade.market.exchange).trades((trade,), trade.time_us)


def heard(trades: Iterable[Trade]) -> FrameBatch:
    """The frames of some trades of an exchange."""
    ordered = sorted(trades, key=lambda trade: trade.time_us)
    now = time.time_ns()
    rows = [(now + n, "ear-0", n, frame(trade)) for n, trade in enumerate(ordered)]
    return FrameBatch(ordered[0].market.exchange, pl.DataFrame(rows, schema=FRAMES, orient="row"))


def hear(tables: Database, simulator: Simulator, exchange: str, which: Heard) -> list[Trade]:
    """Store those trades of an exchange that are heard; gives all that lie between them."""
    claim(tables, Path("/heard"), "market", SIMULATED)
    stored, between = [], []
    for trades in markets(simulator, exchange).values():
        told = [n for n, trade in enumerate(trades) if which(n, trade)]
        if told:
            stored += [trades[n] for n in told]
            between += trades[told[0] : told[-1] + 1]
    feed: Any = TestingSource([heard(stored)])
    made = builder.build_components(feed, INSTRUMENTS, INSTRUMENTS.exchanges, tables, Counters())
    run_main(ohlcv.build(made))
    return between


def asked(
    simulator: Simulator, *exchanges: str, key: str | None = "any"
) -> dict[str, RestEndpoint]:
    """The simulator's REST, as often as one likes."""
    return {
        exchange: RestEndpoint(
            replace(EXCHANGES[exchange].rest, requests_per_s=1000.0, burst=100),
            simulator.rest_url(exchange),
            key,
        )
        for exchange in exchanges
    }


def mend(
    tables: Database,
    how: Mapping[str, RestEndpoint],
    pace: FillTiming = QUICK,
    patience: Any = None,
    choice: GapSelection | None = None,
) -> Counters:
    """Run the pipeline fed by REST until there is nothing left to ask."""
    tally = Counters()
    source = GapFillSource(
        how, tables, tally, timing=pace, is_finite=True, retry_policy=patience, selection=choice
    )
    process = ProcessContext(INSTRUMENTS, INSTRUMENTS.exchanges, tally)
    run_main(repair.build(builder.build_embedded(process, source, tables)))
    return tally


OTHER_IDS = 10**9
"""Difference between the ids of an exchange's interfaces, where they are made different."""


def with_other_ids(answer: Answer) -> Answer:
    """Return an answer whose trades have other ids than those of the websocket."""
    text = answer.text
    for number in answer.page.numbers:
        text = re.sub(rf"\b{number}\b", str(number + OTHER_IDS), text)
    return replace(answer, text=text)


def gaps(tables: Database) -> list[dict[str, Any]]:
    """All gaps."""
    return tables.query(
        """
        SELECT exchange, symbol, first_sequence, last_sequence, count, missing,
            toString(state) AS state, reason, attempts
        FROM gaps FINAL ORDER BY exchange, symbol, first_sequence
        """
    ).to_dicts()


def stored(tables: Database, exchange: str) -> dict[tuple[str, int], str]:
    """How each stored trade of an exchange came, by native symbol and number."""
    rows = tables.query(
        """
        SELECT native_symbol, sequence, toString(via) FROM silver_trades FINAL
        WHERE exchange = {exchange:String}
        """,
        {"exchange": exchange},
    ).rows()
    return {(native, number): via for native, number, via in rows}


def numbers(trades: Iterable[Trade]) -> set[tuple[str, int]]:
    """Native symbol and number of each trade."""
    return {(trade.market.native_symbol, trade.trade_id) for trade in trades}
