"""Choice of an exchange's markets for the instruments file, and what becomes of listed ones."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from candlewax.core.instruments import FileContent, Instrument
from candlewax.core.instruments_text import Value
from candlewax.core.market_facts import kind_of, read_facts
from candlewax.core.market_names import fold, other_names
from candlewax.exchanges.protocol.markets import ListedMarket, MarketError, MarketStatus

DOLLARS: Final = ("USD", "USDT", "USDC", "FDUSD", "USDG", "RLUSD", "USD1", "PYUSD")
"""Assets that count as a dollar where turnovers of different quotes are compared."""


@dataclass(frozen=True)
class Changes:
    """Values to write, and what there is to tell.

    `subscribe` and `also` hold values by native symbol, of new and of changed markets. `told` are
    sentences about markets of the file that the exchange lists otherwise, or no more. `added` are
    the native symbols that are subscribed newly.
    """

    subscribe: dict[str, Value] = field(default_factory=dict)
    also: dict[str, Value] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)


def choose(
    markets: Sequence[ListedMarket], quotes: Collection[str], names: Collection[str],
    top: int | None,
) -> list[ListedMarket]:  # fmt: skip
    """Return the markets that trade and have one of the quotes and names, if any are given.

    With `top` the ones of the highest turnover, in dollars, and the highest first. Markets whose
    turnover is unknown come last.
    """
    chosen = [
        market
        for market in markets
        if market.status is MarketStatus.TRADING
        and (not quotes or market.quote in quotes)
        and (not names or market.symbol in names or market.native_symbol in names)
    ]
    rates = _dollars(markets)
    ranked = sorted(chosen, key=lambda market: _rank(market, rates))
    return ranked if top is None else ranked[:top]


def _rank(market: ListedMarket, rates: Mapping[str, Decimal]) -> tuple[bool, Decimal, str]:
    rate = rates.get(market.quote)
    if market.turnover is None or rate is None:
        return True, Decimal(0), market.native_symbol
    return False, -market.turnover * rate, market.native_symbol


def _dollars(markets: Iterable[ListedMarket]) -> dict[str, Decimal]:
    """Return the price of assets in dollars, each by its market of the highest turnover."""
    rates = dict.fromkeys(DOLLARS, Decimal(1))
    priced = [market for market in markets if market.price and market.turnover is not None]
    for market in sorted(priced, key=lambda market: market.turnover or 0, reverse=True):
        if market.quote in DOLLARS:
            rates.setdefault(market.base, market.price or Decimal(0))
    for market in priced:
        # Quotes that no market has as a base: USDT/TRY tells the price of TRY.
        if market.base in DOLLARS and market.price:
            rates.setdefault(market.quote, 1 / market.price)
    return rates


def plan_changes(
    exchange: str, content: FileContent, markets: Sequence[ListedMarket],
    chosen: Sequence[ListedMarket], *, unread: Sequence[MarketError] = (), subscribes: bool,
) -> Changes:  # fmt: skip
    """Return the changes of a file after an exchange's list; `chosen` are subscribed or known.

    Markets of the file keep their place and their unified symbol; their facts are those of the
    list. A market that is gone stays, with the status delisted, or as it is if it may be one of the
    unread ones.
    """
    changes = Changes()
    file = content.listed.get(exchange, {})
    subscribed = list(content.subscribed.get(exchange, ()))
    by_name = {market.native_symbol: market for market in markets}
    by_symbol = {market.symbol: market for market in reversed(markets)}
    for name, known in file.items():
        if name not in by_name and any(_may_be(error, name, known) for error in unread):
            changes.told.append(
                f"{name} ({known.symbol}) may be a market that cannot be read; it stays as it is"
            )
            continue
        value, text = _follow(
            name, known, by_name.get(name), by_symbol.get(known.symbol), name in subscribed
        )
        changes.told.extend(text)
        if value is not None:
            table = changes.subscribe if name in subscribed else changes.also
            table[name] = value
    writable = [market for market in chosen if _is_writable(market)]
    changes.told.extend(
        f"{market.native_symbol!r} ({market.symbol!r}) cannot be written to the file"
        for market in chosen
        if market not in writable
    )
    if subscribes:
        _subscribe(changes, file, subscribed, writable)
    else:
        changes.also.update(
            (market.native_symbol, _value(market, market.symbol))
            for market in writable
            if market.native_symbol not in file
        )
    return changes


def _may_be(error: MarketError, name: str, known: Instrument) -> bool:
    """Return whether a row that cannot be read may be a market of the file."""
    texts = {fold(text) for text in error.texts}
    names = {fold(name), *other_names(known.symbol)}
    return not texts or bool(names & texts) or {fold(known.base), fold(known.quote)} <= texts


def _follow(
    name: str, known: Instrument, market: ListedMarket | None, other: ListedMarket | None,
    is_subscribed: bool,  # noqa: FBT001
) -> tuple[Value | None, list[str]]:  # fmt: skip
    """Return the value of a market of the file, None if it stays, and what there is to tell.

    `market` is listed under its native symbol, `other` under its unified symbol.
    """
    if market is not None:
        return _value(market, known.symbol), _tell_status(name, known, market)
    if other is None:
        return _delisted(known), [f"{name} ({known.symbol}) is delisted"]
    if not is_subscribed:
        # A name of another protocol; it is no market of its own.
        return None, []
    text = f"{name} is listed no more; {known.symbol} is now {other.native_symbol}"
    return _delisted(known), [text]


def _subscribe(
    changes: Changes, file: Mapping[str, Instrument], subscribed: Iterable[str],
    chosen: Iterable[ListedMarket],
) -> None:  # fmt: skip
    """Add the chosen markets that are not subscribed, but for a second one of a unified symbol."""
    names = {file[name].symbol: name for name in subscribed}
    for market in chosen:
        name = market.native_symbol
        symbol = file[name].symbol if name in file else market.symbol
        first = names.setdefault(symbol, name)
        if first != name:
            changes.told.append(
                f"{name} is not added: {symbol} is subscribed as {first}, take that out first"
            )
        elif name not in changes.subscribe:
            changes.subscribe[name] = _value(market, symbol)
            changes.added.append(name)


def _tell_status(name: str, known: Instrument, market: ListedMarket) -> list[str]:
    if market.status is not MarketStatus.TRADING:
        return [f"{name} ({known.symbol}) is {market.status}"]
    if known.facts.status in (None, MarketStatus.TRADING):
        return []
    return [f"{name} ({known.symbol}) is trading again"]


def _value(market: ListedMarket, symbol: str) -> dict[str, str]:
    """Return a market's value under the unified symbol that the file gives it."""
    facts = {
        "symbol": symbol,
        "kind": kind_of(symbol).value,
        "contract_size": market.contract_size,
        "contract_unit": market.contract_unit,
        "tick": market.tick,
        "status": market.status.value,
    }
    return {name: value for name, value in facts.items() if value is not None}


def _delisted(known: Instrument) -> dict[str, str]:
    facts = known.facts
    values = {
        "symbol": known.symbol,
        "kind": known.kind.value,
        "contract_size": None if facts.contract_size is None else f"{facts.contract_size:f}",
        "contract_unit": facts.contract_unit,
        "tick": None if facts.tick is None else f"{facts.tick:f}",
        "status": MarketStatus.DELISTED.value,
    }
    return {name: value for name, value in values.items() if value is not None}


def _is_writable(market: ListedMarket) -> bool:
    """Return whether the file can hold a market: a symbol of two assets, and exact amounts."""
    texts = market.native_symbol, market.symbol
    pair = market.symbol.partition(":")[0].split("/")
    try:
        read_facts(_value(market, market.symbol), market.symbol)
    except ValueError:
        return False
    return len(pair) == 2 and all(pair) and not any(re.search(r"\s", text) for text in texts)
