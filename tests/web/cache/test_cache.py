"""The latest candles that are kept ready: always what the tables would say."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

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
    """Rows of `ohlcv` on their way to it."""
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


def of_tables(minutes: list[int], *, whole: bool) -> LoadedCandles:
    """What a query gave: the last candles there are, or all of them."""
    since = 0 if whole else seconds(minutes[0])
    return pack_loaded(since, encode.cast_candles(encode.candles(rows(minutes))), 1)


def fill(recent: CandleCache, minutes: list[int], *, whole: bool, series: Series = SERIES) -> None:
    recent.extend(series, recent.begin_read(series), of_tables(minutes, whole=whole))


def page(
    recent: CandleCache,
    limit: int,
    before: int | None = None,
    begin: int | None = None,
    series: Series = SERIES,
) -> list[tuple[int, int]] | None:
    """Minutes and how many trades each has: the last ones, or the first ones from `begin` on."""
    start = 0 if begin is None else seconds(begin)
    end = LATEST if before is None else seconds(before)
    found = recent.page(series, start, end, limit, last=begin is None)
    if found is None:
        return None
    said = [json.loads(line) for line in found.lines()]
    assert found.table()["trade_count"].to_pylist() == [one["trade_count"] for one in said]
    times = [datetime.fromisoformat(one["window_start"]) - BEGIN for one in said]
    counts = [one["trade_count"] for one in said]
    return [(int(time.total_seconds()) // 60, n) for time, n in zip(times, counts, strict=True)]


def test_what_was_read_is_there_and_what_lies_before_is_not() -> None:
    """A page that reaches further back has to be read from the tables."""
    recent = CandleCache()
    assert page(recent, 1) is None
    fill(recent, [5, 6, 7], whole=False)
    assert page(recent, 2) == [(6, 1), (7, 1)]
    assert page(recent, 2, before=7) == [(5, 1), (6, 1)]
    assert page(recent, 4) is None
    assert page(recent, 9, begin=6) == [(6, 1), (7, 1)]
    assert page(recent, 1, begin=4) is None


def test_a_series_that_was_read_whole_has_no_before() -> None:
    """Fewer candles than were asked for are all there are."""
    recent = CandleCache()
    fill(recent, [5, 6], whole=True)
    assert page(recent, 100) == [(5, 1), (6, 1)]
    assert page(recent, 100, before=5) == []
    assert page(recent, 1, begin=0) == [(5, 1)]


def test_older_candles_are_put_before_what_is_there() -> None:
    """And what was stored of them while they were read comes on top."""
    recent = CandleCache()
    fill(recent, [5, 6], whole=False)
    meanwhile = recent.begin_read(SERIES)
    recent.update(rows([3], trades=9))
    recent.extend(SERIES, meanwhile, of_tables([3, 4], whole=True))
    assert page(recent, 9) == [(3, 9), (4, 1), (5, 1), (6, 1)]


def test_what_comes_while_it_is_read_comes_on_top() -> None:
    """It may be newer than what is read."""
    recent = CandleCache()
    meanwhile = recent.begin_read(SERIES)
    recent.update(rows([7, 8], trades=9))
    recent.extend(SERIES, meanwhile, of_tables([6, 7], whole=False))
    assert page(recent, 2) == [(7, 9), (8, 9)]


def test_of_two_who_read_at_once_the_first_counts_for_nothing() -> None:
    """What it read may be older than what is there by then."""
    recent = CandleCache()
    first, second = recent.begin_read(SERIES), recent.begin_read(SERIES)
    recent.extend(SERIES, second, of_tables([6], whole=False))
    recent.update(rows([7]))
    recent.extend(SERIES, first, of_tables([5], whole=False))
    assert page(recent, 2, begin=6) == [(6, 1), (7, 1)]


def test_what_was_being_read_when_something_was_missed_counts_for_nothing() -> None:
    """It may lack what was missed."""
    recent = CandleCache()
    meanwhile = recent.begin_read(SERIES)
    recent.clear()
    recent.extend(SERIES, meanwhile, of_tables([6], whole=False))
    assert page(recent, 1) is None


def test_a_candle_older_than_what_is_kept_is_not_put_among_it() -> None:
    """Between it and the rest others may be missing."""
    recent = CandleCache()
    fill(recent, [5, 6], whole=False)
    recent.update(rows([1]))
    assert page(recent, 2) == [(5, 1), (6, 1)]
    assert page(recent, 3) is None


def test_after_a_miss_nothing_is_known() -> None:
    """Until it is read again."""
    recent = CandleCache()
    fill(recent, [5], whole=True)
    recent.clear()
    assert page(recent, 1) is None
    assert recent.count == 0


def test_no_more_is_kept_than_there_is_room_for() -> None:
    """The oldest candles of the longest series go first, some at a time."""
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


def test_what_says_less_than_what_is_there_changes_nothing() -> None:
    """As in the table, whose version grows; what says as much and comes later counts."""
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


def test_there_is_room_for_a_request_of_every_series_of_sixty_markets() -> None:
    """Else each request would push out what the next one asks for."""
    assert MOST // (60 * len(TIMEFRAMES)) >= EACH >= Candles.__struct_defaults__[-1] == 1_000


@given(
    st.lists(st.tuples(st.integers(0, 700), st.integers(1, 9)), max_size=60),
    st.integers(0, 700),
    st.data(),
)
def test_it_says_what_a_table_would_say(
    changes: list[tuple[int, int]], count: int, data: st.DataObject
) -> None:
    """However candles come, in whatever order, and whenever somebody asks: the first or the
    last ones of any time; packed or not.
    """
    there = list(range(0, count, 2))
    recent, table = CandleCache(), dict.fromkeys(there, 1)
    fill(recent, there, whole=True)
    for some in (changes[:5], changes[5:]):
        for minute, trades in some:
            recent.update(rows([minute], trades))
            # The version grows with the number of trades.
            table[minute] = max(trades, table.get(minute, 0))
        limit = data.draw(st.sampled_from([1, 7, CHUNK, CHUNK + 1, 1_000]))
        begin = data.draw(st.none() | st.integers(0, 701))
        before = data.draw(st.none() | st.integers(0, 701))
        among = sorted(
            one for one in table.items()
            if (begin is None or one[0] >= begin) and (before is None or one[0] < before)
        )  # fmt: skip
        expected = among[-limit:] if begin is None else among[:limit]
        assert page(recent, limit, before, begin) == expected
    assert recent.count == len(table)


def test_amounts_and_times_are_text() -> None:
    """Exact, without zeros at the end; a candle's start without a fraction; alike, whether
    one or many are made into JSON.
    """
    (line,) = encode.lines(encode.candles(rows([0])))
    alone = encode.candle(rows([0]).row(0, named=True))
    assert json.loads(alone) == json.loads(line)
    said = json.loads(line)
    assert (said["close"], said["status"]) == ("1", "forming")
    assert said["window_start"] == "2026-09-14T00:00:00Z"
    assert said["open_time"] == "2026-09-14T00:00:00.000000Z"
