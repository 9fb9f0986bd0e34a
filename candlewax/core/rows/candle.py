"""One candle that can still change, and how a trade changes it."""

from typing import Final, NamedTuple

from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.core.rows.records import Trade
from candlewax.core.schema import WEBSOCKET
from candlewax.exchanges.protocol.dialect import BUY

LENGTHS_US: Final = tuple(TIMEFRAMES.values())
"""The value of each timeframe, and its length in microseconds."""


class Place(NamedTuple):
    """Order of a trade within its market: time, then number, then frame, then id."""

    timestamp: int
    sequence: int
    source_offset: int
    source_index: int
    trade_id: str


def place_of(trade: Trade) -> Place:
    """Return the place of a trade."""
    return Place(
        trade.timestamp, trade.sequence, trade.source_offset, trade.source_index, trade.trade_id
    )


class Candle:
    """Open, high, low, close and sums of a market's trades in one window, as in STATE.

    Times are in microseconds since 1970, amounts in the units of `Trade`. `first` and `last` are
    the places of the trades that open and close it.
    """

    __slots__ = (
        "buy_quote_volume", "buy_volume", "close", "end", "first", "high", "last", "low", "open",
        "quote_volume", "repaired", "revision", "start", "symbol", "timeframe", "trade_count",
        "unnumbered", "volume",
    )  # fmt: skip

    timeframe: int
    symbol: str
    start: int
    end: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    quote_volume: int
    trade_count: int
    buy_volume: int
    buy_quote_volume: int
    repaired: int
    revision: int
    unnumbered: int
    first: Place
    last: Place

    def __init__(self, timeframe: int, symbol: str, start: int, end: int, trade: Trade) -> None:
        """Begin a window with a trade that is added to it next."""
        self.timeframe = timeframe
        self.symbol = symbol
        self.start = start
        self.end = end
        self.open = self.high = self.low = self.close = trade.price
        self.first = self.last = place_of(trade)
        self.volume = self.quote_volume = self.buy_volume = self.buy_quote_volume = 0
        self.trade_count = self.repaired = self.revision = self.unnumbered = 0

    def add(self, trade: Trade, place: Place, *, is_late: bool) -> None:
        """Add a trade of this window, in whatever order trades come. `is_late` tells whether the
        candle was closed before.
        """
        price = trade.price
        if price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price
        if place > self.last:
            self.close, self.last = price, place
        elif place < self.first:
            self.open, self.first = price, place
        self.volume += trade.quantity
        self.quote_volume += trade.quote_volume
        self.trade_count += 1
        if trade.side == BUY:
            self.buy_volume += trade.quantity
            self.buy_quote_volume += trade.quote_volume
        if trade.via != WEBSOCKET:
            self.repaired += 1
        if not trade.sequence:
            self.unnumbered += 1
        if is_late:
            self.revision += 1

    @property
    def name(self) -> "WindowName":
        """Key of the candle within its exchange."""
        return WindowName(self.symbol, self.timeframe, self.start)


class WindowName(NamedTuple):
    """Key of a candle within its exchange, as CANDLE_KEY."""

    symbol: str
    timeframe: int
    start: int
