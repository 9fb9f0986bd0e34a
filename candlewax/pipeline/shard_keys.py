"""Keys of shards in a keyed stream, chosen so that Bytewax sends each shard to a worker of its own.

Bytewax 0.21 sends a key to the worker whose number is the key's SipHash-1-3 (with a key of zeros,
as Rust's `DefaultHasher`) modulo the number of workers. A source reads where its shard's state is,
so no batch travels between processes.
"""

import struct
from collections.abc import Iterable
from functools import cache
from typing import Final

from candlewax.core.shards import WHOLE, Shard

_WORKERS: Final = 840
"""Multiple of all numbers of workers up to 8, and of many above."""

_MASK: Final = (1 << 64) - 1


@cache
def shard_key(exchange: str, shard: Shard) -> str:
    """Return the key of a shard: the exchange alone if there is one.

    With W workers, W up to 8, worker `index % W` gets the shard.
    """
    if shard == WHOLE:
        return exchange
    name = f"{exchange}/{shard.index}of{shard.count}"
    numbered = (f"{name}/{number}" for number in range(1_000_000))
    return next(key for key in numbered if _siphash(key) % _WORKERS == shard.index % _WORKERS)


def exchange_of(key: str) -> str:
    """Return the exchange of a shard's key."""
    return key.partition("/")[0]


def worker_of(key: str, worker_count: int) -> int:
    """Return the number of the worker that Bytewax sends a key to."""
    return _siphash(key) % worker_count


@cache
def _siphash(text: str) -> int:
    """Return the SipHash-1-3 of a text as Rust hashes it: its bytes and 0xff."""
    data = text.encode() + b"\xff"
    state = [0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573]
    tail_start = len(data) // 8 * 8
    tail = data[tail_start:].ljust(7, b"\0") + bytes([len(data) & 0xFF])
    for (word,) in struct.iter_unpack("<Q", data[:tail_start] + tail):
        state[3] ^= word
        _mix(state, 1)
        state[0] ^= word
    state[2] ^= 0xFF
    _mix(state, 3)
    return state[0] ^ state[1] ^ state[2] ^ state[3]


def _mix(state: list[int], rounds: int) -> None:
    for _ in range(rounds):
        for left, right, first, second in ((0, 1, 13, 32), (2, 3, 16, 0)):
            state[left] = (state[left] + state[right]) & _MASK
            state[right] = _rotate(state[right], first) ^ state[left]
            state[left] = _rotate(state[left], second)
        for left, right, first, second in ((0, 3, 21, 0), (2, 1, 17, 32)):
            state[left] = (state[left] + state[right]) & _MASK
            state[right] = _rotate(state[right], first) ^ state[left]
            state[left] = _rotate(state[left], second)


def _rotate(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (64 - bits))) & _MASK


def stale_keys(keys: Iterable[str], current: Iterable[str]) -> set[str]:
    """Return the keys of other shards of the exchanges that have current keys."""
    kept = set(current)
    exchanges = {exchange_of(key) for key in kept}
    return {key for key in keys if exchange_of(key) in exchanges} - kept
