"""What has been published: for the journal, for snapshots and for REST."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from candlewax.simulator.frames.trades import price, quantity
from candlewax.simulator.market.market import Trade


class Published(NamedTuple):
    """A trade, when it was sent, and whether it came on no socket."""

    trade: Trade
    sent_ns: int
    skipped: bool


def line(one: Published) -> str:
    """A line of a journal file: sent_ns, exchange, native symbol, trade id, time in
    microseconds, price, quantity, side of the taker, skipped.
    """
    trade = one.trade
    return (
        f"{one.sent_ns}\t{trade.market.exchange}\t{trade.market.native}\t{trade.trade_id}\t"
        f"{trade.time_us}\t{price(trade)}\t{quantity(trade)}\t"
        f"{'buy' if trade.bought else 'sell'}\t{'true' if one.skipped else 'false'}\n"
    )


class Book:
    """The trades of one market in the order of their ids, which have no holes."""

    def __init__(self, keep: int | None = None) -> None:
        self._keep = keep
        self._trades: list[Trade] = []

    def add(self, trade: Trade) -> None:
        """The next trade."""
        self._trades.append(trade)
        # Half of them goes at once, so that room is seldom made.
        if self._keep is not None and len(self._trades) > 2 * self._keep:
            del self._trades[: -self._keep]

    def last(self, count: int) -> list[Trade]:
        """The newest trades, oldest first."""
        return self._trades[-count:] if count else []

    def all(self) -> Sequence[Trade]:
        """All trades that are remembered, oldest first."""
        return self._trades


class Books:
    """All that was published, as one journal and as a book for each market."""

    def __init__(self, keep: int | None, told: Callable[[Published], object] | None) -> None:
        self.journal: list[Published] = []
        self.count = 0
        self.skipped = 0
        self._keep = keep
        self._told = told
        self._books: dict[tuple[str, str], Book] = {}

    def book(self, exchange: str, native: str) -> Book:
        """The book of a market."""
        key = exchange, native
        if key not in self._books:
            self._books[key] = Book(self._keep)
        return self._books[key]

    def forget(self, exchange: str) -> None:
        """Begin the books of an exchange anew; the journal stays."""
        self._books = {key: book for key, book in self._books.items() if key[0] != exchange}

    def add(self, trade: Trade, sent_ns: int, *, skipped: bool) -> None:
        """A trade that is published now."""
        one = Published(trade, sent_ns, skipped)
        self.book(trade.market.exchange, trade.market.native).add(trade)
        self.journal.append(one)
        self.count += 1
        self.skipped += skipped
        if self._told:
            self._told(one)
        if self._keep is not None and len(self.journal) > 2 * self._keep:
            del self.journal[: -self._keep]
