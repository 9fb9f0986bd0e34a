"""Random draws and decimal texts in whole numbers, the same on every machine."""

import hashlib
import random


def generator(seed: int, name: str) -> random.Random:
    """Return the random generator of a name, independent of all others."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


def below(rng: random.Random, limit: int) -> int:
    """Return a whole number from 0 to `limit`, exclusive; `limit` is below 2**32."""
    return rng.getrandbits(32) * limit >> 32


def one_in(rng: random.Random, count: int) -> bool:
    """Return True once in `count` times."""
    return below(rng, count) == 0


def decimal_text(units: int, decimals: int) -> str:
    """Return units of the last decimal place as text: 1250 with 2 decimals is 12.50."""
    if decimals == 0:
        return str(units)
    digits = str(units).rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]}"


def strip_zeros(text: str) -> str:
    """Return a number without trailing zeros in its fraction."""
    return text.rstrip("0").rstrip(".") if "." in text else text
