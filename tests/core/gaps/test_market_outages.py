"""Outages of single markets: start, end and proof by a later trade."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from candlewax.core.gaps.market_outages import (
    CONNECTED,
    DISCONNECTED,
    DROPPED,
    FOREVER,
    REFUSED,
    SUBSCRIBED,
    MarketOutage,
    MarketOutages,
    SubscriptionEvent,
)
from candlewax.core.schema import DUMP, REST, TIME, WEBSOCKET, Columns

START = 1_790_000_000_000_000
"""Microseconds since 1970; times of tests count from here."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Event = tuple[int, str, str]
"""A time, what happened to the connection `c`, and the market it names."""


def apply_events(
    outages: MarketOutages, events: Sequence[Event], latest: dict[str, int] | None = None
) -> list[tuple[str, int, int, int]]:
    """Apply events as one batch; return outages with times from START and end 0 if open."""
    bronze = pl.DataFrame(
        [("c", EPOCH + timedelta(microseconds=START + at)) for at, *_ in events],
        {"connection": pl.String, "received_at": TIME},
        orient="row",
    )
    subscription_events = [
        SubscriptionEvent(row, kind, (symbol,) if symbol else ())
        for row, (_, kind, symbol) in enumerate(events)
    ]
    times = {symbol: START + time for symbol, time in (latest or {}).items()}
    return [
        _from_start(outage) for outage in outages.apply_events(bronze, subscription_events, times)
    ]


def _from_start(outage: MarketOutage) -> tuple[str, int, int, int]:
    return outage.symbol, outage.began - START, outage.since - START, max(0, outage.ended - START)


def ended_outage(since: int, ended: int) -> MarketOutages:
    """An outage of a market that has ended."""
    return MarketOutages(unproven={"A/B": [(START + since, START + ended)]})


def trades(
    received: int, via: int = WEBSOCKET, symbol: str = "A/B", sequence: int = 7
) -> pl.DataFrame:
    """A trade received at a time."""
    moment = EPOCH + timedelta(microseconds=START + received)
    schema: Columns = {
        "symbol": pl.Categorical, "via": pl.Int8, "received_at": TIME, "sequence": pl.UInt64,
    }  # fmt: skip
    return pl.DataFrame([(symbol, via, moment, sequence)], schema, orient="row")


@pytest.mark.parametrize(
    ("before", "latest", "began", "since"),
    [
        ([], {}, 50, 50),
        ([(10, CONNECTED, "")], {}, 10, 10),
        ([(10, CONNECTED, "")], {"A/B": 10}, 10, 10),
        ([(10, CONNECTED, "")], {"A/B": 9}, 10, 9),
        ([(10, CONNECTED, "")], {"A/B": 11}, 10, 10),
        ([(10, CONNECTED, "")], {"C/D": 3}, 10, 10),
        ([(5, DISCONNECTED, ""), (10, CONNECTED, "")], {}, 5, 5),
    ],
    ids=[
        "at once", "since it connected", "a trade then", "a trade before", "a trade later",
        "a trade of another", "since the connection before ended",
    ],
)  # fmt: skip
def test_outage_begins_when_the_market_was_last_subscribed(
    before: list[Event], latest: dict[str, int], began: int, since: int
) -> None:
    """Candles since the last trade before it are unproven: a trade may have been in flight."""
    outages = MarketOutages()
    begun = apply_events(outages, [*before, (50, REFUSED, "A/B")], latest)
    assert begun == [("A/B", began, since, 0)]
    assert outages.time_ranges() == [("A/B", START + since, FOREVER)]
    assert apply_events(outages, [(60, REFUSED, "A/B")]) == []


@pytest.mark.parametrize(
    ("trades_of_batch", "since"),
    [
        ([(1, "A/B", 7, 40)], 10),
        ([(0, "A/B", 7, 6)], 6),
        ([(0, "A/B", 7, 6), (0, "A/B", 8, 7), (2, "A/B", 9, 40)], 7),
        ([(0, "C/D", 7, 6)], 10),
        ([(0, "A/B", 0, 6)], 10),
    ],
    ids=["after the event", "before it", "several", "of another market", "without a number"],
)
def test_outage_begins_after_the_last_trade_before_its_event(
    trades_of_batch: list[tuple[int, str, int, int]], since: int
) -> None:
    """Trades that the same batch brings later do not count: batches may be cut anywhere."""
    rows = [
        (row, symbol, number, EPOCH + timedelta(microseconds=START + time))
        for row, symbol, number, time in trades_of_batch
    ]
    schema: Columns = {
        "row": pl.UInt32, "symbol": pl.Categorical, "sequence": pl.UInt64, "timestamp": TIME,
    }  # fmt: skip
    bronze = pl.DataFrame(
        [("c", EPOCH + timedelta(microseconds=START + 10))] * 2,
        {"connection": pl.String, "received_at": TIME},
        orient="row",
    )
    event = SubscriptionEvent(1, REFUSED, ("A/B",))
    batch_trades = pl.DataFrame(rows, schema, orient="row")
    (begun,) = MarketOutages().apply_events(bronze, [event], {}, batch_trades)
    assert _from_start(begun) == ("A/B", 10, since, 0)


@pytest.mark.parametrize(("at", "ended"), [(49, 51), (50, 51), (51, 51), (80, 80)])
def test_outage_ends_after_its_start_even_when_clock_is_set_back(at: int, ended: int) -> None:
    """A window that starts at its end is outside it."""
    outages = MarketOutages()
    apply_events(outages, [(50, REFUSED, "A/B")])
    assert apply_events(outages, [(at, SUBSCRIBED, "A/B")]) == [("A/B", 50, 50, ended)]
    assert outages.time_ranges() == [("A/B", START + 50, START + ended - 1)]


@pytest.mark.parametrize(
    ("received", "proven"),
    [
        (trades(8), False), (trades(9), True), (trades(10), True), (trades(99, REST), False),
        (trades(99, DUMP), False), (trades(99, symbol="C/D"), False),
        (trades(99, sequence=0), False),
    ],
    ids=[
        "before its end", "at its end", "later", "by REST", "of a dump", "of another market",
        "without a number",
    ],
)  # fmt: skip
def test_outage_is_proven_by_the_first_websocket_trade_received_after_its_end(
    received: pl.DataFrame, proven: bool
) -> None:
    """Its number shows which trades were missed. A proven outage is returned only once."""
    outages = ended_outage(3, 9)
    assert outages.take_proven(received) == ([("A/B", START + 3, START + 9)] if proven else [])
    assert bool(outages) is not proven
    assert outages.take_proven(trades(100)) == ([] if proven else [("A/B", START + 3, START + 9)])
    assert outages.time_ranges() == []


def test_dropped_market_is_out_from_then_on() -> None:
    """Not from the begin of its connection: until it was dropped, trades came."""
    outages = MarketOutages()
    events = [(0, CONNECTED, ""), (5, DROPPED, "A/B"), (7, DISCONNECTED, ""), (8, CONNECTED, "")]
    assert apply_events(outages, events, {"A/B": 4}) == [("A/B", 5, 4, 0)]
    assert apply_events(outages, [(9, SUBSCRIBED, "A/B")]) == [("A/B", 5, 4, 9)]
