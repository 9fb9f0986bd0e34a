"""Websocket source with simulated exchanges: every published trade is received once."""

from functools import partial

import pytest

from candlewax.exchanges import EXCHANGES
from candlewax.simulator.plan import ExchangeLimits, Plan
from candlewax.simulator.server import Simulator
from tests.support.decoding import INSTRUMENTS
from tests.support.exchange_server import Reader, running
from tests.support.simulated_feed import begin, decoded, play, published, reading, received, rules


def has_events(reader: Reader, event: str, times: int) -> bool:
    """Return whether an event happened so often."""
    return len(reader.events(event)) >= times


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
        run(begin(simulator))
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
            play(simulator, run)
            sent_trades = {entry for entry in published(simulator, exchange) if entry[0] in natives}
            reader.until(lambda: sent_trades <= received(reader, exchange))
            reader.finish()
    assert natives[1] in {name for name, _ in sent_trades}
    assert reader.events("subscribed")[1]["instruments"] == [natives[1]]
    assert len(reader.events("connected")) == 1
    refused_instruments = [event["instruments"] for event in reader.events("refused")]
    assert refused_instruments.count([natives[1]]) == 1
