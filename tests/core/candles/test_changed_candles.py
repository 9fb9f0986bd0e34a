"""Open candles that several batches change, against an oracle of plain Python."""

import pickle
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.candles import combine as candles
from candlewax.core.candles import open_candles as books
from candlewax.core.candles.open_candles import ALLOWED_LATENESS_US
from candlewax.core.schema import TRADES, empty
from candlewax.core.snapshots import load_open_candles, save_open_candles
from tests.support import oracle
from tests.support.candles import DAY, FILLS, apply_batches, candles_by_window, cut, fill, table
from tests.support.oracle import Fill


@given(FILLS, st.lists(st.integers(0, 40), max_size=6))
def test_candles_match_oracle_for_any_cut_into_batches(
    fills: list[Fill], places: list[int]
) -> None:
    """Windows with stale parts are excluded: they are recomputed from the tables."""
    book, latest, stale = apply_batches(cut(fills, places))
    expected = oracle.candles(fills, {"x": book.watermark})
    assert set(latest) | stale == set(expected)
    assert {w: c for w, c in latest.items() if w not in stale} == {
        w: c for w, c in expected.items() if w not in stale
    }
    for timeframe, _, _, start in stale:
        end = (start + oracle.LENGTHS[timeframe]) * 1_000_000
        assert end + ALLOWED_LATENESS_US <= book.watermark


@given(FILLS, st.lists(st.integers(0, 40), max_size=4), st.integers(0, 4))
def test_restored_snapshot_continues_like_uninterrupted_run(
    fills: list[Fill], places: list[int], stop: int
) -> None:
    """A snapshot between any two batches changes no candle."""
    batches = cut(fills, places)
    whole = apply_batches(batches)
    book, before, stale_before = apply_batches(batches[:stop])
    saved = pickle.loads(pickle.dumps(save_open_candles(book)))  # noqa: S301 - our own
    resumed, after, stale_after = apply_batches(batches[stop:], load_open_candles(saved))
    assert before | after == whole[1]
    assert stale_before | stale_after == whole[2]
    assert resumed.watermark == whole[0].watermark


@given(FILLS, st.integers(0, 40))
def test_candles_restored_from_stored_trades_continue_like_the_old_ones(
    fills: list[Fill], place: int
) -> None:
    old, new = fills[:place], fills[place:]
    book, _, _ = apply_batches([old])
    in_order = candles.combine(table(old))
    restored = books.restore(in_order, book.watermark)
    assert candles_by_window(restored.candles, 0) == candles_by_window(book.candles, 0)
    assert apply_batches([new], restored)[1:] == apply_batches([new], book)[1:]


def test_candle_is_written_again_when_another_symbol_closes_it() -> None:
    """Its state is kept until the allowed lateness has passed."""
    first = fill(5)
    other = fill(60, symbol="C/D")
    _, latest, _ = apply_batches([[first], [other]])
    assert latest["1m", "x", "A/B", DAY // 1_000_000]["closed"] is False
    _, latest, _ = apply_batches([[first], [other], [fill(62, symbol="C/D", trade_id="2")]])
    closed = latest["1m", "x", "A/B", DAY // 1_000_000]
    assert (closed["closed"], closed["version"]) == (True, 3)


def test_late_trade_raises_version_of_closed_candle() -> None:
    """The candle stays closed."""
    batches = [[fill(5)], [fill(300)], [fill(6, "7", sequence=2)]]
    _, latest, stale = apply_batches(batches)
    candle = latest["1m", "x", "A/B", DAY // 1_000_000]
    assert (candle["close"], candle["version"], stale) == (Decimal(7), 5, set())


def test_trade_behind_the_allowed_lateness_makes_stale_parts_only() -> None:
    """Timeframes that are still open take the trade."""
    book, latest, stale = apply_batches([[fill(5)], [fill(60 + 901)], [fill(6, "7", sequence=2)]])
    assert stale == {("1m", "x", "A/B", DAY // 1_000_000)}
    assert latest["1h", "x", "A/B", DAY // 1_000_000]["trade_count"] == 3
    assert ("1m", "x", "A/B", DAY // 1_000_000) not in candles_by_window(book.candles, 0)


def test_open_candles_stay_in_one_chunk_after_many_batches() -> None:
    """Each further chunk would slow down the next batch."""
    book, _, _ = apply_batches([[fill(n, sequence=n + 1)] for n in range(50)])
    assert book.candles.n_chunks() == 1


def test_watermark_stays_when_an_older_batch_arrives() -> None:
    book, _, _ = apply_batches([[fill(100)], [fill(5)]])
    assert book.watermark == DAY + 99_000_000
    assert books.batch_watermark(empty(TRADES)) == 0
