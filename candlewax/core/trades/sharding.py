"""Division of decoded frames among the shards of their exchange.

Pure functions over frames.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

import polars as pl

from candlewax.core.frames import FROM_DUMP, FROM_REST
from candlewax.core.gaps.market_outages import SubscriptionEvent
from candlewax.core.rows.frame_decoder import DecodedRows
from candlewax.core.rows.records import Trade
from candlewax.core.schema import KIND_DEAD
from candlewax.core.shards import Shard, shard_index, shard_of_connection
from candlewax.core.trades.dead_letters import dead_letter_rows
from candlewax.core.trades.decode import DecodedFrames
from candlewax.core.trades.normalize import FAULTS

SEVERAL_SHARDS: Final = "several_shards"
"""Reason of the dead letter of a frame whose trades belong to several shards."""

_FRAME: Final = (
    "connection", "received_at", "received_ns", "source", "source_partition", "source_offset",
)  # fmt: skip
"""Columns that identify a frame of an exchange."""

_HOME: Final = "home"

Resolve = Callable[[str], str | None]
"""Returns the unified symbol of a native one, None if it is not known."""


def connection_shard(name: str, count: int, resolve: Resolve) -> Shard | None:
    """Return the shard, of `count`, to which all frames of a connection belong; None if to several.

    Frames by REST and of dumps belong to the shard of the market that their connection names.
    """
    for prefix in (FROM_REST, FROM_DUMP):
        if name.startswith(prefix):
            symbol = resolve(name.removeprefix(prefix))
            return Shard(shard_index(symbol, count) if symbol else 0, count)
    shard = shard_of_connection(name)
    return shard if shard.count == count else None


def assign_rows(decoded: DecodedRows, count: int, resolve: Resolve) -> DecodedRows | None:
    """Return a batch as one of a shard; None if it may belong to several."""
    shards = {connection_shard(frame.connection, count, resolve) for frame in decoded.frames}
    shard = shards.pop() if len(shards) == 1 else None
    if shard is None:
        return None
    if any(shard_index(trade.symbol, count) != shard.index for trade in decoded.trades):
        return None
    decoded.shard = shard
    return decoded


def assign_frames(decoded: DecodedFrames, count: int, resolve: Resolve) -> list[DecodedFrames]:
    """Return a batch as one of a shard, or divided among all of them."""
    names = decoded.bronze["connection"].unique().to_list()
    shards = {connection_shard(name, count, resolve) for name in names}
    shard = shards.pop() if len(shards) == 1 else None
    if shard and _trade_shards(decoded.trades, count).is_in([shard.index]).all():
        return [replace(decoded, shard=shard)]
    return _divide(decoded, count, resolve)


def divide_rows(decoded: DecodedRows, count: int) -> list[DecodedRows]:
    """Return trades without frames as one batch for each shard that has any, all with the outages.

    The parts keep the order of their first trades.
    """
    parts: dict[int, list[Trade]] = {}
    for trade in decoded.trades:
        parts.setdefault(shard_index(trade.symbol, count), []).append(trade)
    return [
        replace(decoded, trades=trades, shard=Shard(index, count))
        for index, trades in parts.items()
    ]


def divide_trades(decoded: DecodedFrames, count: int) -> list[DecodedFrames]:
    """Return trades without frames as one batch for each shard that has any, as `divide_rows`."""
    shards = _trade_shards(decoded.trades, count)
    return [
        replace(decoded, trades=decoded.trades.filter(shards == index), shard=Shard(index, count))
        for index in shards.unique(maintain_order=True)
    ]


def _trade_shards(trades: pl.DataFrame, count: int) -> pl.Series:
    """Return the index of the shard of each trade."""
    if trades.is_empty():
        return pl.Series([], dtype=pl.UInt32)
    symbols = trades["symbol"].cast(pl.String)
    known = {symbol: shard_index(symbol, count) for symbol in symbols.unique()}
    return symbols.replace_strict(known, return_dtype=pl.UInt32)


def _divide(decoded: DecodedFrames, count: int, resolve: Resolve) -> list[DecodedFrames]:
    """Return a part for each shard: its trades with their frames.

    Frames without trades belong to the shard of their connection, else to the first one. Events
    are in every part, and so are the times of all frames.
    """
    decoded = _reject_mixed(decoded, count)
    trades = decoded.trades.with_columns(_trade_shards(decoded.trades, count).alias(_HOME))
    homes = _frame_homes(decoded.bronze, trades, count, resolve)
    home_of_frame = decoded.bronze.select(*_FRAME, homes).unique(list(_FRAME))
    letters = decoded.dead_letters.join(
        home_of_frame, on=list(_FRAME), how="left", maintain_order="left"
    )
    parts = []
    for index in range(count):
        is_own = homes == index
        places = is_own.cast(pl.UInt32).cum_sum() - is_own.cast(pl.UInt32)
        own_trades = trades.filter(pl.col(_HOME) == index).drop(_HOME)
        parts.append(
            replace(
                decoded,
                bronze=decoded.bronze.filter(is_own),
                trades=own_trades.with_columns(row=places.gather(own_trades["row"])),
                dead_letters=letters.filter(pl.col(_HOME) == index).drop(_HOME),
                subscriptions=_own_events(decoded.subscriptions, index, count),
                shard=Shard(index, count),
                heard=decoded.bronze,
            )
        )
    return parts


def _frame_homes(
    bronze: pl.DataFrame, trades: pl.DataFrame, count: int, resolve: Resolve
) -> pl.Series:
    """Return the index of the shard of each frame."""
    names = bronze["connection"]
    shards = {name: connection_shard(name, count, resolve) for name in names.unique()}
    by_name = {name: shard.index if shard else 0 for name, shard in shards.items()}
    homes = names.replace_strict(by_name, return_dtype=pl.UInt32).alias(_HOME)
    of_trades = trades.unique("row", maintain_order=True)
    return homes.scatter(of_trades["row"], of_trades[_HOME])


def _own_events(
    events: Sequence[SubscriptionEvent], index: int, count: int
) -> list[SubscriptionEvent]:
    """Return the events with the markets of one shard."""
    return [
        event.keep_symbols(lambda symbol: shard_index(symbol, count) == index) for event in events
    ]


def _reject_mixed(decoded: DecodedFrames, count: int) -> DecodedFrames:
    """Make dead letters of frames whose trades belong to several shards.

    Such a frame's duplicates could not be counted: no shard sees all its trades. In recordings of
    the exchanges a frame holds trades of one market.
    """
    shards = _trade_shards(decoded.trades, count)
    numbered = decoded.trades.select("row", "symbol", shard=shards)
    mixed = (
        numbered.group_by("row", maintain_order=True)
        .agg(pl.col("shard").n_unique(), pl.col("symbol").cast(pl.String).unique().sort())
        .filter(pl.col("shard") > 1)
    )
    if mixed.is_empty():
        return decoded
    faults = pl.DataFrame(
        [
            (row, 0, SEVERAL_SHARDS, f"{', '.join(symbols)} are in several of {count} shards")
            for row, _, symbols in mixed.iter_rows()
        ],
        FAULTS,
        orient="row",
    )
    rows = mixed["row"]
    is_mixed = pl.int_range(pl.len(), dtype=pl.UInt32).is_in(rows.implode())
    bronze = decoded.bronze.with_columns(
        kind=pl.when(is_mixed).then(KIND_DEAD).otherwise("kind").cast(pl.Int8),
        trades=pl.when(is_mixed).then(0).otherwise("trades").cast(pl.UInt16),
    )
    dead = bronze.filter(is_mixed).select(*_FRAME)
    others = decoded.dead_letters.join(dead, on=list(_FRAME), how="anti", maintain_order="left")
    return replace(
        decoded,
        bronze=bronze,
        trades=decoded.trades.filter(~pl.col("row").is_in(rows.implode())),
        dead_letters=pl.concat([others, dead_letter_rows(bronze, faults)]),
    )
