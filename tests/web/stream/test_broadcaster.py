"""What a page is told, and when: as it comes, or once it is stored."""

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


class Told:
    """A page, and all it was told."""

    def __init__(self, live: Broadcaster, series: Series = SERIES) -> None:
        self.viewer = StreamClient(series)
        live.add(self.viewer)
        self.take()

    def take(self) -> dict[str, list[str]]:
        """Prices of candles and ids of trades, since the last time."""
        text = (asyncio.run(self.viewer.next(0.001)) or b"").decode()
        found: dict[str, Any] = {}
        for event in text.split("\n\n"):
            name, _, data = event.removeprefix("event: ").partition("\ndata: ")
            if name == "candles":
                found[name] = [one["close"] for one in json.loads(data)["data"]]
            if name == "trades":
                found[name] = [one["trade_id"] for one in json.loads(data)["data"]]
        return found


def test_trades_and_what_forms_are_told_as_they_come() -> None:
    """And not again when they are stored."""
    hub = BatchQueue()
    live = Broadcaster(hub, CandleCache())
    page, coming = Told(live), batch(3, closed=False)
    hub.announce(coming)
    live.catch_up()
    assert page.take() == {"candles": ["3"], "trades": ["1003"]}
    hub.put([coming])
    live.catch_up()
    assert page.take() == {}


def test_a_closed_candle_is_told_once_it_is_stored() -> None:
    """Its trades were told before."""
    hub = BatchQueue()
    live = Broadcaster(hub, CandleCache())
    page, coming = Told(live), batch(3, closed=True)
    hub.announce(coming)
    live.catch_up()
    assert page.take() == {"trades": ["1003"]}
    hub.put([coming])
    live.catch_up()
    assert page.take() == {"candles": ["3"]}


def test_what_was_not_told_before_is_told_when_it_is_stored() -> None:
    """As a candle that was computed anew."""
    hub = BatchQueue()
    live = Broadcaster(hub, CandleCache())
    page, other = Told(live), Told(live, OTHER)
    hub.put([batch(3, closed=False)])
    live.catch_up()
    assert page.take() == {"candles": ["3"], "trades": ["1003"]}
    assert other.take() == {"trades": ["1003"]}


def test_who_comes_between_misses_nothing() -> None:
    """What came before and is not stored yet is not in what it reads."""
    hub = BatchQueue()
    live = Broadcaster(hub, CandleCache())
    first = Told(live)
    hub.announce(batch(3, closed=False))
    viewer = StreamClient(SERIES)
    live.add(viewer)
    assert b'"1003"' in (asyncio.run(viewer.next(0.001)) or b"")
    assert first.take() == {"candles": ["3"], "trades": ["1003"]}
    live.catch_up()
    assert first.take() == {}


def test_pages_are_told_at_once_what_they_watch() -> None:
    """Trades with the candles they make; of other exchanges with whatever comes next."""
    hub = BatchQueue()
    live = Broadcaster(hub, CandleCache())
    assert not live.is_awaited(batch(3, closed=False), was_announced=False)
    page = Told(live)
    one = batch(3, closed=False)
    assert live.is_awaited(one, was_announced=False)
    assert not live.is_awaited(one, was_announced=True)
    assert live.is_awaited(batch(3, closed=True), was_announced=True)
    assert not live.is_awaited(Batch("kraken", one.tables), was_announced=False)
    assert not live.is_awaited(
        replace(one, tables={"silver_trades": one.trades}), was_announced=False
    )
    live.remove(page.viewer)
    assert not live.is_awaited(one, was_announced=False)
