"""Markets of connections: when they are lost, and since when."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from candlewax.core.gaps.market_connections import EVENT_START, MarketConnections
from candlewax.core.gaps.market_outages import (
    CONNECTED,
    DISCONNECTED,
    DROPPED,
    LOST,
    REFUSED,
    STALLED,
    SUBSCRIBED,
    SubscriptionEvent,
)
from candlewax.core.schema import KIND_CONTROL, KIND_TRADE, TIME, Columns
from candlewax.exchanges import EXCHANGES, counts_trades

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FRAME = "frame"
TRADE = "trade"
"""Kinds of steps that are frames of the exchange, without trades and with some."""

SILENT = "silent"
"""Kind of an event that tells nothing of markets."""

Step = tuple[int, str, str, str]
"""A time in microseconds, the connection, what it was, and the market or the process."""


def observe(connections: MarketConnections, *steps: Step) -> list[tuple[str, int, int]]:
    """Observe frames and events as one batch; return the outages: market, begin and end.

    A CONNECTED, DISCONNECTED or STALLED step names the process.
    """
    events = []
    for row, (_, _, kind, name) in enumerate(steps):
        if kind in (CONNECTED, DISCONNECTED):
            events.append(SubscriptionEvent(row, kind, process=name))
        elif kind == STALLED:
            events.append(SubscriptionEvent(row, DISCONNECTED, process=name, has_stalled=True))
        elif kind not in (FRAME, TRADE, SILENT):
            symbols = (name.upper(),)
            event = SubscriptionEvent(row, kind, symbols, process="p", native_symbols=(name,))
            events.append(event)
    rows = [
        (
            name,
            EPOCH + timedelta(microseconds=at),
            "[]" if kind in (FRAME, TRADE) else f'{EVENT_START}"x"}}',
            KIND_TRADE if kind == TRADE else KIND_CONTROL,
        )
        for at, name, kind, _ in steps
    ]
    schema: Columns = {
        "connection": pl.String, "received_at": TIME, "frame": pl.String, "kind": pl.Int8,
    }  # fmt: skip
    ended = connections.observe(pl.DataFrame(rows, schema, orient="row"), events)
    return [(outage.symbol, outage.began, outage.ended) for outage in ended]


OPEN: Sequence[Step] = (
    (10, "x", CONNECTED, "p"),
    (12, "x", SUBSCRIBED, "a"),
    (20, "x", FRAME, ""),
)


@pytest.mark.parametrize(
    ("steps", "outages"),
    [
        ([(30, "x", DISCONNECTED, "p"), (40, "x", SUBSCRIBED, "a")], [("A", 20, 40)]),
        ([(30, "x", DISCONNECTED, "p"), (40, "y", SUBSCRIBED, "a")], [("A", 20, 40)]),
        ([(30, "x", CONNECTED, "p"), (40, "x", SUBSCRIBED, "a")], [("A", 20, 40)]),
        ([(30, "y", CONNECTED, "q"), (40, "x", SUBSCRIBED, "a")], [("A", 20, 40)]),
        ([(25, "x", SILENT, ""), (30, "x", DISCONNECTED, "p"), (40, "x", SUBSCRIBED, "a")],
         [("A", 20, 40)]),
        ([(25, "y", FRAME, ""), (30, "x", DISCONNECTED, "p"), (40, "x", SUBSCRIBED, "a")],
         [("A", 20, 40)]),
        ([(30, "x", DISCONNECTED, "p"), (35, "x", FRAME, ""), (40, "x", SUBSCRIBED, "a")],
         [("A", 20, 40)]),
        ([(30, "x", DISCONNECTED, "p"), (40, "x", REFUSED, "a"), (50, "x", SUBSCRIBED, "a")],
         [("A", 20, 40)]),
        ([(30, "x", DISCONNECTED, "p"), (19, "x", SUBSCRIBED, "a")], [("A", 20, 21)]),
        ([(30, "y", CONNECTED, "p"), (40, "x", SUBSCRIBED, "a")], []),
        ([(30, "x-1of2-0", CONNECTED, "q"), (40, "x", SUBSCRIBED, "a")], []),
        ([(30, "xb", SUBSCRIBED, "a"), (40, "x", DISCONNECTED, "p"), (50, "x", SUBSCRIBED, "a")],
         []),
        ([(30, "x", DISCONNECTED, "q"), (40, "x", SUBSCRIBED, "a")], []),
        ([(30, "x", DISCONNECTED, "p"), (40, "x", SUBSCRIBED, "b")], []),
        ([(25, "x", DROPPED, "a"), (30, "x", DISCONNECTED, "p"), (40, "x", SUBSCRIBED, "a")], []),
        ([(25, "x", REFUSED, "a"), (30, "x", DISCONNECTED, "p"), (40, "x", SUBSCRIBED, "a")], []),
        ([(25, "x", LOST, "a"), (40, "x", SUBSCRIBED, "a")], []),
        ([(30, "x", DISCONNECTED, "p")], []),
        ([(30, "x", STALLED, "p"), (40, "x", SUBSCRIBED, "a")], [("A", 12, 40)]),
        ([(22, "x", TRADE, ""), (25, "x", FRAME, ""), (30, "x", STALLED, "p"),
          (40, "x", SUBSCRIBED, "a")], [("A", 22, 40)]),
    ],
    ids=[
        "again", "on another connection", "without an end", "by another process",
        "an event is no frame", "a frame of another connection", "a frame of the next connection",
        "until it is refused", "a clock set back", "another connection of the process",
        "another shard", "replaced in time", "end of the connection before", "another market",
        "dropped", "refused before", "frames lost", "goes on", "stalled without a trade", "stalled",
    ],
)  # fmt: skip
def test_market_is_lost_since_the_last_frame_of_its_connection(
    steps: list[Step], outages: list[tuple[str, int, int]]
) -> None:
    """Until a connection is subscribed to it; alike in one batch and frame by frame."""
    assert observe(MarketConnections(), *OPEN, *steps) == outages
    one_by_one = MarketConnections()
    found = [outage for step in (*OPEN, *steps) for outage in observe(one_by_one, step)]
    assert found == outages


def test_market_of_two_dead_connections_is_lost_since_the_later_frame() -> None:
    """As when a process is killed while it replaces one by the other."""
    steps = [
        *OPEN, (22, "xb", SUBSCRIBED, "a"), (25, "x", FRAME, ""), (30, "x", CONNECTED, "q"),
        (40, "x", SUBSCRIBED, "a"),
    ]  # fmt: skip
    assert observe(MarketConnections(), *steps) == [("A", 25, 40)]


def test_events_that_the_tables_hold_change_nothing() -> None:
    """Those of another process with the same connection do."""
    connections = MarketConnections(known_until_us={("x", "p"): 30})
    assert observe(connections, *OPEN, (30, "x", DISCONNECTED, "p")) == []
    assert not connections.carriers
    assert not connections.lost_since_us
    observe(connections, (31, "x", SUBSCRIBED, "a"), (32, "x", FRAME, ""))
    assert observe(connections, (20, "x", CONNECTED, "q"), (40, "x", SUBSCRIBED, "a")) == [
        ("A", 32, 40)
    ]


def test_exchanges_whose_ids_do_not_count_trades_are_known() -> None:
    """Their REST shows no gaps; that of Bybit shows the newest trades only."""
    uncounted = {name for name in EXCHANGES if not counts_trades(name)}
    assert {name for name, each in EXCHANGES.items() if not each.rest.shows_gaps} <= uncounted
    assert uncounted == {"bitfinex", "bitstamp", "gemini", "bybit", "bybit_linear"}
    assert counts_trades("unknown")
