"""When a market was not subscribed though its exchange was connected: its subscription was refused.

Told by the events that a feed puts among its frames: which markets it refused, and which it has
subscribed at last. Until the number of a later trade proves what was missed, no candle of that
time is complete.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import polars as pl

from candlewax.core.frames import EVENT
from candlewax.core.instruments import Instrument
from candlewax.core.schema import TIME, WEBSOCKET, Columns, empty

MARKET_OUTAGES: Final[Columns] = {
    "exchange": pl.String,
    "symbol": pl.String,
    "began": TIME,
    "since": TIME,
    "ended": TIME,
}
"""Rows of `market_outages`; `ended` is 1970 as long as the market is not subscribed. `began` and
`ended` are by our clock. `since` is by the exchange's: the time of the last trade that came, if
it is earlier than `began`, as trades of after it may have been on their way.
"""

FOREVER: Final = 4_102_444_800_000_000
"""The end of an outage that goes on: 2100, in microseconds since 1970."""

CONNECTED: Final = "connected"
DISCONNECTED: Final = "disconnected"
REFUSED: Final = "refused"
SUBSCRIBED: Final = "subscribed"

_KINDS: Final = frozenset({CONNECTED, DISCONNECTED, REFUSED, SUBSCRIBED})


class SubscriptionEvent(NamedTuple):
    """What happened to subscriptions: `row` is the place of the frame that says so, `symbols` are
    the markets it names.
    """

    row: int
    kind: str
    symbols: tuple[str, ...] = ()

    def unified(self, resolve: Callable[[str], Instrument | None]) -> "SubscriptionEvent":
        """Return the event with unified symbols, of the markets that are known."""
        known = (resolve(native) for native in self.symbols)
        return self._replace(symbols=tuple(one.symbol for one in known if one))


def subscription_event(row: int, content: Mapping[str, Any]) -> SubscriptionEvent | None:
    """Read an event's frame, its native symbols as they are; None if it says nothing of this."""
    kind, natives = content.get(EVENT), content.get("instruments")
    if kind not in _KINDS:
        return None
    names = natives if isinstance(natives, list) and kind in (REFUSED, SUBSCRIBED) else []
    return SubscriptionEvent(row, kind, tuple(name for name in names if isinstance(name, str)))


class MarketOutage(NamedTuple):
    """An outage of a market, as in MARKET_OUTAGES; times in microseconds since 1970, `ended` is 0
    as long as it goes on.
    """

    symbol: str
    began: int
    since: int
    ended: int


@dataclass
class MarketOutages:
    """The outages of single markets of an exchange; times in microseconds since 1970.

    `began`: by symbol, since when a market is not subscribed; `since`: the same as in
    MARKET_OUTAGES. `unproven`: by symbol, `since` and end of outages that are over and after which
    no trade has come over a websocket. `connected`, `gone`: by the name of a connection, when it
    began last and when it ended last.
    """

    began: dict[str, int] = field(default_factory=dict)
    since: dict[str, int] = field(default_factory=dict)
    unproven: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    connected: dict[str, int] = field(default_factory=dict)
    gone: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.began or self.unproven)

    def follow(
        self,
        bronze: pl.DataFrame,
        events: Sequence[SubscriptionEvent],
        latest: Mapping[str, int],
    ) -> list[MarketOutage]:
        """Follow the events among a batch of frames (BRONZE). Return each outage that began or
        ended. `latest` are the times of the latest trades by symbol.
        """
        if not events:
            return []
        names, times = bronze["connection"], bronze["received_at"].cast(pl.Int64)
        changed = []
        for row, kind, symbols in events:
            name, at = names[row], times[row]
            if kind == CONNECTED:
                self.connected[name] = at
            elif kind == DISCONNECTED:
                self.gone[name] = at
            elif kind == REFUSED:
                began = min(at, self.connected.get(name, at))
                began = min(began, self.gone.get(name, began))
                new = [one for one in symbols if one not in self.began]
                self.began |= dict.fromkeys(new, began)
                self.since |= {one: min(began, latest.get(one, began)) for one in new}
                changed += [MarketOutage(one, began, self.since[one], 0) for one in new]
            else:
                changed += self._end(symbols, at)
        return changed

    def _end(self, symbols: Iterable[str], at: int) -> list[MarketOutage]:
        over = []
        for symbol in symbols:
            began = self.began.pop(symbol, None)
            if began is not None:
                since, ended = self.since.pop(symbol, began), max(at, began + 1)
                self.unproven.setdefault(symbol, []).append((since, ended))
                over.append(MarketOutage(symbol, began, since, ended))
        return over

    def prove(self, trades: pl.DataFrame) -> list[tuple[str, int, int]]:
        """Forget outages after which one of these trades (TRADES) came over a websocket: its
        number tells what was missed. Return their symbols, begins and ends.
        """
        if not self.unproven or trades.is_empty():
            return []
        heard = trades.filter(
            pl.col("via") == WEBSOCKET, pl.col("symbol").cast(pl.String).is_in(list(self.unproven))
        )
        latest = heard.group_by(pl.col("symbol").cast(pl.String)).agg(
            pl.col("received_at").max().cast(pl.Int64)
        )
        proven = []
        for symbol, received in latest.iter_rows():
            outages = self.unproven[symbol]
            proven += [(symbol, *outage) for outage in outages if outage[1] <= received]
            left = [outage for outage in outages if outage[1] > received]
            if left:
                self.unproven[symbol] = left
            else:
                del self.unproven[symbol]
        return proven

    def spans(self) -> list[tuple[str, int, int]]:
        """Return the symbol, the first and the last moment of each outage that is not proven."""
        over = [(s, b, e - 1) for s, outages in self.unproven.items() for b, e in outages]
        return sorted([*over, *((symbol, self.since[symbol], FOREVER) for symbol in self.began)])

    def copy(self) -> "MarketOutages":
        """Return a copy that later changes do not reach."""
        unproven = {symbol: outages[:] for symbol, outages in self.unproven.items()}
        return MarketOutages(
            dict(self.began), dict(self.since), unproven, dict(self.connected), dict(self.gone)
        )


def outage_rows(exchange: str, changed: Sequence[MarketOutage]) -> pl.DataFrame:
    """Return MARKET_OUTAGES of what `follow` gave."""
    if not changed:
        return empty(MARKET_OUTAGES)
    rows = [(exchange, *one) for one in changed]
    plain = {**MARKET_OUTAGES, **dict.fromkeys(("began", "since", "ended"), pl.Int64)}
    return pl.DataFrame(rows, plain, orient="row").cast(MARKET_OUTAGES)  # type: ignore[arg-type]  # names to types
