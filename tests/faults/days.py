"""A day that ends while processes die, with trades that come late from the other side."""

import random
import signal
from dataclasses import replace
from decimal import Decimal

from tests.faults.account import account
from tests.faults.fault import Fault, Outcome
from tests.faults.place import Place
from tests.support import playing
from tests.support.kafka import reading
from tests.support.kafka.system import record
from tests.support.oracle import Fill
from tests.support.playing import Frame

MIDNIGHT = 1_750_032_000_000_000
"""2025-06-16 00:00 UTC, in microseconds."""

BEFORE = 20 * 60_000_000
"""How long before it all begins, and how long behind it ends."""

LATE = (0, 0, 0, 0, 0, 0, 2_000_000, 90_000_000, 600_000_000, 1_000_000_000)
"""Microseconds; candles are kept for 900 seconds to be changed, later ones computed anew."""


def around_midnight(count: int, seed: int) -> list[Frame]:
    """Frames of two exchanges in the order they came, with late ones, repeats and holes; one
    hole is over midnight.
    """
    chance = random.Random(seed)
    time, mean = float(MIDNIGHT - BEFORE), 2 * BEFORE / count
    numbers = {"BTC/USDT": 100, "ETH/USDT": 2**40}
    frames: list[Frame] = []
    over = False
    for seq in range(count):
        time += chance.expovariate(1 / mean)
        now = int(time) // 1000 * 1000
        then = now - chance.choice(LATE)
        amounts = Decimal(chance.randint(1, 10**7)) / 100, Decimal(chance.randint(1, 10**6)) / 10**4
        kind = chance.random()
        if kind < 0.03 and frames:
            frames.append(replace(chance.choice(frames), seq=seq, recv_us=now))
        elif kind < 0.7:
            symbol = chance.choice(list(numbers))
            numbers[symbol] += chance.choice([1] * 30 + [3])
            if now >= MIDNIGHT and symbol == "BTC/USDT" and not over:
                numbers[symbol], over = numbers[symbol] + 5, True
            fill = Fill("binance", symbol, str(numbers[symbol]), numbers[symbol], then,
                        chance.random() < 0.5, *amounts)  # fmt: skip
            frames.append(playing.binance(seq, now, fill))
        else:
            fill = Fill("kraken", "BTC/USD", "", 0, then, chance.random() < 0.5, *amounts)
            frames.append(playing.kraken_v1(seq, now, [fill] * chance.choice([1, 1, 2])))
    return frames


def boundary(place: Place) -> Outcome:
    """Play it in three parts; after each one dies what stores."""
    reading.delete_topics(place.broker.servers)
    system = place.system("day")
    try:
        frames = around_midnight(1000 * place.size.times, seed=3)
        middle = next(n for n, frame in enumerate(frames) if frame.recv_us >= MIDNIGHT)
        parts = frames[: middle - 5], frames[middle - 5 : middle + 5], frames[middle + 5 :]
        running = {name: system.durable(name) for name in ("silver", "ohlcv")}
        for number, part in enumerate(parts):
            log = record(place.folder / f"day-{number}.tsv", part)
            ingest = system.start("ingest", CANDLEWAX_FEED=str(log))
            assert ingest.wait() == 0, ingest.said()
            for name, process in list(running.items()):
                process.end(signal.SIGKILL)
                running[name] = system.durable(name)
            fills = system.catch_up(*running.values())
        for process in running.values():
            assert process.end() == 0, process.said()
        behind = [f for frame in frames if frame.recv_us >= MIDNIGHT for f in frame.fills]
        late = sum(fill.time < MIDNIGHT for fill in behind)
        return Outcome(
            account(system.tables, fills, live=False),
            seen=f"{late:,} trades of the day before came behind midnight",
        )
    finally:
        system.end()
        reading.delete_topics(place.broker.servers)


FAULTS = [
    Fault(
        "day-boundary",
        "midnight, with trades up to 17 minutes late across it, a hole over it, and `silver` and "
        "`ohlcv` killed around it",
        boundary,
        live=False,
        # Its recording is of a midnight, too.
        shortened="kills-embedded",
    )
]
