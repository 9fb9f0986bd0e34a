"""Coinbase: Advanced Trade and Exchange.

Source: Coinbase Developer Documentation, "Advanced Trade WebSocket", section
"Market Trades Channel"; "Exchange WebSocket", section "Matches Channel". In both
`side` is the maker's: a maker who sold was bought from.
"""

from typing import Any

import polars as pl

from candlewax.exchanges._layout import Dialect, Exchange, Layout, Reading, Split
from candlewax.exchanges._shape import INTEGER, TEXT, Field, attempt, bad_shape, read
from candlewax.exchanges._symbols import by_separator
from candlewax.schema import BUY, SELL

ADVANCED_TRADE = {
    "product_id": Field(TEXT),
    "trade_id": Field(TEXT),
    "price": Field(TEXT),
    "size": Field(TEXT),
    "side": Field(TEXT),
    "time": Field(TEXT),
}

MATCH = {
    "type": Field(TEXT),
    "trade_id": Field(INTEGER),
    "maker_order_id": Field(TEXT, optional=True),
    "taker_order_id": Field(TEXT, optional=True),
    "side": Field(TEXT),
    "size": Field(TEXT),
    "price": Field(TEXT),
    "product_id": Field(TEXT),
    "sequence": Field(INTEGER, optional=True),
    "time": Field(TEXT),
}
"""A match; `sequence` counts the messages of the order book, not its trades."""

_MAKER = pl.col("side").str.to_lowercase()

COLUMNS = {
    "native_symbol": pl.col("product_id"),
    "trade_id": pl.col("trade_id"),
    "time": pl.col("time")
    .str.strptime(pl.Datetime("us"), "%Y-%m-%dT%H:%M:%S%.fZ", strict=False)
    .cast(pl.Int64),
    "side": pl.when(_MAKER == "sell").then(BUY).when(_MAKER == "buy").then(SELL).cast(pl.Int8),
    "price": pl.col("price"),
    "quantity": pl.col("size"),
    "condition": pl.lit(None, pl.String),
}

MAPPED = frozenset({"product_id", "trade_id", "price", "size", "side", "time"})

ADVANCED = Dialect(ADVANCED_TRADE, COLUMNS, MAPPED)
EXCHANGE = Dialect(MATCH, COLUMNS, MAPPED)

LAYOUTS = (
    # As recorded in 2026.
    Layout(
        ADVANCED,
        '{"product_id":<product_id>,"trade_id":<trade_id>,"price":<price>,"size":<size>,'
        '"time":<time>,"side":<side>}',
        before='{"channel":"market_trades","timestamp":<*>,"sequence_num":<*>,'
        '"events":[{"type":<*>,"trades":[',
        after="]}]}",
        several=True,
    ),
    # As documented.
    Layout(
        ADVANCED,
        '{"trade_id":<trade_id>,"product_id":<product_id>,"price":<price>,"size":<size>,'
        '"side":<side>,"time":<time>}',
        before='{"channel":"market_trades","client_id":<*>,"timestamp":<*>,"sequence_num":<*>,'
        '"events":[{"type":<*>,"trades":[',
        after="]}]}",
        several=True,
    ),
    Layout(
        EXCHANGE,
        '{"type":<type>,"trade_id":<trade_id>,"maker_order_id":<maker_order_id>,'
        '"taker_order_id":<taker_order_id>,"side":<side>,"size":<size>,"price":<price>,'
        '"product_id":<product_id>,"sequence":<sequence>,"time":<time>}',
    ),
)


def reader(frame: Any) -> Reading:  # noqa: ANN401 - JSON may be anything
    """Read `market_trades` and `match` or `last_match`. Other channels, acks,
    heartbeats and errors are control frames.
    """
    if not isinstance(frame, dict):
        raise bad_shape("an object", frame)
    if frame.get("channel") == "market_trades":
        return ADVANCED, [
            attempt(trade, ADVANCED_TRADE)
            for event in _array(frame.get("events"), "events")
            for trade in _trades(event)
        ]
    if frame.get("type") in ("match", "last_match"):
        return EXCHANGE, [read(frame, MATCH)]
    if any(isinstance(frame.get(name), str) for name in ("channel", "type")):
        return None
    raise bad_shape("a channel or a type", frame)


def _trades(event: Any) -> list[Any]:  # noqa: ANN401 - JSON may be anything
    if not isinstance(event, dict):
        raise bad_shape("an event object", event)
    return _array(event.get("trades"), "trades")


def _array(value: Any, what: str) -> list[Any]:  # noqa: ANN401 - JSON may be anything
    if not isinstance(value, list):
        raise bad_shape(f"an array of {what}", value)
    return value


def split(native: str) -> Split | None:
    """`BTC-USD` is BTC/USD."""
    pair = by_separator(native, "-", {})
    return pair and ("/".join(pair), *pair)


COINBASE = Exchange("coinbase", LAYOUTS, reader, split)
