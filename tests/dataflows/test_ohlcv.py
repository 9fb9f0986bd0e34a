"""The whole pipeline, through Bytewax into a real ClickHouse."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from bytewax.recovery import init_db_dir
from bytewax.testing import TestingSource
from hypothesis import given, settings
from hypothesis import strategies as st

from candlewax.clickhouse import overview
from candlewax.clickhouse.client import Database
from tests.support import oracle
from tests.support.oracle import Fill
from tests.support.playing import (
    EPOCH_ZERO,
    Frame,
    all_fills,
    binance,
    certificates,
    check,
    check_gaps,
    check_revisions,
    check_watermarks,
    clear,
    expected_gold,
    expected_silver,
    gold,
    markets,
    play,
    received,
    silver,
)

CUTS = st.lists(st.integers(1, 25), max_size=6)


def stores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recovery")
    init_db_dir(folder, 1)
    return folder


@given(markets(), CUTS)
@settings(max_examples=10)
def test_any_cut_into_batches_gives_the_candles_of_all_trades(
    tables: Database, frames: list[Frame], cuts: list[int]
) -> None:
    """Silver and gold equal the oracle's, late trades, ties and repeats included."""
    clear(tables)
    play(received(frames, cuts), tables)
    check(frames, tables)


@given(markets(), st.randoms(use_true_random=False), CUTS)
@settings(max_examples=6)
def test_any_interleaving_of_connections_gives_the_same_candles(
    tables: Database, frames: list[Frame], chance: random.Random, cuts: list[int]
) -> None:
    """Which connection is heard first changes no trade and no candle."""
    clear(tables)
    lanes = [[f for f in frames if f.connection == name] for name in ("b0", "b1", "k0")]
    mixed = []
    while any(lanes):
        mixed.append(chance.choice([lane for lane in lanes if lane]).pop(0))
    play(received(mixed, cuts), tables)
    check(mixed, tables)


@given(markets(), CUTS, st.integers(0, 6))
@settings(max_examples=6)
def test_a_flow_aborted_anywhere_and_resumed_gives_the_same_tables(
    tables: Database,
    tmp_path_factory: pytest.TempPathFactory,
    frames: list[Frame],
    cuts: list[int],
    place: int,
) -> None:
    """With recovery, what came before and after an abort is there once."""
    clear(tables)
    folder = stores(tmp_path_factory)
    items: list[object] = list(received(frames, cuts))
    items.insert(min(place, len(items)), TestingSource.ABORT())
    play(items, tables, folder)
    play(items, tables, folder)
    check(frames, tables)


@given(markets(), CUTS, st.integers(0, 6))
@settings(max_examples=6)
def test_a_process_with_no_memory_goes_on_from_the_tables(
    tables: Database, frames: list[Frame], cuts: list[int], place: int
) -> None:
    """Without recovery, a fresh process that gets frames it partly had, and new ones,
    ends with the right tables.
    """
    clear(tables)
    items = received(frames, cuts)
    play(items[: place + 1], tables)
    play(items[max(0, place - 1) :], tables)
    check(frames, tables)


@given(markets(), CUTS)
@settings(max_examples=6)
def test_playing_the_same_frames_twice_changes_nothing(
    tables: Database, frames: list[Frame], cuts: list[int]
) -> None:
    """A second run leaves each table with the rows it had."""
    clear(tables)
    play(received(frames, cuts), tables)
    before = overview.count_stored(tables)
    play(received(frames), tables)
    assert overview.count_stored(tables) == before
    check(frames, tables)


class BrokenError(Exception):
    """A crash made for a test."""


@pytest.mark.parametrize("recovering", [True, False])
@given(frames=markets(), cuts=CUTS, last=st.integers(1, 10))
@settings(max_examples=6)
def test_a_crash_right_after_any_insert_loses_nothing(
    tables: Database,
    tmp_path_factory: pytest.TempPathFactory,
    frames: list[Frame],
    cuts: list[int],
    last: int,
    recovering: bool,
) -> None:
    """Whatever insert was the last, the next run ends with the right tables."""
    clear(tables)
    folder = stores(tmp_path_factory) if recovering else None
    items = received(frames, cuts)
    crash(items, tables, last, folder)
    play(items, tables, folder)
    ends_right(frames, tables)


def test_a_process_without_memory_goes_on_after_each_insert(tables: Database) -> None:
    """Whatever insert was the last, also the one but last of all."""
    frames = minutes(110)
    items = received(frames, [60])
    last = 1
    while crash(items, tables, last):
        play(items, tables)
        ends_right(frames, tables)
        clear(tables)
        last += 1
    assert last > 10
    check(frames, tables)


def minutes(count: int) -> list[Frame]:
    """Frames of a trade a second; some in the middle never came."""
    fills = [
        Fill("binance", "BTC/USDT", str(n), n, EPOCH_ZERO + n * 1_000_000, n % 2 > 0,
             Decimal(n * 7919 % 100 + 1), Decimal(n))
        for n in range(1, count)
        if not 40 < n < 45
    ]  # fmt: skip
    return [binance(n, fill.time + 9, fill) for n, fill in enumerate(fills)]


def ends_right(frames: list[Frame], tables: Database) -> None:
    """The tables hold what these frames say, after a crash."""
    fills = all_fills(frames)
    assert silver(tables) == expected_silver(fills)
    assert gold(tables) == expected_gold(fills)
    check_gaps(fills, tables)
    # Which trades came late to a candle that was not stored yet nobody knows any more.
    found, expected = certificates(tables), oracle.certificates(fills)
    for certificate in (*found.values(), *expected.values()):
        del certificate["revision"]
    assert found == expected
    check_revisions(tables)
    check_watermarks(fills, tables)


def crash(items: list[Any], tables: Database, last: int, folder: Path | None = None) -> bool:
    """Play until this many inserts are done, and fail; tells whether it came to that."""
    with crashing(last) as crashed:
        play(items, tables, folder)
    return bool(crashed)


@contextmanager
def crashing(last: int) -> Iterator[list[BaseException]]:
    """Let what is done fail once this many inserts are done; gives how it has failed."""
    crashed: list[BaseException] = []
    with pytest.MonkeyPatch.context() as patch:
        _crash_after(patch, last)
        try:
            yield crashed
        except RuntimeError as error:  # the writer's, or the engine's about it
            if not _is_ours(error):
                raise
            crashed.append(error)


def _is_ours(error: BaseException | None) -> bool:
    """Whether the crash that was made is behind an error."""
    return error is not None and (isinstance(error, BrokenError) or _is_ours(error.__cause__))


def _crash_after(patch: pytest.MonkeyPatch, last: int) -> None:
    """Let the process fail once this many inserts are done."""
    insert = Database.insert
    done = 0

    def once_more(self: Database, *arguments: object) -> None:
        nonlocal done
        if done == last:
            raise BrokenError
        insert(self, *arguments)  # type: ignore[arg-type]
        done += 1

    patch.setattr(Database, "insert", once_more)
