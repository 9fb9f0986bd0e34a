"""Facts of a market in the instruments file, beside its unified symbol."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, TypeVar

from candlewax.exchanges.protocol.markets import MarketKind, MarketStatus

MAX_DECIMALS: Final = 12
"""Most decimals of an amount, as of all amounts in tables."""

FIELDS: Final = ("symbol", "kind", "contract_size", "contract_unit", "tick", "status")
"""Fields of a market that is written as an inline table."""

Choice = TypeVar("Choice", MarketKind, MarketStatus)

_is_amount: Final = re.compile(r"[0-9]{1,26}(?:\.[0-9]{1,12})?").fullmatch
_is_expiry: Final = re.compile(r"[0-9]{6}").fullmatch


@dataclass(frozen=True)
class MarketFacts:
    """Facts of a market. None: the file does not tell.

    `contract_size` in `contract_unit` is the value of one contract; quantities of its trades and
    volumes of its candles are contracts. Without them they are amounts of the base.
    """

    contract_size: Decimal | None = None
    contract_unit: str | None = None
    tick: Decimal | None = None
    status: MarketStatus | None = None


NO_FACTS: Final = MarketFacts()


def kind_of(symbol: str) -> MarketKind:
    """Return the kind of a unified symbol: BTC/USDT, BTC/USDT:USDT or BTC/USDT:USDT-261225."""
    _, settled, settlement = symbol.partition(":")
    if not settled:
        return MarketKind.SPOT
    return MarketKind.FUTURE if _is_expiry(settlement[-6:]) else MarketKind.PERPETUAL


def read_facts(table: Mapping[str, Any], symbol: str) -> MarketFacts:
    """Read the facts of a market from its inline table. Raises ValueError, which says why."""
    if unknown := [name for name in table if name not in FIELDS]:
        raise ValueError(f"{unknown[0]} is none of {', '.join(FIELDS)}")
    kind = _one_of(MarketKind, table, "kind")
    if kind is not None and kind is not kind_of(symbol):
        raise ValueError(f"kind = {kind.value!r}, but {symbol} names a {kind_of(symbol).value}")
    size, unit = _amount(table, "contract_size"), table.get("contract_unit")
    if unit is not None and (not isinstance(unit, str) or not unit or re.search(r"\s", unit)):
        raise ValueError(f"contract_unit = {unit!r}, takes the code of an asset, such as USD")
    if (size is None) != (unit is None):
        raise ValueError("contract_size and contract_unit are given together or not at all")
    return MarketFacts(size, unit, _amount(table, "tick"), _one_of(MarketStatus, table, "status"))


def _amount(table: Mapping[str, Any], name: str) -> Decimal | None:
    value = table.get(name)
    if value is None:
        return None
    # A float of TOML is not the decimal that was written.
    if not isinstance(value, str) or not _is_amount(value) or not Decimal(value):
        raise ValueError(
            f"{name} = {value!r}, takes a positive decimal in quotes with at most "
            f'{MAX_DECIMALS} decimals, such as "0.01"'
        )
    return Decimal(value)


def _one_of(choices: type[Choice], table: Mapping[str, Any], name: str) -> Choice | None:
    value = table.get(name)
    if value is None:
        return None
    try:
        return choices(value)
    except ValueError:
        raise ValueError(f"{name} = {value!r}, takes one of {', '.join(choices)}") from None
