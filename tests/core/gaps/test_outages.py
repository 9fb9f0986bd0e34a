"""Outages against a timeline of connections, second by second."""

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
"""Microseconds, connection, event ("" if none), process."""


def observe(connections: OutageTracker, frames: Sequence[Frame]) -> list[tuple[int, int]]:
    """Apply frames as one batch; return the outages that end in it."""
    bronze = pl.DataFrame(
        {
            "received_at": [EPOCH + timedelta(microseconds=at) for at, *_ in frames],
            "connection": [name for _, name, *_ in frames],
            "kind": [KIND_TRADE if event == "trade" else KIND_CONTROL for *_, event, _ in frames],
        },
        {"received_at": pl.Datetime("us", "UTC"), "connection": pl.String, "kind": pl.Int8},
    )
    events = [
        connection_event(
            row, {"candlewax": event, "process": process} if process else {"candlewax": event}
        )
        for row, (_, _, event, process) in enumerate(frames)
        if event
    ]
    return list(connections.observe(bronze, [e for e in events if e]).iter_rows())


def up(at: int, name: str = "a", process: str = "p") -> Frame:
    return at, name, "connected", process


def down(at: int, name: str = "a", process: str = "p") -> Frame:
    return at, name, "disconnected", process


def frame(at: int, name: str = "a") -> Frame:
    return at, name, "", ""


def trade(at: int, name: str = "a") -> Frame:
    return at, name, "trade", ""


STORIES: list[tuple[str, list[Frame], list[tuple[int, int]]]] = [
    ("no connection before", [up(5), frame(6)], []),
    ("a reconnect", [up(5), frame(6), down(8), up(11)], [(8, 11)]),
    ("an outage without an end", [up(5), down(8), frame(9)], []),
    ("a rotation overlaps", [up(5), up(9, "ab"), down(10), down(20, "ab"), up(22)], [(20, 22)]),
    (
        "another connection is alive",
        [up(1), up(2, "b"), down(3), up(5), down(6, "b"), up(7, "b")],
        [],
    ),
    (
        "the last connection to end counts",
        [up(1), up(2, "b"), down(3), down(4, "b"), up(8), up(9, "b")],
        [(4, 8)],
    ),
    ("a killed process", [up(1), frame(4), up(9, process="q")], [(4, 9)]),
    (
        "a killed process ends all its connections",
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
        "a killed process with connections of other names",
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
        "a process killed during an outage",
        [up(1), down(4), frame(5), up(9, process="q")],
        [(4, 9)],
    ),
    ("a lost end", [up(1), frame(4), up(9)], [(4, 9)]),
    ("a lost end while another connection is alive", [up(1), up(2, "b"), frame(4), up(9)], []),
    ("processes without names", [up(1, process=""), frame(4), up(9, process="")], [(4, 9)]),
    (
        "all connections of a process without a name end",
        [up(1, process=""), up(2, "b", ""), frame(4), up(9, process=""), up(10, "b", "")],
        [(4, 9)],
    ),
    (
        "REST frames keep no connection alive",
        [up(1), frame(4), frame(6, "rest/X"), frame(7, "dump/X"), up(9, process="q")],
        [(4, 9)],
    ),
    ("a connection without a start", [frame(1), down(2), up(5)], []),
    ("frames without events", [frame(1), frame(1000)], []),
    (
        "the parts of a feed are read in turn",
        [up(1), down(8), up(7, "b"), down(9, "b"), up(12)],
        [(9, 12)],
    ),
    (
        "a process starts before the last one ends",
        [up(1), up(5, process="q"), down(7), frame(8), down(12, process="q"), up(15, process="q")],
        [(1, 5), (12, 15)],
    ),
    (
        "a second process that ends",
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
        "trades from before the outage, from REST and from dumps",
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
def test_outage_is_the_time_without_any_connection(
    frames: list[Frame], expected: list[tuple[int, int]]
) -> None:
    """The cut of frames into batches does not matter."""
    for size in (1, 2, 3, len(frames)):
        connections, outages = OutageTracker(), []
        for begin in range(0, len(frames), size):
            outages += observe(connections.copy(), frames[begin : begin + size])
            observe(connections, frames[begin : begin + size])
        assert outages == expected
        assert connections.pending == expected


@given(
    st.lists(st.tuples(st.sampled_from("abk."), st.integers(1, 4)), max_size=40),
    st.integers(1, 7),
)
def test_outages_match_timeline(steps: list[tuple[str, int]], size: int) -> None:
    """Connections come and go, frames arrive, and processes are killed."""
    frames, alive, at = list[Frame](), set[str](), 0
    process, processes, down_since = "p0", (f"p{n}" for n in count(1)), None
    last_frame, was_alive, expected = 0, False, list[tuple[int, int]]()
    for step, pause in steps:
        at += pause
        if step == "k":
            if alive:
                down_since = last_frame
            alive, process = set(), next(processes)
            continue
        if step == ".":
            if not alive:
                continue
            frames.append(frame(at, min(alive)))
        elif step in alive:
            frames.append(down(at, step, process))
            alive.remove(step)
            down_since = down_since if alive else at
        else:
            frames.append(up(at, step, process))
            if not alive and was_alive and down_since is not None:
                expected.append((down_since, at))
            alive, was_alive, down_since = alive | {step}, True, None
        last_frame = at
    connections, outages = OutageTracker(), []
    for begin in range(0, len(frames), size):
        outages += observe(connections, frames[begin : begin + size])
    assert outages == expected


def trades(*times: int) -> pl.DataFrame:
    """Trades received at these microseconds."""
    at = [EPOCH + timedelta(microseconds=time) for time in times]
    return pl.DataFrame({"received_at": at}, {"received_at": pl.Datetime("us", "UTC")})


def test_outage_is_confirmed_once_by_the_first_trade_after_it() -> None:
    connections = OutageTracker()
    observe(connections, [up(1), down(4), up(9), down(12), up(15)])
    assert connections.take_confirmed(trades()).is_empty()
    assert connections.take_confirmed(trades(8)).is_empty()
    assert connections.copy().take_confirmed(trades(9, 3)).rows() == [(4, 9)]
    assert connections.take_confirmed(trades(20)).rows() == [(4, 9), (12, 15)]
    assert connections.take_confirmed(trades(30)).is_empty()


def test_events_before_the_restored_time_are_skipped() -> None:
    """A process that restarts from the tables may read the same frames again."""
    connections = OutageTracker({"a": "p"}, None, 20, [], {"a": 11})
    assert observe(connections, [up(5), down(8), up(11), frame(12)]) == []
    assert observe(connections, [frame(22), down(25), up(27)]) == [(25, 27)]


@pytest.mark.parametrize(
    "content", [{"candlewax": 5}, {"candlewax": None}, {"candlewax": []}, {"candlewax": "stalled"}]
)
def test_control_frame_of_other_kind_is_no_connection_event(content: dict[str, Any]) -> None:
    """Only "connected" and "disconnected" count, whatever the type of the field."""
    assert connection_event(3, content) is None
    assert connection_event(3, {"candlewax": "connected", "process": 7}) == ConnectionEvent(
        3, True, ""
    )
