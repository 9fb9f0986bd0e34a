"""Stored connections of an exchange with the markets that they carried."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

import polars as pl

from candlewax.core.gaps.market_connections import EVENT_START, MarketConnections
from candlewax.core.gaps.market_outages import (
    CONNECTED,
    DISCONNECTED,
    SUBSCRIBED,
    SubscriptionEvent,
    subscription_event,
)
from candlewax.core.schema import KIND_CONTROL, KIND_TRADE
from candlewax.exchanges.protocol.fields import FrameError, parse

OWN_CONNECTION: Final = """(
    empty(extractGroups(toString(connection), '-([0-9]+)of([0-9]+)-[0-9]+b?$') AS share)
    OR modulo(
        toInt64OrZero(share[1]) - {shard:UInt32}, gcd(toUInt64OrZero(share[2]), {shards:UInt32})
    ) = 0
)"""
"""Condition on frames: those of connections that any market of the parameters' shard may have, as
`shard_of_connection` says."""

_EVENTS: Final = f"""
SELECT DISTINCT toString(connection) AS connection, toUnixTimestamp64Micro(received_at) AS at_us,
    received_ns, source_offset, frame
FROM bronze_frames
WHERE exchange = {{exchange:String}} AND kind = 'control' AND startsWith(frame, {{start:String}})
    AND {OWN_CONNECTION}
ORDER BY received_at, received_ns, source_offset
"""

_LAST_FRAMES: Final = """
WITH
    transform(toString(connection), {names:Array(String)}, {begins:Array(Int64)}, toInt64(0))
        AS begin,
    transform(toString(connection), {names:Array(String)}, {ends:Array(Int64)}, toInt64(0)) AS end
SELECT toString(connection) AS name, toUnixTimestamp64Micro(max(received_at)) AS latest_us
FROM bronze_frames
WHERE exchange = {exchange:String} AND connection IN {names:Array(String)}
    AND received_at >= fromUnixTimestamp64Micro(begin, 'UTC')
    AND received_at <= fromUnixTimestamp64Micro(end, 'UTC')
"""

# Events are told from the other control frames by their text.
_NO_EVENTS: Final = " AND (kind != 'control' OR NOT startsWith(frame, {start:String}))"

_TRADES: Final = " AND kind = 'trade'"

_BY_NAME: Final = " GROUP BY name"

_SEARCHED_US: Final = 3_600_000_000
"""Time before the last frame or event of a connection in which the text of its frames is read. A
connection without any other frame in it counts as silent before."""

_NO_END: Final = 4_102_444_800_000_000

Query = Callable[..., pl.DataFrame]
"""Runs a query of an exchange, with parameters."""


class _StoredEvent(NamedTuple):
    """An event of a connection that was received at a time, in microseconds since 1970."""

    connection: str
    at_us: int
    event: SubscriptionEvent


def read_carriers(query: Query, exchange: str) -> MarketConnections:
    """Return the connections as the stored frames show them.

    Of each connection the events since it was last subscribed are followed, in the order of
    receipt. Markets whose connection was lost before the frames that are still stored, and that no
    connection was subscribed to since, are not known.
    """
    events = _read_events(query(_EVENTS, exchange, start=EVENT_START))
    spans = _spans_of_subscriptions(events)
    last_frames, last_trades = _read_last_frames(query, exchange, spans)
    connections = MarketConnections()
    for place, (name, at_us, event) in enumerate(events):
        if name in spans and place >= spans[name].first:
            connections.apply(name, at_us, event)
            if event.kind == SUBSCRIBED:
                connections.record_frames([(name, last_frames[name], KIND_CONTROL)])
                connections.record_frames([(name, last_trades.get(name, 0), KIND_TRADE)])
    known_until_us = connections.known_until_us
    for name, at_us, event in events:
        key = name, event.process
        known_until_us[key] = max(at_us, known_until_us.get(key, at_us))
    return connections


def _read_events(rows: pl.DataFrame) -> list[_StoredEvent]:
    events = []
    for connection, at_us, _, _, frame in rows.iter_rows():
        try:
            event = subscription_event(0, parse(frame))
        except FrameError:
            continue
        if event:
            named = event._replace(native_symbols=event.symbols)
            events.append(_StoredEvent(connection, at_us, named))
    return events


class _Span(NamedTuple):
    """Life of a connection: place of its first event, and its begin and end in microseconds."""

    first: int
    begin_us: int
    end_us: int


def _spans_of_subscriptions(events: Iterable[_StoredEvent]) -> dict[str, _Span]:
    """Return, by name, the life of the connection in which it was last subscribed."""
    opened: dict[str, _Span] = {}
    spans: dict[str, _Span] = {}
    for place, (name, at_us, event) in enumerate(events):
        if event.kind == CONNECTED:
            opened[name] = _Span(place, at_us, _NO_END)
        elif event.kind == SUBSCRIBED:
            spans[name] = opened.get(name) or _Span(place, at_us, _NO_END)
        is_over = event.kind in (CONNECTED, DISCONNECTED)
        if is_over and name in spans and spans[name].end_us == _NO_END:
            spans[name] = spans[name]._replace(end_us=at_us)
    return spans


def _read_last_frames(
    query: Query, exchange: str, spans: Mapping[str, _Span]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return, by connection, when the last frame that is no event came in its span, and the last
    one with trades, if any.
    """
    if not spans:
        return {}, {}
    parameters: dict[str, Any] = {
        "names": list(spans),
        "begins": [span.begin_us for span in spans.values()],
        "ends": [span.end_us for span in spans.values()],
    }
    latest = dict(query(_LAST_FRAMES + _BY_NAME, exchange, **parameters).iter_rows())
    trades = dict(query(_LAST_FRAMES + _TRADES + _BY_NAME, exchange, **parameters).iter_rows())
    searched = {name: latest.get(name, 0) - _SEARCHED_US for name in spans}
    parameters["begins"] = [max(span.begin_us, searched[name]) for name, span in spans.items()]
    sql = _LAST_FRAMES + _NO_EVENTS + _BY_NAME
    found = dict(query(sql, exchange, **parameters, start=EVENT_START).iter_rows())
    return {name: found.get(name, searched[name]) for name in spans}, trades
