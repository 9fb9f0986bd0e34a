"""Candles of trades against an oracle of plain Python."""

import itertools
import random
from decimal import Decimal
from unittest import mock

import polars as pl
import pytest
from hypothesis import given

from candlewax.core.candles import combine as candles
from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.core.schema import REST
from tests.support import oracle
from tests.support.candles import DAY, FILLS, apply_batches, fill, table
from tests.support.oracle import Fill


@pytest.mark.parametrize("few", [0, 1000])
@given(fills=FILLS)
def test_candles_of_one_batch_match_oracle_for_any_order(few: int, fills: list[Fill]) -> None:
    """In all timeframes, ties included, for a small and a large batch."""
    with (
        mock.patch("candlewax.core.candles.open_candles.SINGLE_QUERY_TRADES", few),
        mock.patch("candlewax.core.candles.combine.SINGLE_QUERY_TRADES", few),
    ):
        book, latest, stale = apply_batches([fills])
    assert latest == oracle.candles(fills, {"x": book.watermark})
    assert stale == set()
    assert book.watermark == oracle.watermarks(fills)["x"]


def test_window_key_holds_every_timeframe_number() -> None:
    """Two windows that share a key would merge into one candle. Long windows consist of short
    ones.
    """
    assert max(number for number, _ in TIMEFRAMES.values()) < candles.NUMBERS
    lengths = [length for _, length in TIMEFRAMES.values()]
    assert all(longer % shorter == 0 for shorter, longer in itertools.pairwise(lengths))


def test_window_includes_its_start_and_excludes_its_end() -> None:
    _, latest, _ = apply_batches([[fill(59), fill(60)]])
    minutes = {w[3] - DAY // 1_000_000: c["trade_count"] for w, c in latest.items() if w[0] == "1m"}
    assert minutes == {0: 1, 60: 1}


@pytest.mark.parametrize("few", [0, 1000])
@pytest.mark.parametrize("first", [0, 1], ids=["in order", "the later one first"])
def test_unnumbered_trades_of_one_time_in_two_batches_are_ordered_by_offset(
    few: int, first: int
) -> None:
    """The lower offset opens the candle and the higher one closes it."""
    fills = [fill(5, str(offset + 1), sequence=0, offset=offset) for offset in (0, 1)]
    with (
        mock.patch("candlewax.core.candles.open_candles.SINGLE_QUERY_TRADES", few),
        mock.patch("candlewax.core.candles.combine.SINGLE_QUERY_TRADES", few),
    ):
        _, latest, _ = apply_batches([[fills[first]], [fills[1 - first]]])
    candle = latest["1m", "x", "A/B", DAY // 1_000_000]
    assert (candle["open"], candle["close"]) == (Decimal(1), Decimal(2))


@pytest.mark.parametrize("number", [0, 7], ids=["unnumbered", "of one number"])
def test_trades_of_one_time_in_a_large_batch_are_ordered_by_offset(number: int) -> None:
    """The lowest offset of the first time opens the candle, the highest of the last time closes
    it.
    """
    fills = [
        fill(second, str(offset + 1), sequence=number, offset=offset)
        for second in (5, 6)
        for offset in range(600)
    ]
    random.Random(3).shuffle(fills)
    _, latest, _ = apply_batches([fills])
    candle = latest["1m", "x", "A/B", DAY // 1_000_000]
    assert (candle["open"], candle["close"]) == (Decimal(1), Decimal(600))


@pytest.mark.parametrize("count", [2, candles.SINGLE_QUERY_TRADES], ids=["few", "many"])
def test_repaired_and_unnumbered_trades_are_counted_at_any_place_in_a_batch(count: int) -> None:
    for place in (0, count - 1):
        trades = table([fill(5, sequence=n + 1) for n in range(count)])
        via, numbers = trades["via"].to_list(), trades["sequence"].to_list()
        via[place], numbers[count - 1 - place] = REST, 0
        mixed = trades.with_columns(
            pl.Series("via", via, pl.Int8), pl.Series("sequence", numbers, pl.UInt64)
        )
        for combined in (candles.combine(mixed), candles.small_batch_candles(mixed).collect()):
            minute = combined.filter(pl.col("timeframe") == 1)
            assert minute.select("trade_count", "repaired", "unnumbered").row(0) == (count, 1, 1)


def test_candles_of_two_thousand_symbols_match_oracle() -> None:
    rng = random.Random(5)
    fills = [
        fill(rng.randrange(900), str(rng.randrange(1, 99)), symbol=f"S{n % 2000}/X", sequence=n)
        for n in range(4000)
    ]
    book, latest, _ = apply_batches([fills[:1500], fills[1500:]])
    assert latest == oracle.candles(fills, {"x": book.watermark})
