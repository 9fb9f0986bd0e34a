"""Events that a page receives: on arrival of trades, or once a batch is stored."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import polars as pl

from candlewax.core.batch import Batch
from candlewax.core.schema import TRADES
from candlewax.web.cache.cache import CandleCache
from candlewax.web.queries import Series
from candlewax.web.stream.batch_queue import BatchQueue
from candlewax.web.stream.broadcaster import Broadcaster
from candlewax.web.stream.client import StreamClient
from tests.support.web_server import trade
from tests.web.page.test_page import changed

SERIES = Series("binance", "BTC/USDT", "1m")
OTHER = Series("binance", "BTC/USDT", "5m")


def batch(number: int, *, closed: bool) -> Batch:
    """A trade, and the candle it belongs to."""
    made = {**trade(number), "symbol": "BTC/USDT", "side": 1, "quote_volume": 1}
    made["received_at"] = made["timestamp"]
    rows = pl.DataFrame([{name: made.get(name) for name in TRADES}], schema=TRADES)
    candles = changed(0, str(number), closed=closed)
    return Batch("binance", {"silver_trades": rows, "ohlcv": candles}, rows)


class Subscriber:
    """A client of the stream that parses its events."""

    def __init__(self, live: Broadcaster, series: Series = SERIES) -> None:
        self.client = StreamClient(series)
        live.add(self.client)
        self.take()

    def take(self) -> dict[str, list[str]]:
        """Return the closes of candles and ids of trades received since the last call."""
        text = (asyncio.run(self.client.next(0.001)) or b"").decode()
        received: dict[str, Any] = {}
        for event in text.split("\n\n"):
            name, _, data = event.removeprefix("event: ").partition("\ndata: ")
            if name == "candles":
                received[name] = [candle["close"] for candle in json.loads(data)["data"]]
            if name == "trades":
                received[name] = [trade["trade_id"] for trade in json.loads(data)["data"]]
        return received


def test_trades_and_forming_candles_are_sent_on_arrival() -> None:
    """They are not sent again once stored."""
    hub = BatchQueue()
    live = Broadcaster(hub, CandleCache())
    page, arriving = Subscriber(live), batch(3, closed=False)
    hub.announce(arriving)
    live.catch_up()
    assert page.take() == {"candles": ["3"], "trades": ["1003"]}
    hub.put_announced([arriving])
    live.catch_up()
    assert page.take() == {}


def test_closed_candle_is_sent_once_it_is_stored() -> None:
    """Its trades are sent on arrival."""
    hub = BatchQueue()
    live = Broadcaster(hub, CandleCache())
    page, arriving = Subscriber(live), batch(3, closed=True)
    hub.announce(arriving)
    live.catch_up()
    assert page.take() == {"trades": ["1003"]}
    hub.put_announced([arriving])
    live.catch_up()
    assert page.take() == {"candles": ["3"]}


def test_batch_that_was_not_announced_is_sent_once_it_is_stored() -> None:
    """A recomputed candle, for example. Clients of another timeframe get the trades alone."""
    hub = BatchQueue()
    live = Broadcaster(hub, CandleCache())
    page, other = Subscriber(live), Subscriber(live, OTHER)
    hub.put([batch(3, closed=False)])
    live.catch_up()
    assert page.take() == {"candles": ["3"], "trades": ["1003"]}
    assert other.take() == {"trades": ["1003"]}


def test_client_that_connects_before_a_batch_is_stored_receives_it() -> None:
    """An announced batch is not yet in the tables that the client reads."""
    hub = BatchQueue()
    live = Broadcaster(hub, CandleCache())
    first = Subscriber(live)
    hub.announce(batch(3, closed=False))
    client = StreamClient(SERIES)
    live.add(client)
    assert b'"1003"' in (asyncio.run(client.next(0.001)) or b"")
    assert first.take() == {"candles": ["3"], "trades": ["1003"]}
    live.catch_up()
    assert first.take() == {}


def test_only_batches_that_a_client_watches_are_awaited() -> None:
    """Others are sent with the next batch: other exchanges, and trades without candles."""
    hub = BatchQueue()
    live = Broadcaster(hub, CandleCache())
    assert not live.is_awaited(batch(3, closed=False), was_announced=False)
    page = Subscriber(live)
    watched = batch(3, closed=False)
    assert live.is_awaited(watched, was_announced=False)
    assert not live.is_awaited(watched, was_announced=True)
    assert live.is_awaited(batch(3, closed=True), was_announced=True)
    assert not live.is_awaited(Batch("kraken", watched.tables), was_announced=False)
    assert not live.is_awaited(
        replace(watched, tables={"silver_trades": watched.trades}), was_announced=False
    )
    live.remove(page.client)
    assert not live.is_awaited(watched, was_announced=False)
