"""A simulated exchange, and a reader subscribed to it by the rules of the product."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import polars as pl

from candlewax.core.schema import FRAMES
from candlewax.core.trades.decode import DecodedFrames, decode
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.websocket import WebSocketRules
from candlewax.simulator.exchanges.registry import markets_of
from candlewax.simulator.plan import Plan
from candlewax.simulator.server import Simulator
from tests.support.decoding import INSTRUMENTS
from tests.support.exchange_server import Reader, quick, running

Run = Callable[..., Any]
"""Runs a coroutine where the simulator runs, and returns its result."""


def rules(exchange: str, **changes: Any) -> dict[str, WebSocketRules]:
    """Return an exchange's rules without pauses, except for limits that the simulator enforces."""
    allowed = EXCHANGES[exchange].live.messages_per_s
    return quick(exchange, **{"messages_per_s": allowed, **changes})


@contextmanager
def subscribed(
    exchange: str, plan: Plan, *unknown: str, **changes: Any
) -> Iterator[tuple[Simulator, Run, Reader]]:
    """Start a simulator, and a reader of all markets of an exchange and of some unknown ones."""
    plan = replace(plan, exchanges=(exchange,))
    natives = [market.native_symbol for market in markets_of(exchange)]
    with reading(plan, exchange, [*natives, *unknown], **changes) as parts:
        yield parts


@contextmanager
def reading(
    plan: Plan, exchange: str, natives: list[str], **changes: Any
) -> Iterator[tuple[Simulator, Run, Reader]]:
    """Start a simulator and a reader of markets of one of its exchanges, subscribed."""
    with (
        running(Simulator(plan)) as (simulator, run),
        Reader(
            {exchange: natives}, {exchange: simulator.url(exchange)}, rules(exchange, **changes)
        ) as reader,
    ):
        reader.until(lambda: reader.events("subscribed"))
        yield simulator, run, reader


async def begin(simulator: Simulator) -> None:
    """Open the market."""
    simulator.begin()


def play(simulator: Simulator, run: Run) -> None:
    """Open the market, and wait until it has ended."""
    run(begin(simulator))
    run(simulator.ended())


def decoded(reader: Reader, exchange: str) -> DecodedFrames:
    """Decode the frames that a reader has received."""
    frames = pl.DataFrame(reader.rows, schema=FRAMES, orient="row")
    return decode(EXCHANGES[exchange], frames, INSTRUMENTS)


def received(reader: Reader, exchange: str) -> set[tuple[str, str]]:
    """Return native symbol and id of each received trade. Every frame must be readable."""
    found = decoded(reader, exchange)
    assert found.dead_letters.is_empty()
    return set(found.trades.select(pl.col("native_symbol").cast(pl.String), "trade_id").iter_rows())


def published(simulator: Simulator, exchange: str) -> set[tuple[str, str]]:
    """Return native symbol and id of each published trade."""
    return {
        (entry.trade.market.native_symbol, simulator.venues[exchange].trade_id(entry.trade))
        for entry in simulator.journal
        if entry.trade.market.exchange == exchange
    }
