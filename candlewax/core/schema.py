"""Schemas of the frames between steps: columns and types, each defined once.

Every time is in microseconds UTC unless its name says otherwise. Amounts are decimals from the wire
to the table, never floats.
"""

from functools import cache

import polars as pl

PRICE = pl.Decimal(38, 12)
"""Prices and quantities, in the quote and the base asset."""

QUOTE_VOLUME = pl.Decimal(38, 18)
"""Price times quantity."""

TIME = pl.Datetime("us", "UTC")

Columns = dict[str, pl.DataType | type[pl.DataType]]

FRAMES: Columns = {
    "recv_ns": pl.Int64,
    "connection": pl.String,
    "seq": pl.UInt64,
    "frame": pl.String,
}
"""Frames as received, of one exchange, in the order received.

`recv_ns`: nanoseconds since 1970.
"""

SOURCE: Columns = {
    "source": pl.String,
    "source_partition": pl.UInt32,
    "source_offset": pl.UInt64,
}
"""Source coordinates of a frame."""

BRONZE: Columns = {
    "exchange": pl.String,
    "connection": pl.String,
    **SOURCE,
    "received_at": TIME,
    "received_ns": pl.UInt16,
    "frame": pl.String,
    "kind": pl.Int8,
    "trades": pl.UInt16,
    "duplicates": pl.UInt16,
}
"""Rows of `bronze_frames`."""

KIND_TRADE, KIND_CONTROL, KIND_DEAD = 1, 2, 3
"""The values of `kind` in `bronze_frames`."""

DEAD_LETTERS: Columns = {
    "exchange": pl.String,
    "connection": pl.String,
    **SOURCE,
    "source_index": pl.UInt16,
    "received_at": TIME,
    "received_ns": pl.UInt16,
    "scope": pl.Int8,
    "reason": pl.String,
    "detail": pl.String,
    "frame": pl.Binary,
}
"""Rows of `dead_letters`. `frame` is binary: a line of a log need not be text."""

SCOPE_LINE, SCOPE_FRAME, SCOPE_TRADE = 1, 2, 3
"""The values of `scope` in `dead_letters`."""

WEBSOCKET, REST, DUMP = 1, 2, 3
"""The values of `via`: how a trade was received."""

TRADES: Columns = {
    "exchange": pl.String,
    "symbol": pl.Categorical,
    "native_symbol": pl.Categorical,
    "base": pl.Categorical,
    "quote": pl.Categorical,
    "trade_id": pl.String,
    "sequence": pl.UInt64,
    "timestamp": TIME,
    "side": pl.Int8,
    "price": PRICE,
    "quantity": PRICE,
    "quote_volume": QUOTE_VOLUME,
    "condition": pl.String,
    "received_at": TIME,
    **SOURCE,
    "source_index": pl.UInt16,
    "via": pl.Int8,
    "numbering": pl.UInt32,
}
"""Trades of one exchange.

A frame of trades may also hold any number of String columns named `vendor.<field>`: the native
fields not mapped above. `condition`: null for an ordinary trade. `numbering`: the numbering of the
symbol, nearly always 0.
"""

GAPS: Columns = {
    "exchange": pl.String,
    "symbol": pl.String,
    "first_sequence": pl.UInt64,
    "last_sequence": pl.UInt64,
    "missing": pl.UInt64,
    "before": TIME,
    "after": TIME,
    "connection": pl.String,
    "detected_at": TIME,
    "state": pl.Int8,
    "numbering": pl.UInt32,
}
"""Rows of `gaps`."""

NUMBERINGS: Columns = {
    "exchange": pl.String,
    "symbol": pl.String,
    "numbering": pl.UInt32,
    "first_sequence": pl.UInt64,
    "began": TIME,
    "before": TIME,
    "last_sequence": pl.UInt64,
}
"""Rows of `numberings`."""

GAP_OPEN, GAP_REPAIRING, GAP_UNREPAIRABLE, GAP_REPAIRED = 1, 2, 3, 4
"""The values of `state` in `gaps`."""

VENDOR = "vendor."
"""Prefix of the columns that end in `vendor_data`."""

CANDLES: Columns = {
    "timeframe": pl.Int8,
    "symbol": pl.Categorical,
    "window_start": TIME,
    "open": PRICE,
    "high": PRICE,
    "low": PRICE,
    "close": PRICE,
    "volume": PRICE,
    "quote_volume": QUOTE_VOLUME,
    "trade_count": pl.UInt64,
    "buy_volume": PRICE,
    "buy_quote_volume": QUOTE_VOLUME,
    "open_time": TIME,
    "close_time": TIME,
    "first_sequence": pl.UInt64,
    "last_sequence": pl.UInt64,
    "repaired": pl.UInt32,
    "revision": pl.UInt32,
}
"""Content of a candle.

`repaired`: how many of its trades were not received over a websocket. `revision`: how many came
after it had closed. The state of a candle also holds the source coordinates of its first and last
trade, which break ties between equal times.
"""


def empty(columns: Columns) -> pl.DataFrame:
    """Return a frame with these columns and no rows."""
    # Creating a frame takes longer than copying one.
    return _empty(tuple(columns.items())).clone()


def repeated(
    name: str, value: object, kind: pl.DataType | type[pl.DataType], height: int
) -> pl.Series:
    """Return a column of one value."""
    return _single(name, value, kind).new_from_index(0, height)


@cache
def _single(name: str, value: object, kind: pl.DataType | type[pl.DataType]) -> pl.Series:
    return pl.Series(name, [value], kind)


def drop_column(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return the frame without a column.

    `DataFrame.drop` runs a query, which takes longer.
    """
    return pl.DataFrame([column for column in frame.get_columns() if column.name != name])


@cache
def _empty(columns: tuple[tuple[str, pl.DataType | type[pl.DataType]], ...]) -> pl.DataFrame:
    return pl.DataFrame(schema=dict(columns))


PLAIN = pl.QueryOptFlags.none()
"""Query options without optimizations: optimizing takes longer than a small batch."""
