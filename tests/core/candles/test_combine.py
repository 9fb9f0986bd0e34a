"""Candle algebra against an oracle of plain Python."""

import itertools
import pickle
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from unittest import mock

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.candles import combine as candles
from candlewax.core.candles import open_candles as books
from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.core.candles.open_candles import (
    ALLOWED_LATENESS_US,
    EMPTY,
    CandleUpdate,
    OpenCandles,
)
from candlewax.core.schema import REST, TRADES, WEBSOCKET, empty
from candlewax.core.snapshots import load_open_candles, save_open_candles
from candlewax.exchanges.protocol.dialect import BUY, SELL
from tests.support import oracle
from tests.support.oracle import Fill

DAY = 1_750_032_000_000_000
"""A midnight, in microseconds."""

NAMES = {number: name for name, (number, _) in TIMEFRAMES.items()}


def table(fills: Sequence[Fill]) -> pl.DataFrame:
    """Trades as the pipeline holds them."""
    rows = [
        {
            **dict.fromkeys(TRADES),
            "exchange": fill.exchange,
            "symbol": fill.symbol,
            "trade_id": fill.trade_id,
            "sequence": fill.sequence,
            "timestamp": datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=fill.time),
            "side": BUY if fill.bought else SELL,
            "price": fill.price,
            "quantity": fill.quantity,
            "quote_volume": fill.price * fill.quantity,
            "condition": fill.conditions[0] if fill.conditions else None,
            "source_offset": fill.offset,
            "source_index": fill.index,
            "via": WEBSOCKET,
            "numbering": 0,
        }
        for fill in fills
    ]
    return pl.DataFrame(rows, schema=TRADES)


def told(frame: pl.DataFrame, watermark: int) -> dict[oracle.Window, dict[str, Any]]:
    """Candles as the oracle names them."""
    found = {}
    for row in frame.rows(named=True):
        start = int(row["window_start"].timestamp())
        closed = row["window_end"] <= watermark
        fields = {
            name: row[name]
            for name in (
                "open", "high", "low", "close", "volume", "quote_volume", "trade_count",
                "buy_volume", "buy_quote_volume", "first_sequence", "last_sequence",
            )
        }  # fmt: skip
        for name in ("open_time", "close_time"):
            fields[name] = (row[name] - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
                microseconds=1
            )
        fields |= {"closed": closed, "version": 2 * row["trade_count"] + closed}
        found[(NAMES[row["timeframe"]], "x", row["symbol"], start)] = fields
    return found


def play(
    batches: Sequence[Sequence[Fill]], book: OpenCandles = EMPTY
) -> tuple[OpenCandles, dict[oracle.Window, dict[str, Any]], set[oracle.Window]]:
    """Put batches into a book; the candles as they were last told, and those told late."""
    last: dict[oracle.Window, dict[str, Any]] = {}
    late: set[oracle.Window] = set()
    for batch in batches:
        trades = table(batch)
        update: CandleUpdate = books.apply_trades(book, trades, books.batch_watermark(trades))
        book = update.open_candles
        last |= told(update.changed, book.watermark)
        late |= set(told(update.stale_parts, book.watermark))
        assert len(told(update.changed, 0)) == update.changed.height
    return book, last, late


