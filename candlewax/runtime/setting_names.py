"""Names of all settings, as a message names them."""

from difflib import get_close_matches
from typing import Final

from candlewax.exchanges import EXCHANGES
from candlewax.runtime.cold_settings import NAMES as COLD_NAMES
from candlewax.runtime.keep_settings import KEEP_RULES
from candlewax.runtime.setting_parsers import KAFKA, KEYS, READERS

PREFIX: Final = "CANDLEWAX_"

_NAMES: Final = (*READERS, *KEEP_RULES, *sorted(COLD_NAMES), *KEYS)

_LIKENESS: Final = 0.8
"""Share of equal letters, from 0 to 1, from which a name is taken for a misspelled one."""


def describe_similar(unknown: str) -> str:
    """Name the settings that are spelled like an unknown one, or all; without PREFIX each."""
    similar = get_close_matches(unknown, _NAMES, cutoff=_LIKENESS)
    if similar:
        return f"similar names are {', '.join(PREFIX + name for name in similar)}"
    exchanges = ", ".join(exchange.upper() for exchange in EXCHANGES)
    names = ", ".join(PREFIX + name for name in (*_fold_exchanges(), f"{KAFKA}*"))
    return f"there are {names}; an <EXCHANGE> is one of {exchanges}"


def _fold_exchanges() -> dict[str, None]:
    """Return the names, once for all exchanges: one list of them is enough."""
    suffixes = {
        f"{exchange.upper()}_{suffix}": f"<EXCHANGE>_{suffix}"
        for exchange in EXCHANGES
        for suffix in ("URL", "REST_URL", "FILES_URL", "KEY")
    }
    return dict.fromkeys(suffixes.get(name, name) for name in _NAMES)
