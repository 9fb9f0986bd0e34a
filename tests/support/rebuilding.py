"""Frames of one market, whose tables tests rebuild."""

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

from candlewax.verification.content_hash import Comparison
from tests.support.oracle import Fill
from tests.support.playing import EPOCH_ZERO, Frame, binance

SECOND = 1_000_000
HOUR = 3600 * SECOND
BEGIN = EPOCH_ZERO // (24 * HOUR) * 24 * HOUR + 10 * HOUR
"""10:00 UTC."""

Rebuild = Callable[..., Comparison]


def fill(number: int, time: int, **more: Any) -> Fill:
    plain = Fill(
        "binance", "BTC/USDT", str(number), number, time, number % 2 == 0,
        Decimal(60_000 + number), Decimal("0.5"),
    )  # fmt: skip
    return replace(plain, **more)


def minutely(count: int, begin: int = BEGIN) -> list[Frame]:
    """Frames of a trade each 20 seconds, received 50 ms after it happened."""
    times = [begin + n * 20 * SECOND for n in range(count)]
    return [binance(n, time + 50_000, fill(100 + n, time)) for n, time in enumerate(times, 1)]
