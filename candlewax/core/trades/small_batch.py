"""A few frames and trades read, at the price of some columns instead of some queries.

A query costs as much for ten rows as for thousands. Gives the same as `normalize` and
`decode` do, or says that these ask for more.
"""

from collections.abc import Callable, Collection, Sequence
from re import compile as pattern
from typing import Any, Final

import polars as pl
from polars.exceptions import ComputeError

from candlewax.core.frames import FROM_DUMP, FROM_REST
from candlewax.core.instruments import Instruments
from candlewax.core.schema import (
    BRONZE,
    KIND_CONTROL,
    KIND_DEAD,
    KIND_TRADE,
    PRICE,
    QUOTE_VOLUME,
    SOURCE,
    TIME,
    TRADES,
    VENDOR,
    WEBSOCKET,
    repeated,
)
from candlewax.core.trades.limits import AHEAD_US, PLAIN_NUMBER, QUANTITY_LIMIT, QUOTE_VOLUME_LIMIT
from candlewax.exchanges.protocol.dialect import Dialect

SMALL_BATCH_ROWS: Final = 300
"""Frames for which this is the faster way."""

_MOST: Final = 1_000
"""Trades of these frames for which it still is."""

_OTHERS: Final = (FROM_REST, FROM_DUMP)


def all_from_websocket(frames: pl.DataFrame) -> bool:
    """Whether all frames came on websockets."""
    return not any(name.startswith(_OTHERS) for name in set(frames["connection"].to_list()))


def with_source(frames: pl.DataFrame) -> pl.DataFrame:
    """FRAMES with SOURCE: each comes from its connection."""
    return pl.DataFrame(
        [
            *frames.get_columns(),
            frames["connection"].alias("source"),
            repeated("source_partition", 0, pl.UInt32, frames.height),
            frames["seq"].alias("source_offset"),
        ]
    )


def bronze(
    exchange: str, frames: pl.DataFrame, traded: pl.Series, faulty: Collection[int]
) -> pl.DataFrame:
    """BRONZE of frames (FRAMES with SOURCE), by the rows of their trades, and of what
    could not be read.
    """
    counts = [0] * frames.height
    for row in traded.to_list():
        counts[row] += 1
    kinds = [
        KIND_TRADE if count else KIND_DEAD if row in faulty else KIND_CONTROL
        for row, count in enumerate(counts)
    ]
    times = frames["recv_ns"].to_list()
    columns = {name: frames[name] for name in ("connection", *SOURCE, "frame")}
    columns |= {
        "exchange": repeated("exchange", exchange, pl.String, frames.height),
        "received_at": _times("received_at", [ns // 1000 for ns in times]),
        "received_ns": pl.Series("received_ns", [ns % 1000 for ns in times], pl.UInt16),
        "kind": pl.Series("kind", kinds, pl.Int8),
        "trades": pl.Series("trades", counts, pl.UInt16),
        "duplicates": repeated("duplicates", 0, pl.UInt16, frames.height),
    }
    return pl.DataFrame([columns[name] for name in BRONZE])


def normalize(
    native: pl.DataFrame,
    dialect: Dialect,
    frames: pl.DataFrame,
    exchange: str,
    instruments: Instruments,
) -> pl.DataFrame | None:
    """Unified trades (TRADES with `row`, vendor columns) of native ones (row, index, text
    columns named after native fields), in the order they came; None if these ask for
    more: they are many, their ids count nothing, or any of them is no trade or not written
    plainly.

    In: `frames` FRAMES with SOURCE, numbered by `row` from 0, all heard on websockets.
    """
    if not dialect.numbered or native.height > _MOST:
        return None
    meanings = _meanings(native, dialect)
    places = instruments.find_rows(exchange, meanings["native_symbol"].to_list())
    sequence = meanings["trade_id"].cast(pl.UInt64, strict=False)
    if places is None or sequence.null_count() or meanings["side"].null_count():
        return None
    rows = native["row"]
    amounts = _amounts(meanings["price"], meanings["quantity"])
    times = _received(meanings["time"], frames["recv_ns"], rows.to_list())
    if amounts is None or times is None:
        return None
    known, place = instruments.known_table(exchange), pl.Series(places, dtype=pl.UInt32)
    columns = {"row": rows, **meanings, **amounts, **times, "sequence": sequence}
    columns |= {name: known[name][place] for name in ("symbol", "base", "quote")}
    columns |= {name: frames[name][rows] for name in SOURCE}
    columns["native_symbol"] = meanings["native_symbol"].cast(pl.Categorical)
    columns["source_index"] = native["index"]
    columns["exchange"] = repeated("exchange", exchange, pl.String, native.height)
    columns["via"] = repeated("via", WEBSOCKET, pl.Int8, native.height)
    columns["numbering"] = repeated("numbering", 0, pl.UInt32, native.height)
    vendor = [c for c in native.get_columns() if c.name not in dialect.mapped | {"row", "index"}]
    return pl.DataFrame(
        [columns[name].alias(name) for name in ("row", *TRADES)]
        + [column.alias(VENDOR + column.name) for column in vendor]
    )


def _meanings(native: pl.DataFrame, dialect: Dialect) -> dict[str, pl.Series]:
    """The columns of a dialect."""
    absent = [name for name in dialect.shape if name not in native.columns]
    if absent:
        nothing = [pl.Series(name, [None], pl.String) for name in absent]
        native = native.hstack([column.new_from_index(0, native.height) for column in nothing])
    meant = native.select(meaning.alias(name) for name, meaning in dialect.columns.items())
    return {column.name: column for column in meant.get_columns()}


def _amounts(price: pl.Series, quantity: pl.Series) -> dict[str, pl.Series] | None:
    """What texts say, and their product; None if one is no plain number of a trade."""
    if not all(text and _is_plain(text) for text in (*price.to_list(), *quantity.to_list())):
        return None
    prices, quantities = price.cast(PRICE, strict=False), quantity.cast(PRICE, strict=False)
    try:
        products = prices.cast(QUOTE_VOLUME, strict=False) * quantities
    except ComputeError:  # one does not fit
        return None
    if prices.null_count() or quantities.null_count() or products.null_count():
        return None
    least: list[Any] = [prices.min(), quantities.min()]
    most: list[Any] = [quantities.max(), products.max()]
    if min(least) <= 0 or most[0] >= QUANTITY_LIMIT or most[1] >= QUOTE_VOLUME_LIMIT:
        return None
    return {"price": prices, "quantity": quantities, "quote_volume": products}


def _received(
    time: pl.Series, recv_ns: pl.Series, rows: Sequence[int]
) -> dict[str, pl.Series] | None:
    """When trades happened and were received; None if a time is none."""
    all_received = recv_ns.to_list()
    received = [all_received[row] // 1000 for row in rows]
    for happened, came in zip(time.to_list(), received, strict=True):
        if happened is None or not 0 <= happened <= came + AHEAD_US:
            return None
    return {"timestamp": time.cast(TIME), "received_at": _times("", received)}


def _times(name: str, microseconds: Sequence[int]) -> pl.Series:
    return pl.Series(name, microseconds, pl.Int64).cast(TIME)


_is_plain: Final[Callable[[str], Any]] = pattern(PLAIN_NUMBER).fullmatch
