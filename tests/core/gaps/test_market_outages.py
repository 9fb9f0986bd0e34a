"""Outages of single markets: since when, until when, and when they are proven."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from candlewax.core.gaps.market_outages import (
    CONNECTED,
    DISCONNECTED,
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

Said = tuple[int, str, str]
"""A time, what happened to the connection `c`, and the market it names."""


def follow(
    outages: MarketOutages, said: Sequence[Said], latest: dict[str, int] | None = None
) -> list[tuple[str, int, int, int]]:
    """What a batch of such events says; times from START, of one that goes on 0."""
    bronze = pl.DataFrame(
        [("c", EPOCH + timedelta(microseconds=START + at)) for at, *_ in said],
        {"connection": pl.String, "received_at": TIME},
        orient="row",
    )
    events = [
        SubscriptionEvent(row, kind, (symbol,) if symbol else ())
        for row, (_, kind, symbol) in enumerate(said)
    ]
    times = {symbol: START + time for symbol, time in (latest or {}).items()}
    return [_from_start(one) for one in outages.apply_events(bronze, events, times)]


def _from_start(one: MarketOutage) -> tuple[str, int, int, int]:
    return one.symbol, one.began - START, one.since - START, max(0, one.ended - START)


def over(since: int, ended: int) -> MarketOutages:
    """An outage of a market that is over."""
    return MarketOutages(unproven={"A/B": [(START + since, START + ended)]})


def trades(received: int, via: int = WEBSOCKET, symbol: str = "A/B") -> pl.DataFrame:
    """A trade received at a time."""
    moment = EPOCH + timedelta(microseconds=START + received)
    schema: Columns = {"symbol": pl.Categorical, "via": pl.Int8, "received_at": TIME}
    return pl.DataFrame([(symbol, via, moment)], schema, orient="row")


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
    before: list[Said], latest: dict[str, int], began: int, since: int
) -> None:
    """And no candle since the last trade before is proven, as others may have been on their way."""
    outages = MarketOutages()
    found = follow(outages, [*before, (50, REFUSED, "A/B")], latest)
    assert found == [("A/B", began, since, 0)]
    assert outages.time_ranges() == [("A/B", START + since, FOREVER)]
    assert follow(outages, [(60, REFUSED, "A/B")]) == []


@pytest.mark.parametrize(("at", "ended"), [(49, 51), (50, 51), (51, 51), (80, 80)])
def test_outage_ends_after_it_began(at: int, ended: int) -> None:
    """Also by a clock that was set back; a window that begins at its end is none of it."""
    outages = MarketOutages()
    follow(outages, [(50, REFUSED, "A/B")])
    assert follow(outages, [(at, SUBSCRIBED, "A/B")]) == [("A/B", 50, 50, ended)]
    assert outages.time_ranges() == [("A/B", START + 50, START + ended - 1)]


@pytest.mark.parametrize(
    ("came", "proven"),
    [
        (trades(8), False), (trades(9), True), (trades(10), True), (trades(99, REST), False),
        (trades(99, DUMP), False), (trades(99, symbol="C/D"), False),
    ],
    ids=["before its end", "at its end", "later", "by REST", "of a dump", "of another market"],
)  # fmt: skip
def test_outage_is_proven_by_a_trade_received_over_a_websocket_since(
    came: pl.DataFrame, proven: bool
) -> None:
    """Its number tells what was missed; the outage is told once and then forgotten."""
    outages = over(3, 9)
    assert outages.take_proven(came) == ([("A/B", START + 3, START + 9)] if proven else [])
    assert bool(outages) is not proven
    assert outages.take_proven(trades(100)) == ([] if proven else [("A/B", START + 3, START + 9)])
    assert outages.time_ranges() == []
