"""The latest candles that are kept ready: always what the tables would say."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from candlewax.candles import TIMEFRAMES
from candlewax.schema import CANDLES
from candlewax.web import encode
from candlewax.web.params import Candles
from candlewax.web.recent import EACH, MOST, Recent, encoded, named
from candlewax.web.store import Series

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


def fill(recent: Recent, minutes: list[int], each: int, series: Series = SERIES) -> None:
    read = list(encoded(named(rows(minutes))))
    recent.fill(series, [start for _, start, _ in read], [line for _, _, line in read], each)


def page(recent: Recent, limit: int, before: int | None = None) -> list[tuple[int, int]] | None:
    """Minutes and how many trades each has."""
    end = None if before is None else int((BEGIN + timedelta(minutes=before)).timestamp())
    lines = recent.page(SERIES, end, limit)
    if lines is None:
        return None
    said = [json.loads(line) for line in lines]
    times = [datetime.fromisoformat(one["window_start"]) - BEGIN for one in said]
    counts = [one["trade_count"] for one in said]
    return [(int(time.total_seconds()) // 60, n) for time, n in zip(times, counts, strict=True)]


def test_what_was_read_is_there_and_what_lies_before_is_not() -> None:
    """A page that reaches further back has to be read from the tables."""
    recent = Recent()
    assert page(recent, 1) is None
    fill(recent, [5, 6, 7], each=3)
    assert page(recent, 2) == [(6, 1), (7, 1)]
    assert page(recent, 2, before=7) == [(5, 1), (6, 1)]
    assert page(recent, 4) is None


def test_a_series_that_was_read_whole_has_no_before() -> None:
    """Fewer candles than were asked for are all there are."""
    recent = Recent()
    fill(recent, [5, 6], each=3)
    assert page(recent, 100) == [(5, 1), (6, 1)]
    assert page(recent, 100, before=5) == []


def test_what_comes_while_it_is_read_comes_on_top() -> None:
    """It may be newer than what is read."""
    recent = Recent()
    recent.begin(SERIES)
    recent.update(rows([7, 8], trades=9))
    fill(recent, [6, 7], each=2)
    assert page(recent, 2) == [(7, 9), (8, 9)]


def test_a_candle_older_than_what_is_kept_is_not_put_among_it() -> None:
    """Between it and the rest others may be missing."""
    recent = Recent()
    fill(recent, [5, 6], each=2)
    recent.update(rows([1]))
    assert page(recent, 2) == [(5, 1), (6, 1)]
    assert page(recent, 3) is None


def test_after_a_miss_nothing_is_known() -> None:
    """Until it is read again."""
    recent = Recent()
    fill(recent, [5], each=2)
    recent.clear()
    assert page(recent, 1) is None


def test_no_more_is_kept_than_there_is_room_for() -> None:
    """The series nobody asked for longest goes first."""
    recent = Recent(most=4)
    other = Series("x", "C/D", "1m")
    fill(recent, [1, 2], each=9)
    fill(recent, [1, 2], each=9, series=other)
    assert page(recent, 1) is not None
    fill(recent, [1, 2], each=9, series=Series("x", "E/F", "1m"))
    assert recent.page(other, None, 1) is None
    assert page(recent, 1) is not None


def test_there_is_room_for_a_request_of_every_series_of_sixty_markets() -> None:
    """Else each request would push out what the next one asks for."""
    assert MOST // (60 * len(TIMEFRAMES)) >= EACH >= Candles.__struct_defaults__[-1] == 1_000


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=25), st.data())
def test_it_says_what_a_table_would_say(
    changes: list[tuple[int, int]], data: st.DataObject
) -> None:
    """However candles come, in whatever order, and whenever somebody asks."""
    recent, table = Recent(), {10: 1, 12: 1}
    fill(recent, [10, 12], each=9)
    for minute, trades in changes:
        recent.update(rows([minute], trades))
        table[minute] = trades
        if data.draw(st.booleans()):
            page(recent, 1)
    limit = data.draw(st.integers(1, 40))
    before = data.draw(st.none() | st.integers(0, 31))
    expected = sorted((m, n) for m, n in table.items() if before is None or m < before)[-limit:]
    assert page(recent, limit, before) == expected


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
