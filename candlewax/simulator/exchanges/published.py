"""Published trades: for the journal, for snapshots and for REST."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from candlewax.simulator.frames.trades import price, quantity
from candlewax.simulator.market.market import Trade


class Published(NamedTuple):
    """Trade with its send time; `skipped` if it was sent on no websocket."""

    trade: Trade
    sent_ns: int
    skipped: bool


def journal_line(published: Published) -> str:
    """Return one line of a journal file, tab-separated.

    Columns: sent_ns, exchange, native symbol, trade id, time in microseconds, price, quantity, side
    of the taker, skipped.
    """
    trade = published.trade
    return (
        f"{published.sent_ns}\t{trade.market.exchange}\t{trade.market.native_symbol}\t{trade.trade_id}\t"
        f"{trade.time_us}\t{price(trade)}\t{quantity(trade)}\t"
        f"{'buy' if trade.bought else 'sell'}\t{'true' if published.skipped else 'false'}\n"
    )


class MarketTrades:
    """Trades of one market in the order of their ids, which are consecutive."""

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self._trades: list[Trade] = []
        self.has_all = True
        """False once the oldest trades were removed."""

    def add(self, trade: Trade) -> None:
        """Add the next trade."""
        self._trades.append(trade)
        # Half of them is removed in one go, as each removal moves the rest.
        if self._keep is not None and len(self._trades) > 2 * self._keep:
            del self._trades[: -self._keep]
            self.has_all = False

    def last(self, count: int) -> list[Trade]:
        """Return the newest trades, oldest first."""
        return self._trades[-count:] if count else []

    def all(self) -> Sequence[Trade]:
        """Return all kept trades, oldest first."""
        return self._trades


class PublishedTrades:
    """Published trades, as one journal and by market."""

    def __init__(self, keep: int | None, on_trade: Callable[[Published], object] | None) -> None:
        self.journal: list[Published] = []
        self.count = 0
        self.skipped = 0
        self._keep = keep
        self._on_trade = on_trade
        self._markets: dict[tuple[str, str], MarketTrades] = {}

    def market_trades(self, exchange: str, native_symbol: str) -> MarketTrades:
        """Return the trades of a market."""
        key = exchange, native_symbol
        if key not in self._markets:
            self._markets[key] = MarketTrades(self._keep)
        return self._markets[key]

    def forget(self, exchange: str) -> None:
        """Drop the trades of an exchange; the journal stays."""
        self._markets = {key: trades for key, trades in self._markets.items() if key[0] != exchange}

    def add(self, trade: Trade, sent_ns: int, *, skipped: bool) -> None:
        """Add a trade that is published now."""
        published = Published(trade, sent_ns, skipped)
        self.market_trades(trade.market.exchange, trade.market.native_symbol).add(trade)
        self.journal.append(published)
        self.count += 1
        self.skipped += skipped
        if self._on_trade:
            self._on_trade(published)
        if self._keep is not None and len(self.journal) > 2 * self._keep:
            del self.journal[: -self._keep]
