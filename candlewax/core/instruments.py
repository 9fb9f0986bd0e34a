"""Instruments: the unified symbol and the assets of each native symbol."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from candlewax.core.bars.rules import BarRule, MarketRules, parse_rules
from candlewax.core.market_facts import NO_FACTS, MarketFacts, kind_of, read_facts
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.markets import MarketKind
from candlewax.exchanges.protocol.symbols import possible_pairs


class InstrumentsError(ValueError):
    """Error of an instruments file; the text says where and why."""


@dataclass(frozen=True)
class Instrument:
    """A market: its unified symbol, as ccxt names it, its two assets, and the facts of the file."""

    symbol: str
    base: str
    quote: str
    facts: MarketFacts = NO_FACTS

    @property
    def kind(self) -> MarketKind:
        """Kind of the market, as its symbol tells."""
        return kind_of(self.symbol)


@dataclass(frozen=True)
class FileContent:
    """Content of an instruments file, by exchange.

    `listed` holds the instruments by native symbol, `subscribed` the native symbols to subscribe
    to, `assets` asset codes beside those of the listed markets, `bars` the rules of bars by unified
    symbol.
    """

    listed: Mapping[str, Mapping[str, Instrument]]
    subscribed: Mapping[str, Sequence[str]] = field(default_factory=dict)
    assets: Mapping[str, Iterable[str]] = field(default_factory=dict)
    bars: Mapping[str, MarketRules] = field(default_factory=dict)


class Instruments:
    """Native symbols of all exchanges.

    A symbol that is not listed is resolved by the rule of its exchange, or not at all.
    """

    def __init__(
        self,
        listed: Mapping[str, Mapping[str, Instrument]],
        subscribed: Mapping[str, Sequence[str]] | None = None,
        assets: Mapping[str, Iterable[str]] | None = None,
        bars: Mapping[str, MarketRules] | None = None,
    ) -> None:
        """Create from the content of a file, as `FileContent` describes it."""
        self.content = content = FileContent(listed, subscribed or {}, assets or {}, bars or {})
        self._resolved: dict[str, dict[str, Instrument]] = {}
        self._assets: dict[str, set[str]] = {}
        self._tables: dict[str, pl.DataFrame] = {}
        self._add(content)

    def _add(self, content: FileContent) -> None:
        for exchange, symbols in content.listed.items():
            assets = {asset for market in symbols.values() for asset in (market.base, market.quote)}
            self._assets.setdefault(exchange, set()).update(assets)
            self._resolved.setdefault(exchange, {}).update(symbols)
        for exchange, extra in content.assets.items():
            self._assets.setdefault(exchange, set()).update(extra)

    @property
    def exchanges(self) -> tuple[str, ...]:
        """Exchanges of the file."""
        return tuple(self.content.listed)

    def take_up(self, content: FileContent) -> None:
        """Take up a changed file, in all parts of the process.

        Symbols that were known before stay known: frames of a dropped market may still be queued.
        Raises InstrumentsError, and changes nothing, if a known native symbol would get another
        unified symbol: its candles would be divided between the two.
        """
        for exchange, symbols in content.listed.items():
            known = self._resolved.get(exchange, {})
            for native_symbol, market in symbols.items():
                before = known.get(native_symbol)
                if before and before.symbol != market.symbol:
                    raise InstrumentsError(
                        f"[{exchange}] {native_symbol} = {market.symbol!r}: it is "
                        f"{before.symbol} in this process; another symbol takes a restart"
                    )
        self._add(content)
        self.content = content

    def subscriptions(self, exchange: str) -> list[str]:
        """Return the native symbols to subscribe to."""
        return list(self.content.subscribed.get(exchange, ()))

    def find_native_symbol(self, exchange: str, name: str) -> str | None:
        """Return the native symbol of a native or listed unified symbol; None for other names."""
        if self.resolve(exchange, name):
            return name
        listed = {**self._resolved.get(exchange, {}), **dict.fromkeys(self.subscriptions(exchange))}
        matches = [
            n for n in listed if (market := self.resolve(exchange, n)) and market.symbol == name
        ]
        subscribed = set(self.subscriptions(exchange))
        return min(matches, key=lambda native_symbol: native_symbol not in subscribed, default=None)

    def resolve(self, exchange: str, native_symbol: str) -> Instrument | None:
        """Return the instrument of a native symbol; None if nothing resolves it."""
        resolved = self._resolved.setdefault(exchange, {})
        if native_symbol in resolved:
            return resolved[native_symbol]
        instrument = self.resolve_by_rule(exchange, native_symbol)
        if instrument:
            # Only resolved symbols are kept: unknown names may be endless.
            resolved[native_symbol] = instrument
        return instrument

    def resolve_by_rule(self, exchange: str, native_symbol: str) -> Instrument | None:
        """Return the instrument that the exchange's rule gives a native symbol, listed or not."""
        parts = EXCHANGES[exchange].split_symbol(native_symbol, self._assets.get(exchange, ()))
        return Instrument(*parts) if parts else None

    def explain(self, exchange: str, native_symbol: str) -> str:
        """Explain why nothing resolves a native symbol, and how to resolve it."""
        pairs = possible_pairs(native_symbol, EXCHANGES[exchange].quotes)
        if len(pairs) < 2:
            return f"no rule resolves the symbol {native_symbol}"
        names = " or ".join("/".join(pair) for pair in pairs)
        return f"the symbol {native_symbol} may be {names}: list it in the instruments file"

    def resolve_all(self, exchange: str, native_symbols: pl.Series) -> pl.DataFrame:
        """Resolve distinct native symbols.

        Out: native_symbol (String), and symbol, base and quote (Categorical), null where nothing
        resolves.
        """
        return _table({name: self.resolve(exchange, name) for name in native_symbols})

    def known_table(self, exchange: str) -> pl.DataFrame:
        """Return all listed and all resolved symbols of an exchange, as `resolve_all` does."""
        table, resolved = self._tables.get(exchange), self._resolved.setdefault(exchange, {})
        if table is None or table.height < len(resolved):
            # Copied at once: another thread may take up a file meanwhile.
            table = self._tables[exchange] = _table(dict(resolved))
        return table


