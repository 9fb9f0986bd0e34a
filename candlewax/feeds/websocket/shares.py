"""Division of an exchange's markets among its connections; does no input or output."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from candlewax.core.shards import WHOLE, Shard, connection_name


@dataclass(frozen=True)
class Share:
    """Markets of one connection, all of one shard of their exchange."""

    exchange: str
    native_symbols: tuple[str, ...]
    shard: Shard = WHOLE


Shares = Mapping[str, Share]
"""Shares by the name of their connection."""

_IDLE: Final = "-idle"
"""End of the name of a source partition without connections, for markets that are added later."""

ShardOf = Callable[[str, str], Shard]
"""Function that returns the shard of an exchange's native symbol."""


def divide(
    plan: Mapping[str, Sequence[str]], sizes: Mapping[str, int], shard_of: ShardOf
) -> dict[str, Share]:
    """Return the shares of markets by connection, in as few connections per shard as allowed.

    `sizes`: the most markets of a connection, by exchange. An exchange without markets gets an
    empty share.
    """
    shares = {}
    for exchange, symbols in plan.items():
        for shard, native_symbols in _by_shard(exchange, symbols, shard_of).items():
            parts = -(-len(native_symbols) // sizes[exchange])
            for index in range(parts):
                name = connection_name(exchange, shard, index)
                shares[name] = Share(exchange, tuple(native_symbols[index::parts]), shard)
        if not symbols:
            shares[f"{exchange}{_IDLE}"] = Share(exchange, ())
    return shares


def rearrange(
    shares: Shares, exchange: str, wanted: Sequence[str], size: int, shard_of: ShardOf
) -> dict[str, Share]:
    """Return the shares of an exchange that change, and new ones, so that `wanted` are read.

    A market stays at its connection. New markets go to the emptiest one of their shard that has
    room, else to new connections. An empty share stays empty: its name is not used again.
    """
    own = {name: share for name, share in shares.items() if share.exchange == exchange}
    changed: dict[str, Share] = {}
    keep = set(wanted)
    for name, share in own.items():
        kept = tuple(symbol for symbol in share.native_symbols if symbol in keep)
        if kept != share.native_symbols:
            changed[name] = Share(exchange, kept, share.shard)
    present = {symbol for share in own.values() for symbol in share.native_symbols}
    added = [symbol for symbol in dict.fromkeys(wanted) if symbol not in present]
    for shard, native_symbols in _by_shard(exchange, added, shard_of).items():
        for symbol in native_symbols:
            name = _place(own | changed, exchange, shard, size)
            before = (own | changed).get(name, Share(exchange, (), shard))
            changed[name] = Share(exchange, (*before.native_symbols, symbol), shard)
    return changed


def _by_shard(exchange: str, symbols: Sequence[str], shard_of: ShardOf) -> dict[Shard, list[str]]:
    markets: dict[Shard, list[str]] = {}
    for symbol in dict.fromkeys(symbols):
        markets.setdefault(shard_of(exchange, symbol), []).append(symbol)
    return markets


def _place(own: Shares, exchange: str, shard: Shard, size: int) -> str:
    """Return the name of the connection that takes one more market of a shard."""
    fitting = [
        (len(share.native_symbols), name)
        for name, share in own.items()
        if share.shard == shard and 0 < len(share.native_symbols) < size
    ]
    if fitting:
        return min(fitting)[1]
    names = (connection_name(exchange, shard, number) for number in count())
    return next(name for name in names if name not in own)
