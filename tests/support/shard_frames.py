"""Frames of several markets of one exchange, for its shards."""

import random
from dataclasses import replace
from decimal import Decimal
from typing import Final
from zlib import crc32

from tests.support.oracle import Fill
from tests.support.playing import EPOCH_ZERO, Frame, binance

SYMBOLS: Final = ("BTC/USDT", "ETH/USDT", "BNB/USDT", "SOL/USDT", "XRP/USDT", "ADA/USDT")


def shard_number(symbol: str, count: int) -> int:
    """The shard of a symbol, by its definition."""
    return crc32(symbol.encode()) % count


def market_frames(count: int, names: dict[int, str], seed: int = 5) -> list[Frame]:
    """Frames of six markets: ties, repeats, late trades and missing numbers.

    `names` holds the connection of the markets of each shard.
    """
    chance = random.Random(seed)
    numbers = dict.fromkeys(SYMBOLS, 100)
    frames: list[Frame] = []
    time = EPOCH_ZERO
    for seq in range(count):
        time += chance.choice([0, 1_000, 400_000, 9_000_000])
        symbol = chance.choice(SYMBOLS)
        if frames and chance.random() < 0.1:
            again = chance.choice(frames[-20:])
            frames.append(replace(again, seq=1_000 + seq, recv_us=time))
            continue
        numbers[symbol] += chance.choice([1, 1, 1, 3])
        late = chance.choice([0, 0, 0, 2_000, 70_000_000])
        price = Decimal(chance.randrange(1, 10**9)).scaleb(-4)
        fill = Fill(
            "binance", symbol, str(numbers[symbol]), numbers[symbol], time - late,
            chance.random() < 0.5, price, Decimal(chance.randrange(1, 999)).scaleb(-3),
        )  # fmt: skip
        frames.append(binance(seq, time, fill, names[shard_number(symbol, len(names))]))
    return frames
