"""Frames of two exchanges, Binance spot and USD-M futures, the same in every run."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

BOTH: Final = ("binance", "binance_usdm")
NAMES: Final = (
    "BTC", "ETH", "SOL", "XRP", "ADA", "DOT", "LINK", "DOGE", "LTC", "AVAX", "ATOM", "BNB", "TRX",
    "UNI", "XLM", "ETC", "FIL", "APT", "ARB", "NEAR",
)  # fmt: skip
"""Twenty markets, each against USDT."""

RATE: Final = 1_000
"""Trades per second of all exchanges."""

_AGO_MS: Final = 3 * 3_600_000
"""Age of the first trade: within the retention of every table."""


def frames(count: int, exchanges: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Yield receive time in nanoseconds, exchange and frame; the exchanges alternate."""
    begin_ms = int(time.time() * 1000) - _AGO_MS
    ids = {exchange: [10**9] * len(NAMES) for exchange in exchanges}
    state = 1
    for number in range(count):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        exchange, place = exchanges[number % len(exchanges)], (state >> 33) % len(NAMES)
        ids[exchange][place] += 1
        ms = begin_ms + number * 1000 // RATE
        yield ms * 1_000_000 + 3_000_000, exchange, _frame(exchange, place, ids, ms, state)


def _frame(exchange: str, place: int, ids: dict[str, list[int]], ms: int, state: int) -> str:
    name, number = f"{NAMES[place]}USDT", ids[exchange][place]
    price = 60_000_00 + (state >> 40) % 9000
    amount = f'"p":"{price // 100}.{price % 100:02}","q":"0.{(state >> 20) % 999 + 1:03}"'
    maker = "true" if state >> 63 else "false"
    head = f'{{"stream":"{name.lower()}@trade","data":{{"e":"trade","E":{ms + 1},'
    if exchange == "binance":
        return f'{head}"s":"{name}","t":{number},{amount},"T":{ms},"m":{maker},"M":true}}}}'
    return f'{head}"T":{ms},"s":"{name}","t":{number},{amount},"X":"MARKET","m":{maker}}}}}'


def write(path: Path, count: int, exchanges: Sequence[str] = BOTH) -> Path:
    """Write a frame log with one connection per exchange."""
    seqs = dict.fromkeys(exchanges, 0)
    with path.open("w", encoding="utf-8") as file:
        for recv_ns, exchange, frame in frames(count, exchanges):
            file.write(f"{recv_ns}\t{exchange}\t{exchange}-0\t{seqs[exchange]}\t{frame}\n")
            seqs[exchange] += 1
    return path
