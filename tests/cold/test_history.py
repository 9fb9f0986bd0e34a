"""History of the page and the API, which goes on in the archive."""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from candlewax.clickhouse.client import connect
from candlewax.client.reader import Reader
from candlewax.client.request import ALL_TIME, Market
from candlewax.cold.layers import LAYERS
from candlewax.cold.recover import recover
from candlewax.cold.release import Releaser
from candlewax.cold.tier import ColdTier
from candlewax.web.queries import Cursor, Series, Store
from tests.support import cold_release
from tests.support.cold_release import past_keep

MARKET = ("binance", "BTC/USDT")
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2100, 1, 1, tzinfo=UTC)


@pytest.fixture
def asked() -> list[str]:
    """The statements that were asked."""
    return []


@pytest.fixture
def store(
    archived: ColdTier, engine_path: Path, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Store]:
    """A reader of the tables, which keeps what it asks."""
    ask = Store.ask

    def keep(self: Store, sql: str, *args: Any) -> pl.DataFrame:
        asked.append(sql)
        return ask(self, sql, *args)

    monkeypatch.setattr("candlewax.web.history.CUT_AGE_S", 0.0)
    monkeypatch.setattr(Store, "ask", keep)
    name = str(archived.database.client.database)
    with closing(Store(partial(connect, engine_path, name))) as opened:
        yield opened


def pages(store: Store, limit: int, *, last: bool) -> list[pl.DataFrame]:
    """All trades of a market, page by page, as a client reads them."""
    found: list[pl.DataFrame] = []
    cursor = None
    while True:
        rows = store.trades(MARKET, EARLIEST, LATEST, limit, cursor, last=last)
        if rows.is_empty():
            return found
        found.append(rows)
        edge = rows.row(0 if last else -1, named=True)
        cursor = Cursor(edge["timestamp"], edge["sequence"], edge["trade_id"])


@pytest.mark.parametrize("last", [False, True])
def test_trades_are_the_same_before_and_after_their_release(
    archived: ColdTier, store: Store, *, last: bool
) -> None:
    before = pages(store, 15, last=last)
    assert [part.height for part in before] == [15, 15, 11]
    reader = Reader(archived.database)
    with_reader = pl.concat(reader.trades(Market(*MARKET), ALL_TIME))
    Releaser(archived).run_layer(LAYERS["silver.trades"], past_keep())
    cold_release.store_late_trade(archived.database, "late")
    after = pages(store, 15, last=last)
    assert [part.height for part in after] == [15, 15, 12]
    assert store.trades(MARKET, LATEST, EARLIEST, 15, last=last).is_empty()
    trades = pl.concat(reversed(after) if last else after).filter(pl.col("trade_id") != "late")
    expected = pl.concat(reversed(before) if last else before)
    assert trades.drop("received_at").equals(expected.drop("received_at"))
    read = pl.concat(reader.trades(Market(*MARKET), ALL_TIME)).filter(pl.col("trade_id") != "late")
    assert read.equals(with_reader)


def test_candles_of_the_archive_are_shown_beside_warm_ones(
    archived: ColdTier, store: Store
) -> None:
    series = Series(*MARKET, "1m")
    before = store.candles(series, EARLIEST, LATEST, 100, last=True)
    newest = before[-1, "window_start"]
    archived.database.command(
        f"ALTER TABLE ohlcv DELETE WHERE window_start < {newest.timestamp():.0f} "
        "SETTINGS mutations_sync = 2"
    )
    archived.database.command("TRUNCATE TABLE cold_units SYNC")
    recover(archived)
    assert store.candles(series, EARLIEST, LATEST, 100, last=True).equals(before)
    assert store.candles(series, EARLIEST, LATEST, 5, last=False).equals(before[:5])
    read = pl.concat(Reader(archived.database).candles(Market(*MARKET), "1m", ALL_TIME))
    assert read["close"].to_list() == before["close"].to_list()


def test_archive_is_asked_only_for_what_the_tables_lack(
    archived: ColdTier, store: Store, asked: list[str]
) -> None:
    store.trades(MARKET, EARLIEST, LATEST, 15, last=True)
    assert not any("FROM trades" in sql for sql in asked)
    Releaser(archived).run_layer(LAYERS["silver.trades"], past_keep())
    store.trades(MARKET, datetime.now(UTC), LATEST, 15, last=True)
    assert not any("FROM trades" in sql for sql in asked)
    store.trades(MARKET, EARLIEST, LATEST, 15, last=True)
    assert any("FROM trades" in sql for sql in asked)
