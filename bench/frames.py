"""Frames for the benchmarks: trades of Binance USD-M futures, the same in every run."""

from collections.abc import Iterator
from pathlib import Path

RATE = 1_000
"""Trades per second of all symbols."""

BEGIN_MS = 1_790_000_000_000

EXCHANGE, CONNECTION = "binance_usdm", "c0"


def frames(count: int, symbols: int) -> Iterator[tuple[int, str]]:
    """Yield receive time in nanoseconds and frame; the symbols alternate irregularly."""
    names = [f"S{n:04}USDT" for n in range(symbols)]
    ids = [10**9] * symbols
    state = 1
    for number in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        pick = (state >> 33) % symbols
        ids[pick] += 1
        ms = BEGIN_MS + number * 1000 // RATE
        price = 60_000_00 + (state >> 40) % 9000
        yield (
            ms * 1_000_000 + 3_000_000,
            f'{{"stream":"{names[pick].lower()}@trade","data":{{"e":"trade","E":{ms + 1},"T":{ms},'
            f'"s":"{names[pick]}","t":{ids[pick]},"p":"{price // 100}.{price % 100:02}",'
            f'"q":"0.{(state >> 20) % 999 + 1:03}","X":"MARKET",'
            f'"m":{"true" if state >> 63 else "false"}}}}}',
        )


def write(path: Path, count: int, symbols: int) -> Path:
    """Write a frame log."""
    with path.open("w", encoding="utf-8") as file:
        for seq, (recv_ns, frame) in enumerate(frames(count, symbols)):
            file.write(f"{recv_ns}\t{EXCHANGE}\t{CONNECTION}\t{seq}\t{frame}\n")
    return path
