"""Rules that split a native symbol into base and quote; none of them guesses."""

import unicodedata
from collections.abc import Collection, Mapping, Sequence

Pair = tuple[str, str]

_LONGEST = 20
"""Characters of an asset code."""


def split_at_separator(native: str, separator: str, aliases: Mapping[str, str]) -> Pair | None:
    """Return base and quote of a symbol with one separator, each by its unified code.

    Return None unless it is two asset codes around one separator. With a separator nothing
    is ambiguous, so a code may hold small letters (Kraken's tokenized shares, `AAPLx/USD`)
    and letters of any script.
    """
    assets = native.split(separator)
    if len(assets) != 2 or not all(_is_code(asset) for asset in assets):
        return None
    base, quote = (aliases.get(asset, asset) for asset in assets)
    return base, quote


def split_before_quote(native: str, quotes: Sequence[str], assets: Collection[str]) -> Pair | None:
    """Return base and quote of a symbol without a separator.

    If several known quotes end the symbol, only splits whose base is a known asset count: one
    of `assets` or a quote. Return None if no quote fits, or if not exactly one split is left.
    """
    pairs = possible_pairs(native, quotes)
    if len(pairs) > 1:
        pairs = [pair for pair in pairs if pair[0] in assets or pair[0] in quotes]
    return pairs[0] if len(pairs) == 1 else None


def possible_pairs(native: str, quotes: Sequence[str]) -> list[Pair]:
    """Return every split of a symbol into a base and a known quote, longest quote first.

    Letter case carries no meaning without a separator: a symbol with small letters has none.
    """
    if not _is_code(native, 2 * _LONGEST) or native != native.upper():
        return []
    fitting = {quote for quote in quotes if native.endswith(quote) and len(native) > len(quote)}
    return [(native[: -len(quote)], quote) for quote in sorted(fitting, key=len, reverse=True)]


def _is_code(text: str, longest: int = _LONGEST) -> bool:
    """Return whether a text is a plain asset code: letters and digits, none of which only
    looks like another (full-width letters, ligatures).
    """
    return text.isalnum() and len(text) <= longest and unicodedata.normalize("NFKC", text) == text
