"""Killed processes behind feeds that repeat nothing."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.frame_journal import journal_folder
from candlewax.verification.verify import check_totals, verify
from tests.support.crashing import crashing, minutes, stores
from tests.support.live_run import run_live
from tests.support.playing import Frame, all_fills, binance, clear, received
from tests.support.stored import (
    check_revisions,
    check_watermarks,
    expected_gold,
    expected_silver,
    gold,
    silver,
)

pytestmark = pytest.mark.slow("the whole pipeline fails at each insert", seconds=20)


def test_killed_process_loses_no_frame_that_reached_its_writer(
    tables: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """After a kill at any insert, the next process stores the frames of the journal and their
    trades, with an older recovery store too.
    """
    *frames, later = minutes(110)
    frames[50] = Frame("binance", "b0", 50, frames[50].recv_us, "no JSON", ())
    items = received(frames, [60])
    last, kept = 1, set[int]()
    while True:
        folder = stores(tmp_path_factory)
        with crashing(last) as crashed:
            run_live(items, tables, folder)
        if not crashed:
            break
        run_live(received([later]), tables, folder)
        offsets = "SELECT source_offset FROM bronze_frames FINAL"
        had = {offset for (offset,) in tables.query(offsets).rows()} - {later.seq}
        fills = all_fills([*(frame for frame in frames if frame.seq in had), later])
        assert silver(tables) == expected_silver(fills)
        assert gold(tables) == expected_gold(fills)
        check_revisions(tables)
        check_watermarks(fills, tables)
        assert check_totals(tables.client) == []
        assert verify(tables.client).equal
        assert journal_bytes(tables) == 0
        kept.add(len(had))
        clear(tables)
        last += 1
    assert kept == {60, len(frames)}
    assert last > 10


def journal_bytes(tables: Database) -> int:
    """Return the size of a database's journal."""
    assert tables.folder
    folder = journal_folder(tables.folder, tables.client.database or "")
    return sum(path.stat().st_size for path in folder.iterdir())


def test_killed_process_loses_no_contradiction_of_a_stored_frame(
    tables: Database, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Neither its row nor its dead letter, even if all other trades of its frame are duplicates."""
    *frames, later = minutes(20)
    other = replace(frames[3].fills[0], price=Decimal(999))
    first = frames[2].fills[0]
    answer = [
        {"id": fill.sequence, "price": str(fill.price), "qty": str(fill.quantity), "quoteQty": "1",
         "time": fill.time // 1000, "isBuyerMaker": not fill.bought, "isBestMatch": True}
        for fill in (first, other)
    ]  # fmt: skip
    now = frames[-1].recv_us
    page = Frame("binance", "rest/BTCUSDT", 0, now + 1, json.dumps(answer), (first,))
    alone = binance(90, now + 2, replace(frames[5].fills[0], price=Decimal(998)))
    last, lost = 1, 0
    while True:
        with crashing(last) as crashed:
            run_live(
                received([*frames, page, alone], [len(frames)]), tables, stores(tmp_path_factory)
            )
        run_live(received([later]), tables, stores(tmp_path_factory))
        stored = "SELECT count() FROM bronze_frames FINAL WHERE received_at > {after:DateTime64(6)}"
        was_stored = tables.query(stored, {"after": moment(now)}).item() > 1
        expected = [(3 + 1, Decimal(999)), (5 + 1, Decimal(998))] if was_stored else []
        rows = tables.query("SELECT sequence, price FROM contradictions FINAL ORDER BY sequence")
        assert rows.rows() == expected
        letters = "SELECT count() FROM dead_letters FINAL WHERE reason = 'contradicting_trade'"
        assert tables.query(letters).item() == len(expected)
        assert verify(tables.client).equal
        clear(tables)
        tables.client.command("TRUNCATE TABLE contradictions")
        lost += not was_stored
        last += 1
        if not crashed:
            break
    assert 0 < lost < last - 3


def moment(us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
