"""Candles that are no longer in memory are recomputed from the tables, with the latest state."""

import polars as pl
import pytest

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.recompute import CandleRecomputer
from candlewax.clickhouse.state.loader import StateLoader
from candlewax.clickhouse.writer import Writer
from candlewax.core.batch import WINDOW_KEY, Batch
from candlewax.core.candles.certificate import COMPLETE, GAPS, CertificateInputs, Recertification
from candlewax.core.candles.combine import all_timeframes, combine
from candlewax.core.candles.rows import LATE, candle_rows
from candlewax.core.gaps.gap_state import MISSING_RANGES, TIME_RANGES, GapState
from candlewax.runtime.counters import Counters
from tests.clickhouse.state.test_loader import fills, rows
from tests.support.candles import DAY

SECOND = 1_000_000
END = DAY + 60 * SECOND
"""The end of the first minute."""

MINUTE = pl.DataFrame([(1, "A/B", DAY)], {**WINDOW_KEY, "window_start": pl.Int64}, orient="row")
SPANS = pl.DataFrame([("A/B", DAY, DAY + 5 * SECOND)], TIME_RANGES, orient="row")


@pytest.fixture
def history(tables: Database) -> StateLoader:
    """Two stored trades of a minute, and their closed and complete candles."""
    trades = rows(fills(1, 4))
    closed = candle_rows("x", all_timeframes(combine(trades)), END, CertificateInputs())
    writer = Writer(tables, Counters(), background=False)
    writer.put(Batch("x", {"silver_trades": trades, "ohlcv": closed}))
    writer.flush()
    return StateLoader(tables)


def recertification(missing: int, until: int = END) -> Recertification:
    """A recertification with so many missing numbers in the minute."""
    ranges = [("A/B", 2, 1 + missing, DAY, DAY + 4 * SECOND)] if missing else []
    known = GapState(pl.DataFrame(ranges, MISSING_RANGES, orient="row"))
    return Recertification(CertificateInputs(known), until, SPANS)


def recomputed_rows(history: StateLoader, *batches: Batch) -> list[tuple[object, ...]]:
    """Return the rows of the minute that are recomputed."""
    frames = [
        frame.filter(pl.col("timeframe") == 1).select("closed", "missing", "status", "cause").rows()
        for frame in CandleRecomputer(history).recompute("x", batches)
    ]
    return [row for rows in frames for row in rows]


@pytest.mark.parametrize(("late", "recomputed"), [(-1, False), (0, True), (1, True)])
def test_certificate_is_recomputed_if_the_candle_is_no_longer_in_memory(
    history: StateLoader, late: int, recomputed: bool
) -> None:
    """From the moment at which its window ended the allowed lateness ago."""
    expected = [(True, 2, GAPS, LATE)] if recomputed else []
    assert (
        recomputed_rows(history, Batch("x", {}, recertify=recertification(2, END + late)))
        == expected
    )


def test_certificate_has_the_missing_numbers_of_the_last_batch(history: StateLoader) -> None:
    """Several batches are stored together here."""
    batches = [Batch("x", {}, recertify=recertification(missing)) for missing in (2, 1)]
    assert recomputed_rows(history, *batches) == [(True, 1, GAPS, LATE)]
    assert recomputed_rows(history, *reversed(batches)) == [(True, 2, GAPS, LATE)]


@pytest.mark.parametrize("marks", [(END - 1, END), (END, 0)], ids=["moves on", "unknown"])
def test_candle_is_recomputed_at_the_latest_watermark(
    history: StateLoader, marks: tuple[int, int]
) -> None:
    """The latest of all batches that are stored together."""
    windows = MINUTE.cast(WINDOW_KEY)  # type: ignore[arg-type]  # names to types
    batches = [
        Batch("x", {}, stale_windows=windows, watermark=mark, recertify=recertification(0))
        for mark in marks
    ]
    ((closed, missing, status, _),) = recomputed_rows(history, *batches)
    assert (closed, missing, status) == (True, 0, COMPLETE)


def test_writer_tells_recomputed_candles_apart_from_stored_batches(
    tables: Database, history: StateLoader
) -> None:
    """Nobody has seen them before, unlike the batches that were handed over."""
    stored: list[Batch] = []
    recomputed: list[Batch] = []
    writer = Writer(
        tables,
        Counters(),
        history=history,
        background=False,
        after=stored.extend,
        after_recompute=recomputed.extend,
    )
    plain, doubtful = Batch("x", {}), Batch("x", {}, recertify=recertification(2))
    writer.put(plain)
    writer.flush()
    assert (stored, recomputed) == ([plain], [])
    writer.put(doubtful)
    writer.flush()
    assert stored == [plain, doubtful]
    (found,) = recomputed
    assert found.tables["ohlcv"].filter(timeframe=1)["status"].to_list() == [GAPS]