def _table(instruments: Mapping[str, Instrument | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "native_symbol": list(instruments),
            "symbol": [i and i.symbol for i in instruments.values()],
            "base": [i and i.base for i in instruments.values()],
            "quote": [i and i.quote for i in instruments.values()],
        },
        schema={
            "native_symbol": pl.String,
            "symbol": pl.Categorical,
            "base": pl.Categorical,
            "quote": pl.Categorical,
        },
    )


def load(path: Path) -> Instruments:
    """Read an instruments file. Raises InstrumentsError."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InstrumentsError(
            f"CANDLEWAX_INSTRUMENTS: got {str(path)!r}, takes the path of a readable file: "
            f"{error.strerror}"
        ) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InstrumentsError(f"{path}: {error}") from error
    if not content:
        raise InstrumentsError(f"{path}: lists no exchange")
    listed = {exchange: _symbols(path, exchange, content) for exchange in content}
    for exchange in content:
        _check_subscriptions(path, exchange, content[exchange].get("subscribe", {}))
    subscribed = {exchange: list(content[exchange].get("subscribe", ())) for exchange in content}
    assets = {exchange: _listed_assets(path, exchange, content[exchange]) for exchange in content}
    bars = {name: _bars(path, name, content[name], listed[name]) for name in content}
    return Instruments(listed, subscribed, assets, bars)


def _bars(
    path: Path, exchange: str, section: dict[str, Any], listed: Mapping[str, Instrument]
) -> MarketRules:
    rules: dict[str, tuple[BarRule, ...]] = {}
    symbols = {market.symbol for market in listed.values()}
    for symbol, texts in section.get("bars", {}).items():
        if symbol not in symbols:
            raise InstrumentsError(
                f"{path}: [{exchange}.bars] {symbol} is no unified symbol of a market in "
                "subscribe or also"
            )
        try:
            rules[symbol] = parse_rules(texts)
        except ValueError as error:
            raise InstrumentsError(f"{path}: [{exchange}.bars] {symbol}: {error}") from error
    return rules


def _listed_assets(path: Path, exchange: str, section: dict[str, Any]) -> list[str]:
    assets = section.get("assets", [])
    if isinstance(assets, list) and all(isinstance(a, str) and a for a in assets):
        return assets
    raise InstrumentsError(f"{path}: [{exchange}] assets takes a list of asset codes")


def _symbols(path: Path, exchange: str, content: dict[str, Any]) -> dict[str, Instrument]:
    if exchange not in EXCHANGES:
        raise InstrumentsError(f"{path}: [{exchange}] is none of {', '.join(EXCHANGES)}")
    section = content[exchange]
    tables = ("subscribe", "also")
    if (
        not isinstance(section, dict)
        or not section.keys() <= {*tables, "bars", "assets"}
        or not all(isinstance(section.get(name, {}), dict) for name in (*tables, "bars"))
    ):
        raise InstrumentsError(
            f"{path}: [{exchange}] takes the tables subscribe, also and bars, and the list assets"
        )
    instruments: dict[str, Instrument] = {}
    for name in tables:
        for native_symbol, symbol in section.get(name, {}).items():
            instrument = _instrument(path, exchange, native_symbol, symbol)
            listed = instruments.setdefault(native_symbol, instrument)
            if listed.symbol != instrument.symbol:
                raise InstrumentsError(
                    f"{path}: [{exchange}] {native_symbol} is {listed.symbol} in one table and "
                    f"{instrument.symbol} in the other"
                )
            if listed.facts != instrument.facts and NO_FACTS not in (
                listed.facts,
                instrument.facts,
            ):
                raise InstrumentsError(
                    f"{path}: [{exchange}] {native_symbol} has other facts in one table than in "
                    "the other"
                )
            if listed.facts == NO_FACTS:
                instruments[native_symbol] = instrument
    return instruments


def _check_subscriptions(path: Path, exchange: str, table: Mapping[str, Any]) -> None:
    """Raise InstrumentsError if two subscribed markets have one unified symbol."""
    native_symbols: dict[str, str] = {}
    for native_symbol, value in table.items():
        symbol = value if isinstance(value, str) else value["symbol"]
        if (earlier := native_symbols.setdefault(symbol, native_symbol)) != native_symbol:
            raise InstrumentsError(
                f"{path}: [{exchange}.subscribe] {earlier} and {native_symbol} are both {symbol}: "
                "their trades would make one candle"
            )


def _instrument(path: Path, exchange: str, native_symbol: str, value: Any) -> Instrument:  # noqa: ANN401
    symbol = value.get("symbol") if isinstance(value, dict) else value
    assets = symbol.partition(":")[0].split("/") if isinstance(symbol, str) else []
    if (
        not isinstance(symbol, str)
        or len(assets) != 2
        or not all(assets)
        or re.search(r"\s", native_symbol + symbol)
        or not native_symbol
    ):
        raise InstrumentsError(
            f"{path}: [{exchange}] {native_symbol} = {value!r}: a unified symbol looks like "
            "BTC/USDT or BTC/USDT:USDT"
        )
    base, quote = assets
    try:
        facts = read_facts(value, symbol) if isinstance(value, dict) else NO_FACTS
    except ValueError as error:
        raise InstrumentsError(f"{path}: [{exchange}] {native_symbol}: {error}") from error
    return Instrument(symbol, base, quote, facts)
