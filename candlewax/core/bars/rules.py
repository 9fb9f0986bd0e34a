"""Rules of bars: of what amount of trades a bar is made."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

KINDS: Final = {"tick": 1, "volume": 2, "dollar": 3}
"""Values of `kind` in `bars`: trades are counted, the base asset, or the quote asset."""

DECIMALS: Final = 12
_RULE: Final = re.compile(r"(tick|volume|dollar) ([0-9]{1,18}(?:\.[0-9]{1,12})?)")

EXPECTED: Final = (
    'takes a list such as ["tick 1000", "volume 50", "dollar 1000000"]: a kind, and a positive '
    f"threshold with at most {DECIMALS} decimals, whole for tick"
)


@dataclass(frozen=True, order=True)
class BarRule:
    """Kind of a bar, and the threshold that closes it.

    `threshold` is in trades, in the base asset, or in the quote asset.
    """

    kind: str
    threshold: Decimal

    def __str__(self) -> str:
        """Return the rule as the instruments file writes it, without trailing zeros."""
        threshold = f"{self.threshold:f}"
        if "." in threshold:
            threshold = threshold.rstrip("0").rstrip(".")
        return f"{self.kind} {threshold}"


MarketRules = Mapping[str, tuple[BarRule, ...]]
"""Rules of bars by unified symbol, of one exchange."""


def parse_rule(text: str) -> BarRule:
    """Return the rule of a text such as `volume 50`. Raises ValueError."""
    parts = _RULE.fullmatch(text)
    threshold = Decimal(parts[2]) if parts else Decimal(0)
    if not parts or not threshold or (parts[1] == "tick" and threshold % 1):
        raise ValueError(f"got {text!r}, {EXPECTED}")
    return BarRule(parts[1], threshold)


def parse_rules(texts: Any) -> tuple[BarRule, ...]:  # noqa: ANN401 - a value of TOML
    """Return the rules of a market, each once, in order. Raises ValueError."""
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"got {texts!r}, {EXPECTED}")
    return tuple(sorted({parse_rule(text) for text in texts}))
