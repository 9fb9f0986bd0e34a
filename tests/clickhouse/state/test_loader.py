"""StateLoader: the state of a process without a recovery store, while another one writes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import polars as pl
import pytest

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.recompute import CandleRecomputer
from candlewax.clickhouse.state.late_trade_reader import with_revisions
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.clickhouse.writer import Writer
from candlewax.core.batch import Batch
from candlewax.core.candles.certificate import CertificateInputs
from candlewax.core.candles.combine import all_timeframes, combine
from candlewax.core.candles.rows import candle_rows
from candlewax.core.gaps.market_outages import MarketOutage, outage_rows
from candlewax.runtime.counters import Counters
from tests.support import oracle
from tests.support.candles import DAY, NAMES, table
from tests.support.oracle import Fill

SECOND = 1_000_000
DAY_US = 86_400 * SECOND


def fills(*numbers: int) -> list[Fill]:
    """Trades a second apart; their source offsets are their numbers."""
    return [
        Fill("x", "A/B", str(n), n, DAY + n * SECOND, n % 2 == 0, Decimal(n), Decimal(1), offset=n)
        for n in numbers
    ]


def rows(trades: list[Fill], place: str = "t") -> pl.DataFrame:
    """Return trades as rows of their table."""
    names = {name: pl.lit("n").cast(pl.Categorical) for name in ("native_symbol", "base", "quote")}
    return table(trades).with_columns(
        received_at="timestamp",
        source=pl.lit(place),
        source_partition=pl.lit(0, pl.UInt32),
        **names,
    )


def store(tables: Database, trades: list[Fill], place: str = "t") -> None:
    """Store trades."""
    writer = Writer(tables, Counters(), background=False)
    writer.put(Batch("x", {"silver_trades": rows(trades, place)}))
    writer.flush()


def test_all_loaded_state_is_of_one_moment(tables: Database) -> None:
    """Rows stored between two loads are in neither."""
    store(tables, fills(1, 2, 3))
    store(tables, fills(1), "other")
    loader = StateLoader(tables, has_concurrent_writer=True, wait=lambda _: None)
    deduplicator = loader.load_deduplicator("x")
    store(tables, fills(4, 70))
    store(tables, fills(9), "third")
    open_candles = loader.load_open_candles("x")
    assert (
        deduplicator.ranges_by_series["A/B"].first,
        deduplicator.ranges_by_series["A/B"].last,
    ) == ([1], [3])
    assert open_candles.candles["trade_count"].to_list() == [3] * 6
    assert open_candles.watermark == DAY + 2 * SECOND
    loader.mark_started("x")
    assert (
        loader.load_open_candles("x").candles.filter(pl.col("timeframe") == 6)["trade_count"].item()
        == 6
    )


def test_loader_waits_for_rows_that_become_visible_late(tables: Database) -> None:
    """The days of one insert become visible one after the other."""
    store(tables, fills(3))
    waits: list[float] = []

    def store_late(pause: float) -> None:
        waits.append(pause)
        if len(waits) < 3:
            store(tables, fills(len(waits)))

    loader = StateLoader(tables, has_concurrent_writer=True, wait=store_late)
    assert loader.load_deduplicator("x").ranges_by_series["A/B"].first == [1]
    assert len(waits) == 3


def test_empty_table_gives_an_empty_state(tables: Database) -> None:
    """Rows stored later are not loaded."""
    loader = StateLoader(tables, has_concurrent_writer=True, wait=lambda _: None)
    assert loader.load_deduplicator("x").ranges_by_series == {}
    store(tables, fills(1))
    assert loader.load_open_candles("x").candles.is_empty()


def test_recomputed_candle_counts_all_stored_trades(tables: Database) -> None:
    """Also in a process that resumed from a recovery store and loaded no state."""
    store(tables, fills(1, 2))
    loader = StateLoader(tables, has_concurrent_writer=True, wait=lambda _: None)
    windows = pl.DataFrame(
        {"timeframe": [6], "symbol": ["A/B"], "window_start": [DAY]},
        {"timeframe": pl.Int8, "symbol": pl.String, "window_start": pl.Datetime("us", "UTC")},
    )
    counts = []
    for number in (3, 4):
        store(tables, fills(number))
        candles = pl.concat(CandleRecomputer(loader).candles("x", windows, DAY))
        counts.append(candles["trade_count"].item())
    assert counts == [3, 4]


def test_recomputed_candle_counts_late_trades_stored_or_not(tables: Database) -> None:
    """Each trade once."""
    store(tables, fills(1, 2, 3))
    late = fills(3, 4, 3700)
    windows = pl.DataFrame(
        {"timeframe": [1, 5, 6], "symbol": ["A/B"] * 3, "window_start": [DAY] * 3},
        {"timeframe": pl.Int8, "symbol": pl.String, "window_start": pl.Datetime("us", "UTC")},
    )
    watermark = DAY + 10_000 * SECOND
    candles = pl.concat(
        CandleRecomputer(StateLoader(tables)).candles("x", windows, watermark, rows(late))
    )
    expected = oracle.candles(fills(1, 2, 3, 4, 3700), {"x": watermark})
    shown = {
        NAMES[row["timeframe"]]: (row["trade_count"], row["close"], row["volume"])
        for row in candles.rows(named=True)
    }
    assert shown == {
        window[0]: (candle["trade_count"], candle["close"], candle["volume"])
        for window, candle in expected.items()
        if window[0] in ("1m", "1h", "1d") and window[3] == DAY // SECOND
    }


def at(seconds: float, offset: int, **more: Any) -> Fill:
    """A trade this many seconds after midnight."""
    return replace(fills(offset)[0], time=DAY + int(seconds * SECOND), **more)


def test_open_candles_include_those_of_yesterday_that_can_still_change(tables: Database) -> None:
    """Shortly after midnight, for candles closed within the allowed lateness."""
    trades = [at(-5, 1), at(5, 2)]
    store(tables, trades)
    open_candles = StateLoader(tables).load_open_candles("x")
    shown = [
        (NAMES[row["timeframe"]], int(row["window_start"].timestamp()), row["trade_count"])
        for row in open_candles.candles.rows(named=True)
    ]
    expected = oracle.candles(trades, {"x": open_candles.watermark})
    assert sorted(shown) == sorted(
        (name, start, candle["trade_count"]) for (name, _, _, start), candle in expected.items()
    )
    assert len(shown) == 12


@pytest.mark.parametrize(("late", "stale"), [(-1, False), (0, True), (1, True)])
def test_candle_is_stale_once_the_watermark_has_reached_the_end_of_its_window(
    tables: Database, late: int, stale: bool
) -> None:
    """A process that stopped may have left it as forming."""
    trades = fills(1, 2)
    forming = candle_rows("x", all_timeframes(combine(rows(trades))), DAY, CertificateInputs())
    writer = Writer(tables, Counters(), background=False)
    writer.put(Batch("x", {"silver_trades": rows(trades), "ohlcv": forming}))
    writer.flush()
    windows = StateLoader(tables).find_stale_windows("x", DAY + 60 * SECOND + late)
    assert windows["timeframe"].to_list() == ([1] if stale else [])


@pytest.mark.parametrize(("received_us", "is_proven"), [(-1, False), (0, True), (1, True)])
def test_market_outage_is_over_with_the_first_trade_received_since(
    tables: Database, received_us: int, is_proven: bool
) -> None:
    """Including a trade received in the microsecond in which it ended."""
    ended = DAY + 9 * SECOND
    received = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=ended + received_us)
    trades = rows(fills(1)).with_columns(received_at=pl.lit(received))
    outage = outage_rows("x", [MarketOutage("A/B", DAY, DAY - 5, ended)])
    writer = Writer(tables, Counters(), background=False)
    writer.put(Batch("x", {"silver_trades": trades, "market_outages": outage}))
    writer.flush()
    market_outages = StateLoader(tables).load_market_outages("x")
    assert market_outages.unproven == ({} if is_proven else {"A/B": [(DAY - 5, ended)]})
    assert market_outages.began == {}


def test_minutes_of_a_span_hold_late_trades_from_its_begin_to_before_its_end(
    tables: Database,
) -> None:
    """Late trades of the next day belong to its own candles."""
    store(tables, [at(3, 1)])
    late = [at(-1, 2), at(0, 3), at(86_399, 4), at(86_400, 5)]
    minutes = StateLoader(tables).minute_reader.build_candles(
        "x", DAY, DAY + DAY_US, late=rows(late)
    )
    shown = [
        (int(row["window_start"].timestamp()) - DAY // SECOND, row["trade_count"])
        for row in minutes.rows(named=True)
    ]
    assert shown == [(0, 2), (86_340, 1)]


def test_trades_received_in_a_later_hour_are_late_by_all_before_them(tables: Database) -> None:
    """An hour with only late trades does not move the watermark back."""
    hour = 3_600

    def received(fill: Fill, seconds: int) -> pl.DataFrame:
        moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=DAY // SECOND + seconds)
        return rows([fill]).with_columns(received_at=pl.lit(moment))

    received_trades = pl.concat(
        [received(at(2 * hour, 1), 2 * hour), received(at(10, 2), 3 * hour),
         received(at(20, 3), 4 * hour)]
    )  # fmt: skip
    writer = Writer(tables, Counters(), background=False)
    writer.put(Batch("x", {"silver_trades": received_trades}))
    writer.flush()
    loader = StateLoader(tables)
    minute = loader.minute_reader.build_candles("x", DAY, DAY + 60 * SECOND)
    candles = with_revisions(minute, loader.late_trade_reader.count_late_trades("x", DAY))
    assert candles.select("trade_count", "revision").rows() == [(2, 2)]
