"""Names that people and other programs give to markets."""

import re
from collections.abc import Mapping
from itertools import product
from typing import Final

from candlewax.exchanges.kraken_markets import ALIASES

_SEPARATORS: Final = re.compile(r"[/:_\- ]")
_UNIFIED: Final = re.compile(r"([^/:]+)/([^/:-]+)(?::([^-]+)(?:-(\w+))?)?")
_OTHER_CODES: Final[Mapping[str, str]] = {code: alias for alias, code in ALIASES.items()}


def fold(name: str) -> str:
    """Return a name without separators and in capitals."""
    return _SEPARATORS.sub("", name).upper()


def other_names(symbol: str) -> set[str]:
    """Return the folded names of a market: of its assets, with their other codes as well.

    BTC/USDT is BTCUSDT and XBTUSDT, and so is the perpetual BTC/USDT:USDT; the future
    BTC/USDT:USDT-250627 is BTCUSDT250627.
    """
    parts = _UNIFIED.fullmatch(symbol)
    if not parts:
        return {fold(symbol)}
    base, quote, settle, expiry = (part or "" for part in parts.groups())
    names = set()
    for one, other in product(_codes(base), _codes(quote)):
        names |= {fold(one + other + expiry), fold(one + other + settle + expiry)}
    return names


def _codes(asset: str) -> tuple[str, ...]:
    other = _OTHER_CODES.get(asset)
    return (asset, other) if other else (asset,)


def assets(symbol: str) -> tuple[str, str]:
    """Return base and quote of a unified symbol; no quote if the symbol has none."""
    parts = _UNIFIED.fullmatch(symbol)
    return (parts[1], parts[2]) if parts else (symbol, "")


def binance_name(symbol: str) -> str:
    """Return the name of a market as Binance writes it: BTCUSDT, and BTCUSDT_250627 of a future."""
    parts = _UNIFIED.fullmatch(symbol)
    if not parts:
        return symbol
    return parts[1] + parts[2] + (f"_{parts[4]}" if parts[4] else "")