PRICES = st.integers(1, 400).map(lambda n: Decimal(n).scaleb(-2))
QUANTITIES = st.integers(1, 10**15).map(lambda n: Decimal(n).scaleb(-12))
TIMES = st.one_of(
    st.sampled_from([DAY - 1, DAY, DAY + 61_000_000]),
    st.integers(DAY - 5, DAY + 5),
    st.integers(DAY - 90_000_000, DAY + 90_000_000),
    st.integers(DAY - 7_200_000_000, DAY + 600_000_000),
)
FILLS = st.lists(
    st.builds(
        Fill,
        st.just("x"),
        st.sampled_from(["A/B", "C/D", "E/F"]),
        st.sampled_from(["1", "2", "10"]),
        st.sampled_from([0, 0, 1, 2, 2**64 - 1]),
        TIMES,
        st.booleans(),
        PRICES,
        QUANTITIES,
        st.sampled_from([(), (), (), ("ADL",)]),
        st.integers(0, 2),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=30,
    unique_by=lambda fill: (fill.symbol, *fill.order),
)


def cut(fills: Sequence[Fill], places: Sequence[int]) -> list[Sequence[Fill]]:
    bounds = [0, *sorted({place % (len(fills) + 1) for place in places}), len(fills)]
    return [fills[a:b] for a, b in itertools.pairwise(bounds)]


@pytest.mark.parametrize("few", [0, 1000])
@given(fills=FILLS)
def test_one_batch_makes_the_candles_of_its_trades(few: int, fills: list[Fill]) -> None:
    """All timeframes, whatever the order within the batch, ties included; by the way of
    many trades and by that of a few.
    """
    with (
        mock.patch("candlewax.core.candles.open_candles.SMALL_BATCH_ROWS", few),
        mock.patch("candlewax.core.candles.combine.SMALL_BATCH_ROWS", few),
    ):
        book, last, late = play([fills])
    assert last == oracle.candles(fills, {"x": book.watermark})
    assert late == set()
    assert book.watermark == oracle.watermarks(fills)["x"]


@given(FILLS, st.lists(st.integers(0, 40), max_size=6))
def test_candles_that_can_change_do_not_depend_on_the_cut(
    fills: list[Fill], places: list[int]
) -> None:
    """Those told late are left to be computed anew, all others are exact."""
    book, last, late = play(cut(fills, places))
    expected = oracle.candles(fills, {"x": book.watermark})
    assert set(last) | late == set(expected)
    assert {w: c for w, c in last.items() if w not in late} == {
        w: c for w, c in expected.items() if w not in late
    }
    for timeframe, _, _, start in late:
        end = (start + oracle.LENGTHS[timeframe]) * 1_000_000
        assert end + ALLOWED_LATENESS_US <= book.watermark


@given(FILLS, st.lists(st.integers(0, 40), max_size=4), st.integers(0, 4))
def test_a_pickled_book_goes_on_as_if_it_had_not_been(
    fills: list[Fill], places: list[int], stop: int
) -> None:
    """A snapshot anywhere changes nothing."""
    batches = cut(fills, places)
    whole = play(batches)
    book, before, late_before = play(batches[:stop])
    saved = pickle.loads(pickle.dumps(save_open_candles(book)))  # noqa: S301 - our own
    resumed, after, late_after = play(batches[stop:], load_open_candles(saved))
    assert before | after == whole[1]
    assert late_before | late_after == whole[2]
    assert resumed.watermark == whole[0].watermark


@given(FILLS, st.integers(0, 40))
def test_a_seeded_book_is_the_book_of_those_trades(fills: list[Fill], place: int) -> None:
    """What a fresh process makes of stored trades goes on like the old one."""
    old, new = fills[:place], fills[place:]
    book, _, _ = play([old])
    in_order = candles.combine(table(old))
    seeded = books.restore(in_order, book.watermark)
    assert told(seeded.candles, 0) == told(book.candles, 0)
    assert play([new], seeded)[1:] == play([new], book)[1:]


def fill(seconds: int, price: str = "1", **more: Any) -> Fill:
    return replace(
        Fill("x", "A/B", "1", 1, DAY + seconds * 1_000_000, True, Decimal(price), Decimal(1)),
        **more,
    )


def test_key_of_a_window_has_room_for_every_timeframe() -> None:
    """Two windows that share a key would become one candle; long ones are made of short ones."""
    assert max(number for number, _ in TIMEFRAMES.values()) < candles.NUMBERS
    lengths = [length for _, length in TIMEFRAMES.values()]
    assert all(longer % shorter == 0 for shorter, longer in itertools.pairwise(lengths))


def test_windows_include_their_start_and_not_their_end() -> None:
    """A trade on the minute belongs to the minute it begins."""
    _, last, _ = play([[fill(59), fill(60)]])
    minutes = {w[3] - DAY // 1_000_000: c["trade_count"] for w, c in last.items() if w[0] == "1m"}
    assert minutes == {0: 1, 60: 1}


@pytest.mark.parametrize("few", [0, 1000])
@pytest.mark.parametrize("first", [0, 1], ids=["in order", "the later one first"])
def test_unnumbered_trades_of_one_moment_in_two_batches_keep_the_order_of_their_source(
    few: int, first: int
) -> None:
    """The lower offset opens the candle and the higher one closes it, whichever comes first."""
    fills = [fill(5, str(offset + 1), sequence=0, offset=offset) for offset in (0, 1)]
    with (
        mock.patch("candlewax.core.candles.open_candles.SMALL_BATCH_ROWS", few),
        mock.patch("candlewax.core.candles.combine.SMALL_BATCH_ROWS", few),
    ):
        _, last, _ = play([[fills[first]], [fills[1 - first]]])
    candle = last["1m", "x", "A/B", DAY // 1_000_000]
    assert (candle["open"], candle["close"]) == (Decimal(1), Decimal(2))


@pytest.mark.parametrize("number", [0, 7], ids=["unnumbered", "of one number"])
def test_many_trades_of_one_moment_keep_the_order_of_their_source(number: int) -> None:
    """The lowest offset of the first moment opens the candle, the highest of the last closes it."""
    fills = [
        fill(second, str(offset + 1), sequence=number, offset=offset)
        for second in (5, 6)
        for offset in range(600)
    ]
    random.Random(3).shuffle(fills)
    _, last, _ = play([fills])
    candle = last["1m", "x", "A/B", DAY // 1_000_000]
    assert (candle["open"], candle["close"]) == (Decimal(1), Decimal(600))


@pytest.mark.parametrize("count", [2, candles.SMALL_BATCH_ROWS], ids=["few", "many"])
def test_odd_trades_beside_others_of_a_batch_are_counted(count: int) -> None:
    """Those that came another way, and those without a number: wherever they stand."""
    for place in (0, count - 1):
        trades = table([fill(5, sequence=n + 1) for n in range(count)])
        ways, numbers = trades["via"].to_list(), trades["sequence"].to_list()
        ways[place], numbers[count - 1 - place] = REST, 0
        odd = trades.with_columns(
            pl.Series("via", ways, pl.Int8), pl.Series("sequence", numbers, pl.UInt64)
        )
        for made in (candles.combine(odd), candles.small_batch_candles(odd).collect()):
            minute = made.filter(pl.col("timeframe") == 1)
            assert minute.select("trade_count", "repaired", "unnumbered").row(0) == (count, 1, 1)


def test_a_candle_is_told_again_when_it_closes() -> None:
    """A quiet symbol's candle closes when others trade; its state is kept a while."""
    first = fill(5)
    other = fill(60, symbol="C/D")
    _, last, _ = play([[first], [other]])
    assert last["1m", "x", "A/B", DAY // 1_000_000]["closed"] is False
    _, last, _ = play([[first], [other], [fill(62, symbol="C/D", trade_id="2")]])
    closed = last["1m", "x", "A/B", DAY // 1_000_000]
    assert (closed["closed"], closed["version"]) == (True, 3)


def test_a_late_trade_changes_a_closed_candle() -> None:
    """It stays closed, and its version grows."""
    batches = [[fill(5)], [fill(300)], [fill(6, "7", sequence=2)]]
    _, last, late = play(batches)
    candle = last["1m", "x", "A/B", DAY // 1_000_000]
    assert (candle["close"], candle["version"], late) == (Decimal(7), 5, set())


def test_a_candle_whose_state_is_gone_is_not_opened_again() -> None:
    """It is told to be late, in the timeframes whose state is gone only."""
    book, last, late = play([[fill(5)], [fill(60 + 901)], [fill(6, "7", sequence=2)]])
    assert late == {("1m", "x", "A/B", DAY // 1_000_000)}
    assert last["1h", "x", "A/B", DAY // 1_000_000]["trade_count"] == 3
    assert ("1m", "x", "A/B", DAY // 1_000_000) not in told(book.candles, 0)


def test_a_book_stays_in_one_piece() -> None:
    """However many batches it has seen: pieces would make each slower than the last."""
    book, _, _ = play([[fill(n, sequence=n + 1)] for n in range(50)])
    assert book.candles.n_chunks() == 1


def test_the_watermark_never_moves_back() -> None:
    """An older batch leaves it where it was."""
    book, _, _ = play([[fill(100)], [fill(5)]])
    assert book.watermark == DAY + 99_000_000
    assert books.batch_watermark(empty(TRADES)) == 0


def test_many_symbols_keep_apart() -> None:
    """Two thousand symbols, each its own candles."""
    chance = random.Random(5)
    fills = [
        fill(
            chance.randrange(900), str(chance.randrange(1, 99)), symbol=f"S{n % 2000}/X", sequence=n
        )
        for n in range(4000)
    ]
    book, last, _ = play([fills[:1500], fills[1500:]])
    assert last == oracle.candles(fills, {"x": book.watermark})
