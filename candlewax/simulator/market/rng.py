"""Chance and decimals in whole numbers only, the same on every machine."""

import hashlib
import random


def generator(seed: int, name: str) -> random.Random:
    """A source of chance of its own for each name, whatever the others draw."""
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    return random.Random(int.from_bytes(digest[:8], "big"))


def below(rng: random.Random, limit: int) -> int:
    """A whole number from 0 up to but not including `limit`, which is below 2**32."""
    return rng.getrandbits(32) * limit >> 32


def one_in(rng: random.Random, count: int) -> bool:
    """True once in `count` times."""
    return below(rng, count) == 0


def decimal_text(units: int, decimals: int) -> str:
    """Units of the last decimal place, written out: 1250 with 2 decimals is 12.50."""
    if decimals == 0:
        return str(units)
    digits = str(units).rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]}"


def trimmed(text: str) -> str:
    """The same number without zeros at the end of its fraction."""
    return text.rstrip("0").rstrip(".") if "." in text else text
