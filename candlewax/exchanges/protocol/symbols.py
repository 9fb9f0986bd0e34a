"""Rules that split a native symbol into base and quote; none of them guesses."""

import unicodedata
from collections.abc import Collection, Mapping, Sequence

Pair = tuple[str, str]

_LONGEST = 20
"""Most characters of an asset code."""


def split_at_separator(
    native_symbol: str, separator: str, aliases: Mapping[str, str]
) -> Pair | None:
    """Return the unified codes of base and quote of a symbol, or None.

    The symbol must be two asset codes around one separator. A separator leaves nothing ambiguous,
    so a code may hold small letters (Kraken's tokenized shares, `AAPLx/USD`) and letters of any
    script.
    """
    assets = native_symbol.split(separator)
    if len(assets) != 2 or not all(_is_code(asset) for asset in assets):
        return None
    base, quote = (aliases.get(asset, asset) for asset in assets)
    return base, quote


def split_before_quote(
    native_symbol: str, quotes: Sequence[str], assets: Collection[str]
) -> Pair | None:
    """Return base and quote of a symbol without a separator, or None.

    If several known quotes end the symbol, its base must be a known asset: one of `assets` or a
    quote. Exactly one split must remain.
    """
    pairs = possible_pairs(native_symbol, quotes)
    if len(pairs) > 1:
        pairs = [pair for pair in pairs if pair[0] in assets or pair[0] in quotes]
    return pairs[0] if len(pairs) == 1 else None


def possible_pairs(native_symbol: str, quotes: Sequence[str]) -> list[Pair]:
    """Return every split of a symbol into a base and a known quote, longest quote first.

    A symbol without a separator that holds small letters has no split.
    """
    if not _is_code(native_symbol, 2 * _LONGEST) or native_symbol != native_symbol.upper():
        return []
    fitting = {
        quote
        for quote in quotes
        if native_symbol.endswith(quote) and len(native_symbol) > len(quote)
    }
    return [
        (native_symbol[: -len(quote)], quote) for quote in sorted(fitting, key=len, reverse=True)
    ]


def _is_code(text: str, longest: int = _LONGEST) -> bool:
    """Return whether a text is an asset code: letters and digits.

    Full-width letters and ligatures, which only look like others, do not count.
    """
    return text.isalnum() and len(text) <= longest and unicodedata.normalize("NFKC", text) == text
