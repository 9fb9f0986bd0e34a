"""The whole pipeline, through Bytewax into real tables."""

import random

import pytest
from bytewax.testing import TestingSource
from hypothesis import given
from hypothesis import strategies as st

from candlewax.clickhouse import overview
from candlewax.clickhouse.client import Database
from tests.support import oracle
from tests.support.crashing import crash, minutes, stores
from tests.support.examples import examples
from tests.support.markets import CUTS, markets
from tests.support.playing import Frame, all_fills, clear, play, received
from tests.support.stored import (
    certificates,
    check,
    check_gaps,
    check_revisions,
    check_watermarks,
    expected_gold,
    expected_silver,
    gold,
    silver,
)

pytestmark = pytest.mark.slow("each example runs the whole pipeline", seconds=20)


@given(markets(), st.none() | st.randoms(use_true_random=False), CUTS)
@examples(6)
def test_tables_do_not_depend_on_batches_and_order_of_connections(
    tables: Database, frames: list[Frame], chance: random.Random | None, cuts: list[int]
) -> None:
    """Trades and candles equal the oracle's, with late trades, ties and duplicates."""
    clear(tables)
    mixed = interleaved(frames, chance) if chance else frames
    play(received(mixed, cuts), tables)
    check(mixed, tables)


def interleaved(frames: list[Frame], chance: random.Random) -> list[Frame]:
    """Interleave connections; each keeps its order."""
    lanes = [[f for f in frames if f.connection == name] for name in ("b0", "b1", "k0")]
    mixed = []
    while any(lanes):
        mixed.append(chance.choice([lane for lane in lanes if lane]).pop(0))
    return mixed


@given(markets(), CUTS)
@examples(3)
def test_second_run_of_the_same_frames_changes_nothing(
    tables: Database, frames: list[Frame], cuts: list[int]
) -> None:
    """Each table keeps its rows."""
    clear(tables)
    play(received(frames, cuts), tables)
    before = overview.count_stored(tables)
    play(received(frames), tables)
    assert overview.count_stored(tables) == before
    check(frames, tables)


@given(markets(), CUTS, st.integers(0, 6))
@examples(3)
def test_resumed_flow_gives_the_same_tables_wherever_it_was_aborted(
    tables: Database,
    tmp_path_factory: pytest.TempPathFactory,
    frames: list[Frame],
    cuts: list[int],
    place: int,
) -> None:
    """With a recovery store each row is stored once."""
    clear(tables)
    folder = stores(tmp_path_factory)
    items: list[object] = list(received(frames, cuts))
    items.insert(min(place, len(items)), TestingSource.ABORT())
    play(items, tables, folder)
    play(items, tables, folder)
    check(frames, tables)


@given(markets(), CUTS, st.integers(0, 6))
@examples(3)
def test_process_without_recovery_continues_from_the_tables(
    tables: Database, frames: list[Frame], cuts: list[int], place: int
) -> None:
    """It reads frames of which some are stored; the tables are right at the end."""
    clear(tables)
    items = received(frames, cuts)
    play(items[: place + 1], tables)
    play(items[max(0, place - 1) :], tables)
    check(frames, tables)


@pytest.mark.parametrize("recovering", [True, False])
@given(frames=markets(), cuts=CUTS, last=st.integers(1, 10))
@examples(3)
def test_run_after_a_crash_at_any_insert_loses_nothing(
    tables: Database,
    tmp_path_factory: pytest.TempPathFactory,
    frames: list[Frame],
    cuts: list[int],
    last: int,
    recovering: bool,
) -> None:
    """After any last insert, the next run ends with the right tables."""
    clear(tables)
    folder = stores(tmp_path_factory) if recovering else None
    items = received(frames, cuts)
    crash(items, tables, last, folder)
    play(items, tables, folder)
    assert_tables_hold(frames, tables)


def test_run_after_a_crash_at_each_insert_loses_nothing(tables: Database) -> None:
    """For each insert of a feed as the last one, up to the last but one."""
    frames = minutes(110)
    items = received(frames, [60])
    last = 1
    while crash(items, tables, last):
        play(items, tables)
        assert_tables_hold(frames, tables)
        clear(tables)
        last += 1
    assert last > 10
    check(frames, tables)


def assert_tables_hold(frames: list[Frame], tables: Database) -> None:
    """Assert that the tables hold these frames after a crash."""
    fills = all_fills(frames)
    assert silver(tables) == expected_silver(fills)
    assert gold(tables) == expected_gold(fills)
    check_gaps(fills, tables)
    # Lost with the crash: which trades came late to a candle that was not stored yet.
    stored_certificates, expected = certificates(tables), oracle.certificates(fills)
    for certificate in (*stored_certificates.values(), *expected.values()):
        del certificate["revision"]
    assert stored_certificates == expected
    check_revisions(tables)
    check_watermarks(fills, tables)
