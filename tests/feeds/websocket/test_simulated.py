"""Websocket source with simulated exchanges: every published trade is received once."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import polars as pl
import pytest

from candlewax.core.schema import FRAMES
from candlewax.core.trades.decode import DecodedFrames, decode
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.websocket import WebSocketRules
from candlewax.simulator.plan import ExchangeLimits, Plan
from candlewax.simulator.server import Simulator
from tests.support.decoding import INSTRUMENTS
from tests.support.exchange_server import Reader, quick, running


def has_events(reader: Reader, event: str, times: int) -> bool:
    """Return whether an event happened so often."""
    return len(reader.events(event)) >= times


def rules(exchange: str, **changes: Any) -> dict[str, WebSocketRules]:
    """The rules of an exchange without pauses, except for limits that the simulator enforces."""
    allowed = EXCHANGES[exchange].live.messages_per_s
    return quick(exchange, **{"messages_per_s": allowed, **changes})


@contextmanager
def reading(
    plan: Plan, exchange: str, natives: list[str], **changes: Any
) -> Iterator[tuple[Simulator, Any, Reader]]:
    """A simulator and a subscribed reader of one of its exchanges."""
    with (
        running(Simulator(plan)) as (simulator, run),
        Reader(
            {exchange: natives}, {exchange: simulator.url(exchange)}, rules(exchange, **changes)
        ) as reader,
    ):
        reader.until(lambda: reader.events("subscribed"))
        yield simulator, run, reader


def decoded(reader: Reader, exchange: str) -> DecodedFrames:
    """The decoded frames of the reader."""
    frames = pl.DataFrame(reader.rows, schema=FRAMES, orient="row")
    return decode(EXCHANGES[exchange], frames, INSTRUMENTS)


def received(reader: Reader, exchange: str) -> set[tuple[str, str]]:
    """Native symbol and id of each received trade."""
    trades = decoded(reader, exchange).trades
    return set(trades.select(pl.col("native_symbol").cast(pl.String), "trade_id").iter_rows())


def published(simulator: Simulator, exchange: str) -> set[tuple[str, str]]:
    """Native symbol and id of each published trade."""
    return {
        (entry.trade.market.native_symbol, str(entry.trade.trade_id))
        for entry in simulator.journal
        if entry.trade.market.exchange == exchange
    }


@contextmanager
def market_open(simulator: Simulator, run: Any) -> Iterator[None]:
    """Open the market, and wait until it has ended."""

    async def begin() -> None:
        simulator.begin()

    async def ended() -> None:
        await simulator.ended()

    run(begin())
    yield
    run(ended())


@pytest.mark.parametrize("exchange", list(EXCHANGES))
def test_every_published_trade_is_received(exchange: str) -> None:
    """On every subscribed market; no frame is a dead letter."""
    natives = INSTRUMENTS.subscriptions(exchange) or ["BTCUSDT"]
    plan = Plan(rate=2000, trades=2000, starts_paused=True)
    with reading(plan, exchange, natives) as (simulator, run, reader):
        with market_open(simulator, run):
            pass
        sent_trades = published(simulator, exchange)
        reader.until(lambda: sent_trades <= received(reader, exchange))
        reader.finish()
    assert sent_trades
    assert len(reader.events("connected")) == 1
    assert decoded(reader, exchange).dead_letters.is_empty()
    assert reader.numbers() == {f"{exchange}-0": list(range(len(reader.rows)))}


@pytest.mark.parametrize("exchange", ["kraken", "coinbase"])
def test_unknown_market_is_refused_and_the_others_are_received(exchange: str) -> None:
    """On the same connection."""
    listed = INSTRUMENTS.subscriptions(exchange)
    unknown = [listed[0].replace("BTC", "BAD"), listed[0].replace("BTC", "WORSE")]
    natives = [*listed[:3], unknown[0], *listed[3:], unknown[1]]
    plan = Plan(rate=2000, trades=500, starts_paused=True)
    with reading(plan, exchange, natives) as (simulator, run, reader):
        with market_open(simulator, run):
            pass
        sent_trades = published(simulator, exchange)
        reader.until(lambda: sent_trades <= received(reader, exchange))
        reader.finish()
    assert sent_trades
    refused = [event["instruments"] for event in reader.events("refused")]
    assert sorted(name for names in refused for name in names) == sorted(unknown)
    assert reader.events("subscribed")[0]["instruments"] == listed
    assert len(reader.events("connected")) == 1
    assert reader.tally.total("connections", exchange, "refused") == 2


def test_no_trade_is_lost_when_binance_announces_a_shutdown() -> None:
    """The market continues while a successor takes over."""
    plan = Plan(rate=500, starts_paused=True)
    natives = INSTRUMENTS.subscriptions("binance")
    with reading(plan, "binance", natives) as (simulator, run, reader):

        async def call(action: str) -> None:
            getattr(simulator, action)()

        run(call("begin"))
        for times in (1, 2, 3):
            run(call("announce_end"))
            reader.until(partial(has_events, reader, "disconnected", times))
        sent_trades = published(simulator, "binance")
        reader.until(lambda: sent_trades <= received(reader, "binance"))
        reader.finish()
    assert sent_trades
    assert len(reader.events("rotating")) == 3
    assert decoded(reader, "binance").dead_letters.is_empty()


def test_kraken_snapshot_brings_trades_missed_by_a_dropped_connection() -> None:
    plan = Plan(rate=100, starts_paused=True)
    with reading(plan, "kraken", INSTRUMENTS.subscriptions("kraken")) as (simulator, run, reader):

        async def begin() -> None:
            simulator.begin()

        run(begin())
        reader.until(lambda: received(reader, "kraken"))
        run(simulator.drop("kraken"))
        reader.until(lambda: len(reader.events("subscribed")) == 2)
        sent_trades = published(simulator, "kraken")
        reader.until(lambda: sent_trades <= received(reader, "kraken"))
        reader.finish()
    assert reader.events("disconnected")[0]["code"] == 1006


@pytest.mark.parametrize("exchange", ["kraken", "coinbase"])
@pytest.mark.parametrize(("is_complete", "event"), [(True, "silent"), (False, "stalled")])
def test_silent_or_stalled_connection_is_replaced_and_trades_continue(
    exchange: str, is_complete: bool, event: str
) -> None:
    plan = Plan(rate=500, limits=ExchangeLimits(heartbeat_s=0.02))
    limits = {"dead_after_s" if is_complete else "stalled_after_s": 0.5}
    natives = INSTRUMENTS.subscriptions(exchange)
    with reading(plan, exchange, natives, **limits) as (simulator, run, reader):

        async def stall() -> None:
            simulator.stall(exchange, 2, is_complete=is_complete)

        run(stall())
        reader.until(lambda: reader.events(event))
        before = len(reader.rows)
        live = EXCHANGES[exchange].live
        reader.until(lambda: any(live.is_trade(frame) for *_, frame in reader.rows[before:]))
        reader.finish()
    assert reader.events("disconnected")[0]["why"] == event


@pytest.mark.parametrize(
    ("exchange", "natives"),
    [
        ("kraken", ["BTC/USD", "ETH/USD", "SOL/USD"]),
        ("coinbase", ["BTC-USD", "ETH-USD", "SOL-USD"]),
    ],
)
def test_refused_market_is_subscribed_again_on_the_same_connection(
    exchange: str, natives: list[str]
) -> None:
    with running(Simulator(Plan(rate=2000, trades=2000, starts_paused=True))) as (simulator, run):

        async def refuse(*, is_known: bool) -> None:
            simulator.refuse(natives[1], is_known=is_known)

        run(refuse(is_known=False))
        with Reader(
            {exchange: natives}, {exchange: simulator.url(exchange)}, rules(exchange)
        ) as reader:
            reader.until(lambda: reader.events("subscribed"))
            (first,) = reader.events("subscribed")
            assert first["instruments"] == [natives[0], natives[2]]
            run(refuse(is_known=True))
            reader.until(lambda: len(reader.events("subscribed")) == 2)
            with market_open(simulator, run):
                pass
            sent_trades = {entry for entry in published(simulator, exchange) if entry[0] in natives}
            reader.until(lambda: sent_trades <= received(reader, exchange))
            reader.finish()
    assert natives[1] in {name for name, _ in sent_trades}
    assert reader.events("subscribed")[1]["instruments"] == [natives[1]]
    assert len(reader.events("connected")) == 1
    refused_instruments = [event["instruments"] for event in reader.events("refused")]
    assert refused_instruments.count([natives[1]]) == 1
