"""Parameters of the addresses in Binance's shape, by Binance's names."""

from collections.abc import Mapping
from typing import Annotated, Final

from msgspec import UNSET, Meta, Struct, UnsetType

from candlewax.web.api.params import Time, Timeframe

MOST_ROWS: Final = 1000
"""Rows of one answer; a greater limit counts as this one, as at Binance."""

Name = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        description="BTCUSDT; BTC/USDT, btc-usdt and XBTUSDT are found too if one market is meant",
        examples=["BTCUSDT"],
    ),
]
Names = Annotated[
    str,
    Meta(
        min_length=2,
        max_length=10_000,
        description="JSON array of symbols",
        examples=['["BTCUSDT","ETHUSDT"]'],
    ),
]
Limit = Annotated[
    int, Meta(ge=1, description=f"rows, at most {MOST_ROWS}; more counts as that", examples=[10])
]
TradeId = Annotated[
    int,
    Meta(
        ge=0,
        le=2**63 - 1,
        description="id of the first trade; needs numbered trades",
        examples=[28457],
    ),
]
Text = Annotated[str, Meta(max_length=1000, description="ignored")]


class Query(Struct, forbid_unknown_fields=True, frozen=True, kw_only=True, rename="camel"):
    """No parameters."""


class Klines(Query, frozen=True, kw_only=True):
    """Candles that begin from `startTime` to `endTime`, both inclusive, oldest first: the first
    ones if there is a `startTime`, else the last ones. The last one may still form.
    """

    symbol: Name
    interval: Timeframe
    start_time: Time | UnsetType = UNSET
    end_time: Time | UnsetType = UNSET
    time_zone: Annotated[str, Meta(max_length=10, description="0: candles begin in UTC")] = "0"
    limit: Limit = 500


class Trades(Query, frozen=True, kw_only=True):
    """The last trades, oldest first."""

    symbol: Name
    limit: Limit = 500


class HistoricalTrades(Trades, frozen=True, kw_only=True):
    """Trades from an id on, oldest first; without one the last ones."""

    from_id: TradeId | UnsetType = UNSET


class AggTrades(Trades, frozen=True, kw_only=True):
    """Trades from an id on, or from `startTime` to `endTime`, both inclusive, oldest first. Each
    trade is a row of its own: `a`, `f` and `l` are all the trade's id.
    """

    from_id: TradeId | UnsetType = UNSET
    start_time: Time | UnsetType = UNSET
    end_time: Time | UnsetType = UNSET


class ExchangeInfo(Query, frozen=True, kw_only=True):
    """Stored markets, all or some."""

    symbol: Name | UnsetType = UNSET
    symbols: Names | UnsetType = UNSET
    permissions: Text | UnsetType = UNSET
    show_permission_sets: Text | UnsetType = UNSET
    symbol_status: Text | UnsetType = UNSET


class Tickers(Query, frozen=True, kw_only=True):
    """Markets, all or some."""

    symbol: Name | UnsetType = UNSET
    symbols: Names | UnsetType = UNSET
    type: Text | UnsetType = UNSET
    symbol_status: Text | UnsetType = UNSET


QUERIES: Final[Mapping[str, tuple[type[Query], str]]] = {
    "klines": (Klines, "Candles"),
    "aggTrades": (AggTrades, "Trades from an id or a time on"),
    "trades": (Trades, "Last trades"),
    "historicalTrades": (HistoricalTrades, "Trades from an id on"),
    "exchangeInfo": (ExchangeInfo, "Stored markets"),
    "ticker/24hr": (Tickers, "Statistics of 24 hours"),
    "ticker/price": (Tickers, "Latest prices"),
    "time": (Query, "Time of the server"),
    "ping": (Query, "Empty answer"),
}
"""Parameters and summary of each address."""

BASES: Final = ("/api/v3", "/{exchange}/api/v3")
"""Paths before an address: of the default exchange, and of each."""
