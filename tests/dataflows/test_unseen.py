"""Outages, through the whole pipeline into real tables."""

from pathlib import Path

import pytest
from bytewax.testing import TestingSource
from hypothesis import given
from hypothesis import strategies as st

from candlewax.clickhouse.client import Database
from tests.support.crashing import stores
from tests.support.examples import examples
from tests.support.markets import CUTS
from tests.support.playing import EPOCH_ZERO, Frame, clear, play, received

pytestmark = pytest.mark.slow("each example runs the whole pipeline", seconds=3)

MINUTE = 60_000_000

KINDS = st.lists(st.sampled_from(["up", "down", "killed", "trade"]), max_size=20)


def feed(kinds: list[str]) -> tuple[list[Frame], list[tuple[int, int]]]:
    """Frames of a connection, a minute apart, and their outages."""
    frames, is_alive, process, down_since, last_heard = list[Frame](), False, 0, 0, 0
    expected = []
    for seq, kind in enumerate(kinds):
        at = EPOCH_ZERO + seq * MINUTE
        if kind == "killed":
            is_alive, down_since = False, last_heard if is_alive else down_since
            process += 1
            continue
        if (kind == "up") == is_alive:
            continue
        if kind == "trade":
            text = (
                f'{{"e":"trade","E":1,"s":"BTCUSDT","t":{seq + 1},"p":"1","q":"1",'
                f'"T":{at // 1000},"m":true,"M":true}}'
            )
        else:
            event = "connected" if kind == "up" else "disconnected"
            text = f'{{"candlewax":"{event}","process":"{process}"}}'
            expected += [(down_since, at)] if down_since and not is_alive else []
            is_alive, down_since = not is_alive, 0 if not is_alive else at
        frames.append(Frame("binance", "b0", seq, at, text, ()))
        last_heard = at
    return frames, expected


def outages(tables: Database) -> list[tuple[int, int]]:
    return tables.query(
        """
        SELECT toUnixTimestamp64Micro(o.began) AS began, toUnixTimestamp64Micro(o.ended) AS ended
        FROM outages AS o FINAL ORDER BY o.began
        """
    ).rows()


@pytest.mark.parametrize("recovering", [True, False])
@given(kinds=KINDS, cuts=CUTS, place=st.integers(0, 6))
@examples(4)
def test_outages_do_not_depend_on_batches_and_restarts(
    tables: Database,
    tmp_path_factory: pytest.TempPathFactory,
    kinds: list[str],
    cuts: list[int],
    place: int,
    recovering: bool,
) -> None:
    """In a process that is aborted and resumes, or one that starts from the tables."""
    clear(tables)
    frames, expected = feed(["up", "trade", *kinds])
    items: list[object] = list(received(frames, cuts))
    if recovering:
        folder: Path | None = stores(tmp_path_factory)
        items.insert(min(place, len(items)), TestingSource.ABORT())
        play(items, tables, folder)
        play(items, tables, folder)
    else:
        play(items[: place + 1], tables)
        play(items[max(0, place - 1) :], tables)
    assert outages(tables) == expected
