"""Pages that watch: how many, and what becomes their tickers."""

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


def viewers() -> Subscribers:
    """Nobody yet."""
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


def tickers(watching: Subscribers) -> dict[str, str]:
    """The last price of each market, as a page that comes now is told."""
    viewer = StreamClient(SERIES)
    watching.add(viewer)
    text = (asyncio.run(viewer.next(0.001)) or b"").decode()
    for event in text.split("\n\n"):
        name, _, data = event.removeprefix("event: ").partition("\ndata: ")
        if name == "tickers":
            return {one["symbol"]: one["close"] for one in json.loads(data)}
    return {}


@pytest.mark.parametrize("most", [1, 3])
def test_no_more_pages_watch_than_there_is_room_for(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """The next one is refused until one leaves."""
    monkeypatch.setattr(subscribers, "most_streams", lambda: most)
    watching, pages = viewers(), [StreamClient(SERIES) for _ in range(most)]
    for page in pages:
        watching.add(page)
    with pytest.raises(Problem):
        watching.add(StreamClient(SERIES))
    watching.remove(pages[0])
    watching.add(StreamClient(SERIES))


@pytest.mark.parametrize(
    ("told", "close"),
    [
        ([day(0, 1), day(1, 2)], "2"),
        ([day(1, 2), day(0, 1)], "2"),
        ([day(0, 1), day(1, 2), day(0, 7)], "2"),
        ([day(1, 2), day(1, 3)], "3"),
        ([day(1, 2), day(0, 7), day(1, 4)], "4"),
    ],
    ids=["in order", "out of order", "a late change of yesterday", "of today", "of both"],
)
def test_ticker_is_of_the_last_day(told: list[pl.DataFrame], close: str) -> None:
    """In whatever order candles of days change."""
    watching = viewers()
    for rows_ in told:
        watching.update_days(rows_)
    assert tickers(watching) == {"A/B": close}


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_ticker_is_of_the_last_of_the_days_found_at_once(order: tuple[int, ...]) -> None:
    """In whatever order the tables give them."""
    found = pl.concat([day(number, number + 1) for number in order])
    named = found.with_columns(
        timeframe=pl.lit("1d"), exchange=pl.lit("x"), symbol=pl.col("symbol").cast(pl.String)
    )

    class Tables:
        def changed(self, _: float, limit: int) -> pl.DataFrame:
            assert limit > named.height
            keys = named.select("timeframe", "exchange", "symbol")
            return keys.hstack(encode.candles(named))

    watching, tables = viewers(), Tables()
    asyncio.run(Changes(tables, watching, CandleCache()).poll())  # type: ignore[arg-type]  # all of a store that is asked
    assert tickers(watching) == {"A/B": "3"}


def test_ticker_is_the_last_of_the_changes_that_came_together() -> None:
    """Of each market, whatever its other candles."""
    hub = BatchQueue()
    live: Any = Broadcaster(hub, CandleCache())
    parts = [day(0, 1), day(0, 2, "C/D"), rows([5], trades=9), day(0, 3), day(0, 2)]
    for part in parts:
        hub.put([Batch("x", {"ohlcv": part})])
    live.catch_up()
    live._update_days()  # noqa: SLF001 - what its loop does now and then
    assert tickers(live) == {"A/B": "2", "C/D": "2"}
