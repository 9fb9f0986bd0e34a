"""Requests to a reader, and the columns of its answers."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

import polars as pl

from candlewax.core.schema import PRICE, QUOTE_VOLUME, TIME, Columns

_CONTENT: Final[Columns] = {
    "open": PRICE,
    "high": PRICE,
    "low": PRICE,
    "close": PRICE,
    "volume": PRICE,
    "quote_volume": QUOTE_VOLUME,
    "vwap": PRICE,
    "trade_count": pl.UInt64,
    "buy_volume": PRICE,
    "buy_quote_volume": QUOTE_VOLUME,
    "open_time": TIME,
    "close_time": TIME,
    "first_sequence": pl.UInt64,
    "last_sequence": pl.UInt64,
    "closed": pl.Boolean,
    "status": pl.String,
    "missing": pl.UInt64,
}
"""Columns that candles and bars share."""

CANDLE: Final[Columns] = {
    "exchange": pl.String,
    "symbol": pl.String,
    "timeframe": pl.String,
    "window_start": TIME,
    **_CONTENT,
    "feed_down_ms": pl.UInt64,
    "repaired": pl.UInt32,
    "revision": pl.UInt16,
}
"""Columns of candles. `vwap` is truncated after 12 decimals."""

BAR: Final[Columns] = {
    "exchange": pl.String,
    "symbol": pl.String,
    "kind": pl.String,
    "threshold": PRICE,
    "day": pl.Date,
    "number": pl.UInt32,
    **_CONTENT,
    "repaired": pl.UInt32,
}
"""Columns of bars. `day` and `number` name one; `vwap` is truncated after 12 decimals."""

TRADE: Final[Columns] = {
    "exchange": pl.String,
    "symbol": pl.String,
    "timestamp": TIME,
    "side": pl.String,
    "price": PRICE,
    "quantity": PRICE,
    "quote_volume": QUOTE_VOLUME,
    "trade_id": pl.String,
    "sequence": pl.UInt64,
    "conditions": pl.List(pl.String),
    "received_at": TIME,
}
"""Columns of trades. `side` is the taker's, `BUY` or `SELL`."""


class RequestError(ValueError):
    """A request that names what there is not; the message says what there is."""


class Market(NamedTuple):
    """A market of an exchange, in unified form as BTC/USDT."""

    exchange: str
    symbol: str

    def __str__(self) -> str:
        return f"{self.symbol} of {self.exchange}"


@dataclass(frozen=True)
class Span:
    """Time range from `begin` to before `end`; None: as far as there are rows."""

    begin: datetime | None = None
    end: datetime | None = None


ALL_TIME: Final = Span()
