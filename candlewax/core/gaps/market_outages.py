"""Market outages: spans in which a market was not subscribed though its exchange was connected.

A feed puts events among its frames: which markets the exchange refused, which the instruments file
dropped, and which are subscribed at last. Spans in which frames of a connection were lost, as their
numbers show, count too, and those of `market_connections`. No candle of such a span is complete
until the number of a later trade proves what was missed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import polars as pl

from candlewax.core.frames import EVENT
from candlewax.core.gaps.outages import PROCESS
from candlewax.core.instruments import Instrument
from candlewax.core.schema import TIME, WEBSOCKET, Columns, empty

MARKET_OUTAGES: Final[Columns] = {
    "exchange": pl.String,
    "symbol": pl.String,
    "began": TIME,
    "since": TIME,
    "ended": TIME,
}
"""Rows of `market_outages`; `ended` is 1970 while the market is not subscribed.

`began` and `ended` are by our clock. `since` is by the exchange's clock: the time of the last
trade, if it is earlier than `began`. Trades after it may have been on their way when the outage
began.
"""

FOREVER: Final = 4_102_444_800_000_000
"""End of an outage that lasts: 2100, in microseconds since 1970."""

CONNECTED: Final = "connected"
DISCONNECTED: Final = "disconnected"
REFUSED: Final = "refused"
DROPPED: Final = "dropped"
SUBSCRIBED: Final = "subscribed"
STALLED: Final = "stalled"
"""Why a feed closed a connection on which nothing but heartbeats came."""

LOST: Final = "lost"
"""Kind of the event that frames of a connection are lost, as their numbers show. No frame holds it:
the frame after the hole is its place."""

_WITH_MARKETS: Final = (REFUSED, DROPPED, SUBSCRIBED)
_KINDS: Final = frozenset({CONNECTED, DISCONNECTED, *_WITH_MARKETS})


class SubscriptionEvent(NamedTuple):
    """A change of subscriptions, for `symbols`; `row` is the place of the event's frame.

    Of frames that are lost, `lost` is their number, and `since_us` when the last frame before them
    came, in microseconds since 1970. `process` sent the event, if it says so. `native_symbols`:
    the markets again, in the same order, once `symbols` are unified. `has_stalled`: the connection
    was closed because nothing but heartbeats came.
    """

    row: int
    kind: str
    symbols: tuple[str, ...] = ()
    lost: int = 0
    since_us: int = 0
    process: str = ""
    native_symbols: tuple[str, ...] = ()
    has_stalled: bool = False

    def with_unified_symbols(
        self, resolve: Callable[[str], Instrument | None]
    ) -> "SubscriptionEvent":
        """Return the event with unified symbols, of the markets that resolve."""
        resolved = {name: resolve(name) for name in self.symbols}
        return self._replace(
            symbols=tuple(each.symbol for each in resolved.values() if each),
            native_symbols=tuple(name for name, each in resolved.items() if each),
        )

    def keep_symbols(self, is_kept: Callable[[str], bool]) -> "SubscriptionEvent":
        """Return the event of the markets whose unified symbol is kept."""
        pairs = zip(self.native_symbols, self.symbols, strict=True)
        kept = [pair for pair in pairs if is_kept(pair[1])]
        return self._replace(
            symbols=tuple(symbol for _, symbol in kept),
            native_symbols=tuple(native_symbol for native_symbol, _ in kept),
        )


def subscription_event(row: int, content: Mapping[str, Any]) -> SubscriptionEvent | None:
    """Read an event's frame with its native symbols; return None for other events."""
    kind, native_symbols = content.get(EVENT), content.get("instruments")
    if kind not in _KINDS:
        return None
    names = native_symbols if isinstance(native_symbols, list) and kind in _WITH_MARKETS else []
    symbols, process = tuple(name for name in names if isinstance(name, str)), content.get(PROCESS)
    sender = process if isinstance(process, str) else ""
    has_stalled = content.get("why") == STALLED
    return SubscriptionEvent(row, kind, symbols, process=sender, has_stalled=has_stalled)


class MarketOutage(NamedTuple):
    """An outage of a market, as in MARKET_OUTAGES.

    Times are microseconds since 1970; `ended` is 0 while it lasts.
    """

    symbol: str
    began: int
    since: int
    ended: int


