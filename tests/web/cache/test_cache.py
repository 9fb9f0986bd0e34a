"""The cache of the latest candles answers as the tables would."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.core.schema import CANDLES
from candlewax.web import encode
from candlewax.web.api.params import Candles
from candlewax.web.cache.cache import EACH, MOST, CandleCache, with_names
from candlewax.web.cache.chunks import CHUNK
from candlewax.web.cache.series import LATEST, LoadedCandles, pack_loaded
from candlewax.web.queries import Series

BEGIN = datetime(2026, 9, 14, tzinfo=UTC)
SERIES = Series("x", "A/B", "1m")


def rows(minutes: list[int], trades: int = 1, symbol: str = "A/B") -> pl.DataFrame:
    """Rows as the pipeline inserts them into `ohlcv`."""
    times = [BEGIN + timedelta(minutes=minute) for minute in minutes]
    known: dict[str, Any] = {
        "timeframe": 1,
        "symbol": symbol,
        "open_time": times,
        "close_time": times,
        "window_start": times,
        "trade_count": trades,
        **dict.fromkeys(("open", "high", "low", "close", "volume"), 1),
        **dict.fromkeys(("quote_volume", "buy_volume", "buy_quote_volume"), 1),
        **dict.fromkeys(("first_sequence", "last_sequence", "missing", "repaired"), 0),
    }
    frame = pl.DataFrame({"window_start": times}, schema={"window_start": CANDLES["window_start"]})
    columns = [
        pl.Series(name, value if isinstance(value, list) else [value] * len(times)).cast(
            CANDLES.get(name, pl.UInt64)
        )
        for name, value in known.items()
    ]
    return frame.with_columns(columns).with_columns(
        exchange=pl.lit("x"),
        closed=pl.lit(False),
        status=pl.lit(1, pl.Int8),
        feed_down_ms=pl.lit(0, pl.UInt64),
        revision=pl.lit(0, pl.UInt16),
    )


def seconds(minute: int) -> int:
    return int((BEGIN + timedelta(minutes=minute)).timestamp())


def loaded(minutes: list[int], *, whole: bool) -> LoadedCandles:
    """The result of a query: the last stored candles, or the whole series."""
    since = 0 if whole else seconds(minutes[0])
    return pack_loaded(since, encode.cast_candles(encode.candles(rows(minutes))), 1)


def fill(recent: CandleCache, minutes: list[int], *, whole: bool, series: Series = SERIES) -> None:
    recent.extend(series, recent.begin_read(series), loaded(minutes, whole=whole))


def page(
    recent: CandleCache,
    limit: int,
    before: int | None = None,
    begin: int | None = None,
    series: Series = SERIES,
) -> list[tuple[int, int]] | None:
    """The minute and trade count of each candle of a page: the last, or the first from `begin`."""
    start = 0 if begin is None else seconds(begin)
    end = LATEST if before is None else seconds(before)
    cached = recent.page(series, start, end, limit, last=begin is None)
    if cached is None:
        return None
    candles = [json.loads(line) for line in cached.lines()]
    assert cached.table()["trade_count"].to_pylist() == [
        candle["trade_count"] for candle in candles
    ]
    times = [datetime.fromisoformat(candle["window_start"]) - BEGIN for candle in candles]
    counts = [candle["trade_count"] for candle in candles]
    return [(int(time.total_seconds()) // 60, n) for time, n in zip(times, counts, strict=True)]


def test_cache_answers_only_pages_within_the_loaded_candles() -> None:
    """A page that reaches before the first loaded candle is a miss."""
    recent = CandleCache()
    assert page(recent, 1) is None
    fill(recent, [5, 6, 7], whole=False)
    assert page(recent, 2) == [(6, 1), (7, 1)]
    assert page(recent, 2, before=7) == [(5, 1), (6, 1)]
    assert page(recent, 4) is None
    assert page(recent, 9, begin=6) == [(6, 1), (7, 1)]
    assert page(recent, 1, begin=4) is None


def test_cache_answers_any_page_of_a_completely_loaded_series() -> None:
    """A page may hold fewer candles than its limit, or none."""
    recent = CandleCache()
    fill(recent, [5, 6], whole=True)
    assert page(recent, 100) == [(5, 1), (6, 1)]
    assert page(recent, 100, before=5) == []
    assert page(recent, 1, begin=0) == [(5, 1)]


def test_older_candles_are_put_before_the_cached_ones() -> None:
    """An update that arrives during the read replaces the candle that was read."""
    recent = CandleCache()
    fill(recent, [5, 6], whole=False)
    meanwhile = recent.begin_read(SERIES)
    recent.update(rows([3], trades=9))
    recent.extend(SERIES, meanwhile, loaded([3, 4], whole=True))
    assert page(recent, 9) == [(3, 9), (4, 1), (5, 1), (6, 1)]


def test_update_during_the_first_read_is_kept() -> None:
    """It replaces the candle that was read, which may be older."""
    recent = CandleCache()
    meanwhile = recent.begin_read(SERIES)
    recent.update(rows([7, 8], trades=9))
    recent.extend(SERIES, meanwhile, loaded([6, 7], whole=False))
    assert page(recent, 2) == [(7, 9), (8, 9)]


def test_cache_discards_the_first_of_two_reads_at_once() -> None:
    """It ends last, and may be older than the candles cached by then."""
    recent = CandleCache()
    first_read, second_read = recent.begin_read(SERIES), recent.begin_read(SERIES)
    recent.extend(SERIES, second_read, loaded([6], whole=False))
    recent.update(rows([7]))
    recent.extend(SERIES, first_read, loaded([5], whole=False))
    assert page(recent, 2, begin=6) == [(6, 1), (7, 1)]


def test_cache_discards_a_read_begun_before_it_was_cleared() -> None:
    """The read may lack the updates that were dropped."""
    recent = CandleCache()
    meanwhile = recent.begin_read(SERIES)
    recent.clear()
    recent.extend(SERIES, meanwhile, loaded([6], whole=False))
    assert page(recent, 1) is None


def test_cache_drops_an_update_older_than_its_first_candle() -> None:
    """Candles between the two may be missing from the cache."""
    recent = CandleCache()
    fill(recent, [5, 6], whole=False)
    recent.update(rows([1]))
    assert page(recent, 2) == [(5, 1), (6, 1)]
    assert page(recent, 3) is None


def test_changes_of_series_that_nobody_reads_are_applied_one_series_at_a_time() -> None:
    """So that they do not pile up. Others keep theirs until then."""
    recent, other = CandleCache(), Series("x", "C/D", "1m")
    fill(recent, [5], whole=True)
    fill(recent, [5], whole=True, series=other)
    recent.update(rows([6, 7]))
    recent.update(rows([6], symbol="C/D"))
    counts = [recent.count]
    for _ in range(3):
        recent.apply_some()
        counts.append(recent.count)
    assert counts == [2, 4, 5, 5]


def test_cleared_cache_answers_nothing() -> None:
    recent = CandleCache()
    fill(recent, [5], whole=True)
    recent.clear()
    assert page(recent, 1) is None
    assert recent.count == 0


def test_full_cache_evicts_the_oldest_candles_of_the_longest_series() -> None:
    """Whole chunks are evicted; pages of the kept candles are still answered."""
    recent, long = CandleCache(most=3 * CHUNK), Series("x", "C/D", "1m")
    fill(recent, list(range(CHUNK)), whole=True)
    fill(recent, list(range(3 * CHUNK)), whole=True, series=long)
    assert recent.count <= 3 * CHUNK
    assert page(recent, 9 * CHUNK) == [(minute, 1) for minute in range(CHUNK)]
    kept = page(recent, CHUNK, series=long)
    assert kept == [(minute, 1) for minute in range(2 * CHUNK, 3 * CHUNK)]
    assert page(recent, 3 * CHUNK, series=long) is None
    assert page(recent, 1, begin=CHUNK - 1, series=long) is None
    assert page(recent, 1, begin=CHUNK, series=long) == [(CHUNK, 1)]


def test_cache_ignores_a_row_with_fewer_trades() -> None:
    """As in the table, whose version grows with the trades. Of equal rows the later one counts."""
    recent = CandleCache()
    fill(recent, [5], whole=True)
    recent.update(rows([5], trades=7))
    recent.update(rows([5], trades=6))
    assert page(recent, 1) == [(5, 7)]
    (changed,) = recent.put(
        with_names(rows([5], trades=7).with_columns(missing=pl.lit(3, pl.UInt64)))
    )
    assert changed == SERIES
    found = recent.page(SERIES, 0, LATEST, 1, last=True)
    assert found is not None
    assert [json.loads(line)["missing"] for line in found.lines()] == [3]
    assert found.table()["missing"].to_pylist() == [3]


def test_cache_holds_a_default_page_of_every_series_of_sixty_markets() -> None:
    """With less space each request would evict the candles of the next one."""
    assert MOST // (60 * len(TIMEFRAMES)) >= EACH >= Candles.__struct_defaults__[-1] == 1_000


@given(
    st.lists(st.tuples(st.integers(0, 700), st.integers(1, 9), st.booleans()), max_size=60),
    st.integers(0, 700),
    st.data(),
)
def test_cache_answers_as_the_table_for_any_updates_and_pages(
    changes: list[tuple[int, int, bool]], count: int, data: st.DataObject
) -> None:
    """A page holds the first or last candles of any span, packed or not, after short and long
    batches.
    """
    stored = list(range(0, count, 2))
    recent, table = CandleCache(), dict.fromkeys(stored, 1)
    fill(recent, stored, whole=True)
    for part in (changes[:5], changes[5:]):
        for minute, trades, is_long in part:
            with mock.patch("candlewax.web.cache.cache.FEW", 0 if is_long else 1):
                recent.update(rows([minute], trades))
            # The version grows with the number of trades.
            table[minute] = max(trades, table.get(minute, 0))
        limit = data.draw(st.sampled_from([1, 7, CHUNK, CHUNK + 1, 1_000]))
        begin = data.draw(st.none() | st.integers(0, 701))
        before = data.draw(st.none() | st.integers(0, 701))
        within = sorted(
            candle for candle in table.items()
            if (begin is None or candle[0] >= begin) and (before is None or candle[0] < before)
        )  # fmt: skip
        expected = within[-limit:] if begin is None else within[:limit]
        assert page(recent, limit, before, begin) == expected
    assert recent.count == len(table)


def test_json_candle_holds_exact_amounts_and_times_as_text() -> None:
    """Amounts have no trailing zeros, and the window start has no fraction of a second.

    One candle gives the same JSON as a candle among many.
    """
    (line,) = encode.lines(encode.candles(rows([0])))
    alone = encode.candle(rows([0]).row(0, named=True))
    assert json.loads(alone) == json.loads(line)
    fields = json.loads(line)
    assert (fields["close"], fields["status"]) == ("1", "forming")
    assert fields["window_start"] == "2026-09-14T00:00:00Z"
    assert fields["open_time"] == "2026-09-14T00:00:00.000000Z"
