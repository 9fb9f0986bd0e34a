"""Subscribers of the stream: their number, and the tickers they get."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from candlewax.core.batch import Batch
from candlewax.web import encode
from candlewax.web.cache.cache import CandleCache
from candlewax.web.problem import Problem
from candlewax.web.queries import Series
from candlewax.web.stream import subscribers
from candlewax.web.stream.batch_queue import BatchQueue
from candlewax.web.stream.broadcaster import Broadcaster
from candlewax.web.stream.client import StreamClient
from candlewax.web.stream.poller import Changes, StoredFeedStatus
from candlewax.web.stream.subscribers import Subscribers
from tests.web.cache.test_cache import rows

SERIES = Series("x", "A/B", "1m")
BEGIN = datetime(2026, 9, 14, tzinfo=UTC)


def no_subscribers() -> Subscribers:
    """Subscribers without a client."""
    return Subscribers(StoredFeedStatus())


def day(number: int, close: int, symbol: str = "A/B") -> pl.DataFrame:
    """A row of `ohlcv` of a day; its last trade came late in the evening."""
    start = BEGIN + timedelta(days=number)
    return rows([0], symbol=symbol).with_columns(
        timeframe=pl.lit(6, pl.Int8),
        window_start=pl.lit(start).cast(pl.Datetime("us", "UTC")),
        close_time=pl.lit(start + timedelta(hours=23)).cast(pl.Datetime("us", "UTC")),
        close=pl.lit(close).cast(pl.Decimal(38, 12)),
    )


def tickers(subscribers_: Subscribers) -> dict[str, str]:
    """The last price of each market, as a client that connects now receives it."""
    client = StreamClient(SERIES)
    subscribers_.add(client)
    text = (asyncio.run(client.next(0.001)) or b"").decode()
    for event in text.split("\n\n"):
        name, _, data = event.removeprefix("event: ").partition("\ndata: ")
        if name == "tickers":
            return {ticker["symbol"]: ticker["close"] for ticker in json.loads(data)}
    return {}


@pytest.mark.parametrize("most", [1, 3])
def test_client_beyond_the_limit_of_streams_is_refused(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """It is admitted once another client has left."""
    monkeypatch.setattr(subscribers, "most_streams", lambda: most)
    watching, clients = no_subscribers(), [StreamClient(SERIES) for _ in range(most)]
    for client in clients:
        watching.add(client)
    with pytest.raises(Problem):
        watching.add(StreamClient(SERIES))
    watching.remove(clients[0])
    watching.add(StreamClient(SERIES))


@pytest.mark.parametrize(
    ("updates", "close"),
    [
        ([day(0, 1), day(1, 2)], "2"),
        ([day(1, 2), day(0, 1)], "2"),
        ([day(0, 1), day(1, 2), day(0, 7)], "2"),
        ([day(1, 2), day(1, 3)], "3"),
        ([day(1, 2), day(0, 7), day(1, 4)], "4"),
    ],
    ids=["in order", "out of order", "a late change of yesterday", "of today", "of both"],
)
def test_ticker_is_the_close_of_the_latest_day(updates: list[pl.DataFrame], close: str) -> None:
    """For any order in which candles of days change."""
    watching = no_subscribers()
    for rows_ in updates:
        watching.update_days(rows_)
    assert tickers(watching) == {"A/B": close}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_ticker_is_the_latest_of_the_days_polled_at_once(order: tuple[int, ...]) -> None:
    """For any order of the rows that the poll reads."""
    days = pl.concat([day(number, number + 1) for number in order])
    named = days.with_columns(
        timeframe=pl.lit("1d"), exchange=pl.lit("x"), symbol=pl.col("symbol").cast(pl.String)
    )

    class Tables:
        def changed(self, _: float, limit: int) -> pl.DataFrame:
            assert limit > named.height
            keys = named.select("timeframe", "exchange", "symbol")
            return keys.hstack(encode.candles(named))

    watching, tables = no_subscribers(), Tables()
    asyncio.run(Changes(tables, watching, CandleCache()).poll())  # type: ignore[arg-type]  # all of a store that is asked
    assert tickers(watching) == {"A/B": "3"}


def test_ticker_is_the_latest_of_the_changes_drained_at_once() -> None:
    """For each market apart; candles of other timeframes do not count."""
    hub = BatchQueue()
    broadcaster: Any = Broadcaster(hub, CandleCache())
    parts = [day(0, 1), day(0, 2, "C/D"), rows([5], trades=9), day(0, 3), day(0, 2)]
    for part in parts:
        hub.put([Batch("x", {"ohlcv": part})])
    broadcaster.catch_up()
    broadcaster._update_days()  # noqa: SLF001 - its loop calls it from time to time
    assert tickers(broadcaster) == {"A/B": "2", "C/D": "2"}
