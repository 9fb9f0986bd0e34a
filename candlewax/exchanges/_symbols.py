"""Rules that split a native symbol into base and quote."""

import re
from collections.abc import Mapping, Sequence

_ASSET = re.compile(r"[A-Z0-9]{1,20}")

Pair = tuple[str, str]


def by_separator(native: str, separator: str, aliases: Mapping[str, str]) -> Pair | None:
    """Split at the separator and give each asset its unified code; None if it is
    not two plain asset codes around one separator.
    """
    assets = native.split(separator)
    if len(assets) != 2 or not all(_ASSET.fullmatch(asset) for asset in assets):
        return None
    base, quote = (aliases.get(asset, asset) for asset in assets)
    return base, quote


def by_longest_quote(native: str, quotes: Sequence[str]) -> Pair | None:
    """Split before the longest known quote asset that ends the symbol; None if
    there is none, or nothing before it.
    """
    if not _ASSET.fullmatch(native):
        return None
    fitting = [q for q in quotes if native.endswith(q) and len(native) > len(q)]
    if not fitting:
        return None
    quote = max(fitting, key=len)
    return native[: -len(quote)], quote