@dataclass
class MarketOutages:
    """Market outages of an exchange; times in microseconds since 1970.

    `began`: by symbol, the begin of an outage that lasts; `since`: as in MARKET_OUTAGES.
    `unproven`: by symbol, `since` and end of outages that ended and after which no websocket trade
    has come. `connected_at`, `disconnected_at`: by connection, when it last opened and last closed.
    """

    began: dict[str, int] = field(default_factory=dict)
    since: dict[str, int] = field(default_factory=dict)
    unproven: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    connected_at: dict[str, int] = field(default_factory=dict)
    disconnected_at: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.began or self.unproven)

    def apply_events(
        self,
        bronze: pl.DataFrame,
        events: Sequence[SubscriptionEvent],
        latest: Mapping[str, int],
        trades: pl.DataFrame | None = None,
    ) -> list[MarketOutage]:
        """Apply the events of a batch of frames (BRONZE). Return each outage that began or ended.

        `latest`: times of the latest trades by symbol, before the batch. `trades`: those of the
        batch (TRADES with `row`), if it has any.
        """
        if not events:
            return []
        names, times = bronze["connection"], bronze["received_at"].cast(pl.Int64)
        changed = []
        for event in events:
            row, kind, symbols = event[:3]
            name, at_us = names[row], times[row]
            if kind == CONNECTED:
                self.connected_at[name] = at_us
            elif kind == DISCONNECTED:
                self.disconnected_at[name] = at_us
            elif kind == LOST:
                before = _latest_before(row, symbols, latest, trades)
                changed += self._add_lost(symbols, event.since_us, at_us, before)
            elif kind in (REFUSED, DROPPED):
                began = at_us
                if kind == REFUSED:
                    began = min(began, self.connected_at.get(name, began))
                    began = min(began, self.disconnected_at.get(name, began))
                new = [symbol for symbol in symbols if symbol not in self.began]
                self.began |= dict.fromkeys(new, began)
                times_before = _latest_before(row, new, latest, trades)
                self.since |= {
                    symbol: min(began, times_before.get(symbol, began)) for symbol in new
                }
                changed += [MarketOutage(symbol, began, self.since[symbol], 0) for symbol in new]
            else:
                changed += self._end(symbols, at_us)
        return changed

    def _add_lost(
        self, symbols: Iterable[str], began: int, at_us: int, before: Mapping[str, int]
    ) -> list[MarketOutage]:
        """Add an outage of markets whose frames were lost between two moments."""
        ended = max(at_us, began + 1)
        lost = [
            MarketOutage(symbol, began, min(began, before.get(symbol, began)), ended)
            for symbol in symbols
            if symbol not in self.began
        ]
        for symbol, _, since, _ in lost:
            self.unproven.setdefault(symbol, []).append((since, ended))
        return lost

    def _end(self, symbols: Iterable[str], at_us: int) -> list[MarketOutage]:
        ended_outages = []
        for symbol in symbols:
            began = self.began.pop(symbol, None)
            if began is not None:
                since, ended = self.since.pop(symbol, began), max(at_us, began + 1)
                self.unproven.setdefault(symbol, []).append((since, ended))
                ended_outages.append(MarketOutage(symbol, began, since, ended))
        return ended_outages

    def take_proven(self, trades: pl.DataFrame) -> list[tuple[str, int, int]]:
        """Drop outages after which one of these trades (TRADES) came over a websocket.

        The number of that trade proves what was missed; a trade without one proves nothing. Return
        their symbols, begins and ends.
        """
        if not self.unproven or trades.is_empty():
            return []
        received_trades = trades.filter(
            pl.col("via") == WEBSOCKET,
            pl.col("sequence") > 0,
            pl.col("symbol").cast(pl.String).is_in(list(self.unproven)),
        )
        latest = received_trades.group_by(pl.col("symbol").cast(pl.String)).agg(
            pl.col("received_at").max().cast(pl.Int64)
        )
        proven = []
        for symbol, received in latest.iter_rows():
            outages = self.unproven[symbol]
            proven += [(symbol, *outage) for outage in outages if outage[1] <= received]
            unproven = [outage for outage in outages if outage[1] > received]
            if unproven:
                self.unproven[symbol] = unproven
            else:
                del self.unproven[symbol]
        return proven

    def time_ranges(self) -> list[tuple[str, int, int]]:
        """Return the symbol, the first and the last moment of each unproven outage."""
        ended = [(s, b, e - 1) for s, outages in self.unproven.items() for b, e in outages]
        return sorted([*ended, *((symbol, self.since[symbol], FOREVER) for symbol in self.began)])

    def copy(self) -> "MarketOutages":
        """Return a copy that later changes do not reach."""
        unproven = {symbol: outages[:] for symbol, outages in self.unproven.items()}
        return MarketOutages(
            dict(self.began),
            dict(self.since),
            unproven,
            dict(self.connected_at),
            dict(self.disconnected_at),
        )


def _latest_before(
    row: int, symbols: Sequence[str], latest: Mapping[str, int], trades: pl.DataFrame | None
) -> dict[str, int]:
    """Return the times of the latest numbered trades of symbols before the frame at `row`.

    Trades that the same batch brings after the event do not count: batches may be cut anywhere.
    """
    known = {symbol: latest[symbol] for symbol in symbols if symbol in latest}
    if trades is None or trades.is_empty():
        return known
    symbol = pl.col("symbol").cast(pl.String)
    earlier = trades.filter(pl.col("row") < row, pl.col("sequence") > 0, symbol.is_in(symbols))
    times = earlier.group_by(symbol).agg(pl.col("timestamp").max().cast(pl.Int64))
    for name, time in times.iter_rows():
        known[name] = max(time, known.get(name, time))
    return known


def outage_rows(exchange: str, changed: Sequence[MarketOutage]) -> pl.DataFrame:
    """Return MARKET_OUTAGES of outages that began or ended."""
    if not changed:
        return empty(MARKET_OUTAGES)
    rows = [(exchange, *outage) for outage in changed]
    integer_times = {**MARKET_OUTAGES, **dict.fromkeys(("began", "since", "ended"), pl.Int64)}
    return pl.DataFrame(rows, integer_times, orient="row").cast(MARKET_OUTAGES)  # type: ignore[arg-type]  # names to types
