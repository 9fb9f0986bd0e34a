"""Websockets against simulated exchanges: all that is published comes, once decoded."""

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


def happened(reader: Reader, event: str, times: int) -> bool:
    """Whether something happened so often."""
    return len(reader.events(event)) >= times


def rules(exchange: str, **changes: Any) -> dict[str, WebSocketRules]:
    """The rules of an exchange without pauses, but for what the simulator would punish."""
    allowed = EXCHANGES[exchange].live.messages_per_s
    return quick(exchange, **{"messages_per_s": allowed, **changes})


@contextmanager
def reading(
    plan: Plan, exchange: str, natives: list[str], **changes: Any
) -> Iterator[tuple[Simulator, Any, Reader]]:
    """A simulator and a reader of one of its exchanges, already subscribed."""
    with (
        running(Simulator(plan)) as (simulator, run),
        Reader(
            {exchange: natives}, {exchange: simulator.url(exchange)}, rules(exchange, **changes)
        ) as reader,
    ):
        reader.until(lambda: reader.events("subscribed"))
        yield simulator, run, reader


def decoded(reader: Reader, exchange: str) -> DecodedFrames:
    """What the frames say."""
    frames = pl.DataFrame(reader.rows, schema=FRAMES, orient="row")
    return decode(EXCHANGES[exchange], frames, INSTRUMENTS)


def came(reader: Reader, exchange: str) -> set[tuple[str, str]]:
    """Native symbol and id of each trade that came."""
    trades = decoded(reader, exchange).trades
    return set(trades.select(pl.col("native_symbol").cast(pl.String), "trade_id").iter_rows())


def published(simulator: Simulator, exchange: str) -> set[tuple[str, str]]:
    """Native symbol and id of each trade that was published."""
    return {
        (one.trade.market.native_symbol, str(one.trade.trade_id))
        for one in simulator.journal
        if one.trade.market.exchange == exchange
    }


@contextmanager
def begun(simulator: Simulator, run: Any) -> Iterator[None]:
    """The market opens."""

    async def begin() -> None:
        simulator.begin()

    async def ended() -> None:
        await simulator.ended()

    run(begin())
    yield
    run(ended())


@pytest.mark.parametrize("exchange", list(EXCHANGES))
def test_all_that_is_published_comes(exchange: str) -> None:
    """Every trade on every subscribed market is received, and no frame is unreadable."""
    natives = INSTRUMENTS.subscriptions(exchange) or ["BTCUSDT"]
    plan = Plan(rate=2000, trades=2000, starts_paused=True)
    with reading(plan, exchange, natives) as (simulator, run, reader):
        with begun(simulator, run):
            pass
        sent = published(simulator, exchange)
        reader.until(lambda: sent <= came(reader, exchange))
        reader.finish()
    assert sent
    assert len(reader.events("connected")) == 1
    assert decoded(reader, exchange).dead_letters.is_empty()
    assert reader.numbers() == {f"{exchange}-0": list(range(len(reader.rows)))}


@pytest.mark.parametrize("exchange", ["kraken", "coinbase"])
def test_an_unknown_market_is_named_and_the_others_are_kept(exchange: str) -> None:
    """Refused instruments are told; trades of all others come on the same connection."""
    good = INSTRUMENTS.subscriptions(exchange)
    bad = [good[0].replace("BTC", "BAD"), good[0].replace("BTC", "WORSE")]
    natives = [*good[:3], bad[0], *good[3:], bad[1]]
    plan = Plan(rate=2000, trades=500, starts_paused=True)
    with reading(plan, exchange, natives) as (simulator, run, reader):
        with begun(simulator, run):
            pass
        sent = published(simulator, exchange)
        reader.until(lambda: sent <= came(reader, exchange))
        reader.finish()
    assert sent
    refused = [event["instruments"] for event in reader.events("refused")]
    assert sorted(name for names in refused for name in names) == sorted(bad)
    assert reader.events("subscribed")[0]["instruments"] == good
    assert len(reader.events("connected")) == 1
    assert reader.tally.total("connections", exchange, "refused") == 2


def test_a_binance_shutdown_loses_nothing() -> None:
    """The market goes on while one connection takes over from another."""
    plan = Plan(rate=500, starts_paused=True)
    natives = INSTRUMENTS.subscriptions("binance")
    with reading(plan, "binance", natives) as (simulator, run, reader):

        async def do(what: str) -> None:
            getattr(simulator, what)()

        run(do("begin"))
        for times in (1, 2, 3):
            run(do("announce_end"))
            reader.until(partial(happened, reader, "disconnected", times))
        sent = published(simulator, "binance")
        reader.until(lambda: sent <= came(reader, "binance"))
        reader.finish()
    assert sent
    assert len(reader.events("rotating")) == 3
    assert decoded(reader, "binance").dead_letters.is_empty()


def test_a_snapshot_brings_what_a_drop_took() -> None:
    """Kraken shows the latest trades again to who comes back."""
    plan = Plan(rate=100, starts_paused=True)
    with reading(plan, "kraken", INSTRUMENTS.subscriptions("kraken")) as (simulator, run, reader):

        async def begin() -> None:
            simulator.begin()

        run(begin())
        reader.until(lambda: came(reader, "kraken"))
        run(simulator.drop("kraken"))
        reader.until(lambda: len(reader.events("subscribed")) == 2)
        sent = published(simulator, "kraken")
        reader.until(lambda: sent <= came(reader, "kraken"))
        reader.finish()
    assert reader.events("disconnected")[0]["code"] == 1006


@pytest.mark.parametrize("exchange", ["kraken", "coinbase"])
@pytest.mark.parametrize(("entirely", "event"), [(True, "silent"), (False, "stalled")])
def test_a_stalled_exchange_is_left_and_found_again(
    exchange: str, entirely: bool, event: str
) -> None:
    """Silence and mere heartbeats end a connection; the next one delivers."""
    plan = Plan(rate=500, limits=ExchangeLimits(heartbeat_s=0.02))
    impatience = {"dead_after_s" if entirely else "stalled_after_s": 0.5}
    natives = INSTRUMENTS.subscriptions(exchange)
    with reading(plan, exchange, natives, **impatience) as (simulator, run, reader):

        async def stall() -> None:
            simulator.stall(exchange, 2, is_complete=entirely)

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
def test_market_that_was_refused_comes_back_by_itself(exchange: str, natives: list[str]) -> None:
    """In the way of each exchange that refuses a name, on the same connection."""
    with running(Simulator(Plan(rate=2000, trades=2000, starts_paused=True))) as (simulator, run):

        async def refuse(*, known: bool) -> None:
            simulator.refuse(natives[1], is_known=known)

        run(refuse(known=False))
        with Reader(
            {exchange: natives}, {exchange: simulator.url(exchange)}, rules(exchange)
        ) as reader:
            reader.until(lambda: reader.events("subscribed"))
            (first,) = reader.events("subscribed")
            assert first["instruments"] == [natives[0], natives[2]]
            run(refuse(known=True))
            reader.until(lambda: len(reader.events("subscribed")) == 2)
            with begun(simulator, run):
                pass
            sent = {one for one in published(simulator, exchange) if one[0] in natives}
            reader.until(lambda: sent <= came(reader, exchange))
            reader.finish()
    assert natives[1] in {name for name, _ in sent}
    assert reader.events("subscribed")[1]["instruments"] == [natives[1]]
    assert len(reader.events("connected")) == 1
    named = [event["instruments"] for event in reader.events("refused")]
    assert named.count([natives[1]]) == 1
