"""What each native symbol is called here."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.symbols import possible_pairs


class InstrumentsError(ValueError):
    """The instruments file cannot be used; the text says where and why."""


@dataclass(frozen=True)
class Instrument:
    """A market: its unified symbol, as ccxt names it, and its two assets."""

    symbol: str
    base: str
    quote: str


class Instruments:
    """Native symbols of all exchanges. A symbol that is not listed is resolved by
    the rule of its exchange, or not at all.
    """

    def __init__(
        self,
        listed: dict[str, dict[str, Instrument]],
        subscribed: Mapping[str, Sequence[str]] | None = None,
        assets: Mapping[str, Iterable[str]] | None = None,
    ) -> None:
        """`assets` are asset codes by exchange, beside those of the listed markets."""
        self._known: dict[str, dict[str, Instrument | None]] = {
            exchange: dict(symbols) for exchange, symbols in listed.items()
        }
        self._assets = {
            exchange: {asset for i in symbols.values() for asset in (i.base, i.quote)}
            for exchange, symbols in listed.items()
        }
        for exchange, more in (assets or {}).items():
            self._assets.setdefault(exchange, set()).update(more)
        self._subscribed = subscribed or {}
        self._tables: dict[str, pl.DataFrame] = {}
        self._places: dict[str, dict[str, int]] = {}

    @property
    def exchanges(self) -> tuple[str, ...]:
        """The exchanges the file lists."""
        return tuple(self._known)

    def subscriptions(self, exchange: str) -> list[str]:
        """The native symbols that a live feed of the exchange asks for."""
        return list(self._subscribed.get(exchange, ()))

    def native(self, exchange: str, name: str) -> str | None:
        """The native symbol of a market that is called by it, or by a listed unified
        symbol; None if it is neither.
        """
        if self.resolve(exchange, name):
            return name
        listed = {**self._known.get(exchange, {}), **dict.fromkeys(self.subscriptions(exchange))}
        named = [n for n in listed if (known := self.resolve(exchange, n)) and known.symbol == name]
        subscribed = set(self.subscriptions(exchange))
        return min(named, key=lambda native: native not in subscribed, default=None)

    def resolve(self, exchange: str, native: str) -> Instrument | None:
        """The instrument of a native symbol; None if nothing resolves it."""
        known = self._known.setdefault(exchange, {})
        if native in known:
            return known[native]
        instrument = self.by_rule(exchange, native)
        if instrument:
            # Only what resolves is kept: unknown names may be endless.
            known[native] = instrument
        return instrument

    def by_rule(self, exchange: str, native: str) -> Instrument | None:
        """The instrument that the exchange's rule makes of a native symbol, listed or not."""
        found = EXCHANGES[exchange].split_symbol(native, self._assets.get(exchange, ()))
        return Instrument(*found) if found else None

    def explain(self, exchange: str, native: str) -> str:
        """Say why nothing resolves a native symbol, and what would."""
        pairs = possible_pairs(native, EXCHANGES[exchange].quotes)
        if len(pairs) < 2:
            return f"no rule resolves the symbol {native}"
        names = " or ".join("/".join(pair) for pair in pairs)
        return f"the symbol {native} may be {names}: list it in the instruments file"

    def table(self, exchange: str, natives: pl.Series) -> pl.DataFrame:
        """Resolve distinct native symbols.

        Out: native_symbol (String), and symbol, base and quote (Categorical), null
        where nothing resolves.
        """
        return _table({name: self.resolve(exchange, name) for name in natives})

    def known(self, exchange: str) -> pl.DataFrame:
        """The listed symbols of an exchange and all that were resolved; as `table`."""
        table, known = self._tables.get(exchange), self._known.setdefault(exchange, {})
        if table is None or table.height < len(known):
            table = self._tables[exchange] = _table(known)
            self._places[exchange] = dict(zip(known, range(len(known)), strict=True))
        return table

    def places(self, exchange: str, natives: Sequence[str]) -> list[int] | None:
        """The rows of native symbols in `known`; None if it does not hold all of them."""
        self.known(exchange)
        found = [self._places[exchange].get(name) for name in natives]
        places = [place for place in found if place is not None]
        return places if len(places) == len(natives) else None


def _table(found: Mapping[str, Instrument | None]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "native_symbol": list(found),
            "symbol": [i and i.symbol for i in found.values()],
            "base": [i and i.base for i in found.values()],
            "quote": [i and i.quote for i in found.values()],
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
    return Instruments(listed, subscribed, assets)


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
        or not section.keys() <= {*tables, "assets"}
        or not all(isinstance(section.get(name, {}), dict) for name in tables)
    ):
        raise InstrumentsError(
            f"{path}: [{exchange}] takes the tables subscribe and also, and the list assets"
        )
    found: dict[str, Instrument] = {}
    for name in tables:
        for native, symbol in section.get(name, {}).items():
            instrument = _instrument(path, exchange, native, symbol)
            if found.setdefault(native, instrument) != instrument:
                raise InstrumentsError(
                    f"{path}: [{exchange}] {native} is {found[native].symbol} in one table and "
                    f"{symbol} in the other"
                )
    return found


def _check_subscriptions(path: Path, exchange: str, table: Mapping[str, str]) -> None:
    """Raise InstrumentsError if two markets would be stored as one."""
    natives: dict[str, str] = {}
    for native, symbol in table.items():
        if (other := natives.setdefault(symbol, native)) != native:
            raise InstrumentsError(
                f"{path}: [{exchange}.subscribe] {other} and {native} are both {symbol}: their "
                "trades would make one candle"
            )


def _instrument(path: Path, exchange: str, native: str, symbol: Any) -> Instrument:  # noqa: ANN401
    assets = symbol.partition(":")[0].split("/") if isinstance(symbol, str) else []
    if len(assets) != 2 or not all(assets) or re.search(r"\s", native + symbol) or not native:
        raise InstrumentsError(
            f"{path}: [{exchange}] {native} = {symbol!r}: a unified symbol looks like BTC/USDT "
            "or BTC/USDT:USDT"
        )
    return Instrument(symbol, *assets)
