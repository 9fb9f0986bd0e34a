"""Where a process without a memory begins, while another one stores."""

from decimal import Decimal

import polars as pl

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.recompute import CandleRecomputer
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.clickhouse.writer import Writer
from candlewax.core.batch import Batch
from candlewax.runtime.counters import Counters
from tests.core.candles.test_combine import DAY, NAMES, table
from tests.support import oracle
from tests.support.oracle import Fill

SECOND = 1_000_000


def fills(*numbers: int) -> list[Fill]:
    """Trades a second apart; their offsets in the source are their numbers."""
    return [
        Fill("x", "A/B", str(n), n, DAY + n * SECOND, n % 2 == 0, Decimal(n), Decimal(1), offset=n)
        for n in numbers
    ]


def rows(some: list[Fill], place: str = "t") -> pl.DataFrame:
    """As they come to their table."""
    names = {name: pl.lit("n").cast(pl.Categorical) for name in ("native_symbol", "base", "quote")}
    return table(some).with_columns(
        received_at="timestamp",
        source=pl.lit(place),
        source_partition=pl.lit(0, pl.UInt32),
        **names,
    )


def store(tables: Database, some: list[Fill], place: str = "t") -> None:
    """Store trades."""
    writer = Writer(tables, Counters(), background=False)
    writer.put(Batch("x", {"silver_trades": rows(some, place)}))
    writer.flush()


def test_all_that_a_process_begins_with_is_of_one_moment(tables: Database) -> None:
    """What is stored between two looks is in neither."""
    store(tables, fills(1, 2, 3))
    store(tables, fills(1), "other")
    history = StateLoader(tables, has_concurrent_writer=True, wait=lambda _: None)
    ledger = history.load_deduplicator("x")
    store(tables, fills(4, 70))
    store(tables, fills(9), "third")
    book = history.load_open_candles("x")
    assert (ledger.ranges_by_series["A/B"].first, ledger.ranges_by_series["A/B"].last) == ([1], [3])
    assert book.candles["trade_count"].to_list() == [3] * 6
    assert book.watermark == DAY + 2 * SECOND
    history.mark_started("x")
    assert (
        history.load_open_candles("x")
        .candles.filter(pl.col("timeframe") == 6)["trade_count"]
        .item()
        == 6
    )


def test_rows_that_become_visible_late_are_waited_for(tables: Database) -> None:
    """An insert into two days becomes visible a day after the other."""
    store(tables, fills(3))
    waits: list[float] = []

    def late(pause: float) -> None:
        waits.append(pause)
        if len(waits) < 3:
            store(tables, fills(len(waits)))

    history = StateLoader(tables, has_concurrent_writer=True, wait=late)
    assert history.load_deduplicator("x").ranges_by_series["A/B"].first == [1]
    assert len(waits) == 3


def test_an_empty_table_gives_nothing_to_begin_with(tables: Database) -> None:
    """And what comes then is not of the beginning."""
    history = StateLoader(tables, has_concurrent_writer=True, wait=lambda _: None)
    assert history.load_deduplicator("x").ranges_by_series == {}
    store(tables, fills(1))
    assert history.load_open_candles("x").candles.is_empty()


def test_candles_computed_anew_count_all_that_is_stored(tables: Database) -> None:
    """Also in a process that began with a memory of its own, and read nothing before."""
    store(tables, fills(1, 2))
    history = StateLoader(tables, has_concurrent_writer=True, wait=lambda _: None)
    windows = pl.DataFrame(
        {"timeframe": [6], "symbol": ["A/B"], "window_start": [DAY]},
        {"timeframe": pl.Int8, "symbol": pl.String, "window_start": pl.Datetime("us", "UTC")},
    )
    counts = []
    for number in (3, 4):
        store(tables, fills(number))
        found = pl.concat(CandleRecomputer(history).candles("x", windows, DAY))
        counts.append(found["trade_count"].item())
    assert counts == [3, 4]


def test_late_trades_count_stored_or_not(tables: Database) -> None:
    """Each once."""
    store(tables, fills(1, 2, 3))
    late = fills(3, 4, 3700)
    windows = pl.DataFrame(
        {"timeframe": [1, 5, 6], "symbol": ["A/B"] * 3, "window_start": [DAY] * 3},
        {"timeframe": pl.Int8, "symbol": pl.String, "window_start": pl.Datetime("us", "UTC")},
    )
    watermark = DAY + 10_000 * SECOND
    found = pl.concat(
        CandleRecomputer(StateLoader(tables)).candles("x", windows, watermark, rows(late))
    )
    expected = oracle.candles(fills(1, 2, 3, 4, 3700), {"x": watermark})
    shown = {
        NAMES[row["timeframe"]]: (row["trade_count"], row["close"], row["volume"])
        for row in found.rows(named=True)
    }
    assert shown == {
        window[0]: (candle["trade_count"], candle["close"], candle["volume"])
        for window, candle in expected.items()
        if window[0] in ("1m", "1h", "1d") and window[3] == DAY // SECOND
    }
