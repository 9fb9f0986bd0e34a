"""Outages against a timeline walked through second by second."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.gaps.outages import ConnectionEvent, OutageTracker, connection_event
from candlewax.core.schema import KIND_CONTROL, KIND_TRADE

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Frame = tuple[int, str, str, str]
"""Microseconds, connection, what it says ("" if no event), process."""


def hear(connections: OutageTracker, frames: Sequence[Frame]) -> list[tuple[int, int]]:
    """What ends with a batch."""
    bronze = pl.DataFrame(
        {
            "received_at": [EPOCH + timedelta(microseconds=at) for at, *_ in frames],
            "connection": [name for _, name, *_ in frames],
            "kind": [KIND_TRADE if said == "trade" else KIND_CONTROL for *_, said, _ in frames],
        },
        {"received_at": pl.Datetime("us", "UTC"), "connection": pl.String, "kind": pl.Int8},
    )
    found = [
        connection_event(
            row, {"candlewax": said, "process": process} if process else {"candlewax": said}
        )
        for row, (_, _, said, process) in enumerate(frames)
        if said
    ]
    return list(connections.observe(bronze, [e for e in found if e]).iter_rows())


def up(at: int, name: str = "a", process: str = "p") -> Frame:
    return at, name, "connected", process


def down(at: int, name: str = "a", process: str = "p") -> Frame:
    return at, name, "disconnected", process


def frame(at: int, name: str = "a") -> Frame:
    return at, name, "", ""


def trade(at: int, name: str = "a") -> Frame:
    return at, name, "trade", ""


STORIES: list[tuple[str, list[Frame], list[tuple[int, int]]]] = [
    ("nothing was there before", [up(5), frame(6)], []),
    ("a reconnect", [up(5), frame(6), down(8), up(11)], [(8, 11)]),
    ("what goes on is not over", [up(5), down(8), frame(9)], []),
    ("a rotation overlaps", [up(5), up(9, "ab"), down(10), down(20, "ab"), up(22)], [(20, 22)]),
    ("another one lives", [up(1), up(2, "b"), down(3), up(5), down(6, "b"), up(7, "b")], []),
    (
        "the last one counts",
        [up(1), up(2, "b"), down(3), down(4, "b"), up(8), up(9, "b")],
        [(4, 8)],
    ),
    ("a killed process", [up(1), frame(4), up(9, process="q")], [(4, 9)]),
    (
        "a killed process takes all it held with it",
        [
            up(1),
            up(2, "b"),
            frame(4, "b"),
            up(9, process="q"),
            down(12, process="q"),
            up(15, process="q"),
        ],
        [(4, 9), (12, 15)],
    ),
    (
        "a killed process that held other names",
        [
            up(1),
            up(2, "ab"),
            down(3),
            frame(4, "ab"),
            up(9, process="q"),
            down(10, process="q"),
            up(12, process="q"),
        ],
        [(4, 9), (10, 12)],
    ),
    (
        "what is killed while it is down",
        [up(1), down(4), frame(5), up(9, process="q")],
        [(4, 9)],
    ),
    ("an end that was lost", [up(1), frame(4), up(9)], [(4, 9)]),
    ("an end that was lost while another one lives", [up(1), up(2, "b"), frame(4), up(9)], []),
    ("processes without names", [up(1, process=""), frame(4), up(9, process="")], [(4, 9)]),
    (
        "all die with a process without a name",
        [up(1, process=""), up(2, "b", ""), frame(4), up(9, process=""), up(10, "b", "")],
        [(4, 9)],
    ),
    (
        "answers of REST keep nobody alive",
        [up(1), frame(4), frame(6, "rest/X"), frame(7, "dump/X"), up(9, process="q")],
        [(4, 9)],
    ),
    ("one that nobody saw begin", [frame(1), down(2), up(5)], []),
    ("frames without events", [frame(1), frame(1000)], []),
    (
        "the parts of a feed are read in turn",
        [up(1), down(8), up(7, "b"), down(9, "b"), up(12)],
        [(9, 12)],
    ),
    (
        "a process takes over before the one before it ends",
        [up(1), up(5, process="q"), down(7), frame(8), down(12, process="q"), up(15, process="q")],
        [(1, 5), (12, 15)],
    ),
    (
        "a second process that goes again",
        [
            up(1),
            trade(4),
            up(4, process="q"),
            down(9, process="q"),
            trade(12),
            frame(20),
            up(30, process="r"),
        ],
        [(20, 30)],
    ),
    (
        "trades from before it was down, from REST and by dumps tell nothing",
        [up(1), down(9), trade(8, "b"), trade(12, "rest/X"), trade(13, "dump/X"), up(20)],
        [(9, 20)],
    ),
    (
        "other events",
        [
            up(1),
            (2, "a", "subscribed", "p"),
            (3, "a", "rotating", "p"),
            down(4),
            (5, "a", "failed", "p"),
            up(6),
        ],
        [(4, 6)],
    ),
]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [story[1:] for story in STORIES],
    ids=[story[0] for story in STORIES],
)
def test_an_outage_is_the_time_without_any_connection(
    frames: list[Frame], expected: list[tuple[int, int]]
) -> None:
    """However its frames are cut into batches."""
    for size in (1, 2, 3, len(frames)):
        connections, found = OutageTracker(), []
        for begin in range(0, len(frames), size):
            found += hear(connections.copy(), frames[begin : begin + size])
            hear(connections, frames[begin : begin + size])
        assert found == expected
        assert connections.pending == expected


@given(
    st.lists(st.tuples(st.sampled_from("abk."), st.integers(1, 4)), max_size=40),
    st.integers(1, 7),
)
def test_outages_are_those_of_a_timeline(steps: list[tuple[str, int]], size: int) -> None:
    """Of connections that come and go, of frames, and of processes that are killed."""
    frames, alive, at = list[Frame](), set[str](), 0
    process, processes, dark = "p0", (f"p{n}" for n in count(1)), None
    heard, known, expected = 0, False, list[tuple[int, int]]()
    for what, after in steps:
        at += after
        if what == "k":
            if alive:
                dark = heard
            alive, process = set(), next(processes)
            continue
        if what == ".":
            if not alive:
                continue
            frames.append(frame(at, min(alive)))
        elif what in alive:
            frames.append(down(at, what, process))
            alive.remove(what)
            dark = dark if alive else at
        else:
            frames.append(up(at, what, process))
            if not alive and known and dark is not None:
                expected.append((dark, at))
            alive, known, dark = alive | {what}, True, None
        heard = at
    connections, found = OutageTracker(), []
    for begin in range(0, len(frames), size):
        found += hear(connections, frames[begin : begin + size])
    assert found == expected


def trades(*times: int) -> pl.DataFrame:
    """Trades received at these microseconds."""
    at = [EPOCH + timedelta(microseconds=time) for time in times]
    return pl.DataFrame({"received_at": at}, {"received_at": pl.Datetime("us", "UTC")})


def test_an_outage_waits_for_the_first_trade_behind_it() -> None:
    """And is given once."""
    connections = OutageTracker()
    hear(connections, [up(1), down(4), up(9), down(12), up(15)])
    assert connections.take_confirmed(trades()).is_empty()
    assert connections.take_confirmed(trades(8)).is_empty()
    assert connections.copy().take_confirmed(trades(9, 3)).rows() == [(4, 9)]
    assert connections.take_confirmed(trades(20)).rows() == [(4, 9), (12, 15)]
    assert connections.take_confirmed(trades(30)).is_empty()


def test_events_that_are_known_already_are_passed_over() -> None:
    """A process that begins with the tables may read the same frames again."""
    connections = OutageTracker({"a": "p"}, None, 20, [], {"a": 11})
    assert hear(connections, [up(5), down(8), up(11), frame(12)]) == []
    assert hear(connections, [frame(22), down(25), up(27)]) == [(25, 27)]


@pytest.mark.parametrize(
    "content", [{"candlewax": 5}, {"candlewax": None}, {"candlewax": []}, {"candlewax": "stalled"}]
)
def test_what_matters_to_no_outage_is_no_event(content: dict[str, Any]) -> None:
    """Whatever a frame says."""
    assert connection_event(3, content) is None
    assert connection_event(3, {"candlewax": "connected", "process": 7}) == ConnectionEvent(
        3, True, ""
    )
