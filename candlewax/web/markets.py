"""Markets by the names that people and other programs give them."""

import difflib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence

from starlette.concurrency import run_in_threadpool

from candlewax.core.market_names import fold, other_names
from candlewax.exchanges import EXCHANGES
from candlewax.web.problem import Problem
from candlewax.web.queries import Store
from candlewax.web.stream.subscribers import Subscribers

Market = tuple[str, str]
"""Exchange and unified symbol."""


class Markets:
    """Stored markets: those that have a day candle, as the stream follows them."""

    def __init__(self, store: Store, subscribers: Subscribers) -> None:
        self._store = store
        self._subscribers = subscribers
        self._stored: frozenset[Market] = frozenset()
        self._by_name: dict[Market, set[str]] = {}
        self._indexed: Collection[Market] = ()

    async def all(self) -> list[Market]:
        """Return all markets, in order."""
        if not self._known_markets():
            await self._read()
        return sorted(self._known_markets())

    async def find(self, exchange: str, name: str) -> str:
        """Return the unified symbol of the market that a name means.

        Raises Problem: nothing is stored of it, or the name may mean several.
        """
        market = (exchange, name)
        if self._subscribers.has_market(market) or market in self._stored:
            return name
        found = self._meant(exchange, name)
        if not found:
            await self._read()
            found = {name} if (exchange, name) in self._stored else self._meant(exchange, name)
        if len(found) == 1:
            return next(iter(found))
        if found:
            text = f"{name} may be {' or '.join(sorted(found))} at {exchange}"
        else:
            text = f"nothing is stored of {name} at {exchange}{self._hint(exchange, name)}"
        raise Problem(404, "unknown_market", text, "symbol")

    async def find_all(self, exchange: str, names: Iterable[str]) -> list[str]:
        """Return the unified symbols of several names, each once. Raises Problem."""
        return list(dict.fromkeys([await self.find(exchange, name) for name in names]))

    def spell(self, exchanges: Iterable[str], name: str) -> list[str]:
        """Return the unified symbols that a name means at any of some exchanges, as far as known.

        A name that means none of them is returned as it is.
        """
        known = self._known_markets()
        if any((exchange, name) in known for exchange in exchanges):
            return [name]
        found = {symbol for exchange in exchanges for symbol in self._meant(exchange, name)}
        return sorted(found) or [name]

    async def _read(self) -> None:
        rows = await run_in_threadpool(self._store.symbols)
        self._stored = frozenset(rows.select("exchange", "symbol").rows())

    def _known_markets(self) -> frozenset[Market]:
        return self._stored | self._subscribers.markets

    def _meant(self, exchange: str, name: str) -> set[str]:
        return self._index().get((exchange, fold(name)), set())

    def _index(self) -> Mapping[Market, set[str]]:
        known = self._known_markets()
        if known != self._indexed:
            index: dict[Market, set[str]] = defaultdict(set)
            for exchange, symbol in known:
                for name in other_names(symbol):
                    index[exchange, name].add(symbol)
            self._by_name, self._indexed = dict(index), known
        return self._by_name

    def _hint(self, exchange: str, name: str) -> str:
        """Return what else is stored that may be meant, as the end of a sentence."""
        index = self._index()
        elsewhere = [other for other in EXCHANGES if (other, fold(name)) in index]
        if elsewhere:
            return f"; it is stored of {' and '.join(elsewhere)}"
        folded = [key for place, key in index if place == exchange]
        near = difflib.get_close_matches(fold(name), folded, n=3)
        symbols: Sequence[str] = sorted({s for key in near for s in index[exchange, key]})
        return f"; there is {', '.join(symbols)}" if symbols else ""
