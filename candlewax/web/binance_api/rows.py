"""Rows of the tables and of the cache in Binance's form."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import msgspec
import polars as pl

from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.core.market_names import assets
from candlewax.core.rows.amounts import DECIMALS
from candlewax.web import encode
from candlewax.web.cache.chunks import CandlePage

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Candle(msgspec.Struct, gc=False):
    open: str
    high: str
    low: str
    close: str
    volume: str
    quote_volume: str
    trade_count: int
    buy_volume: str
    buy_quote_volume: str


_decode: Final = msgspec.json.Decoder(list[_Candle]).decode


def klines(page: CandlePage, timeframe: str) -> bytes:
    """Return candles as a JSON array of arrays of 12: open time, open, high, low, close, volume,
    close time, quote volume, trades, taker buy volume, taker buy quote volume, and "0".
    """
    starts = [start * 1000 for part in page.parts for start in part.starts]
    last_ms = TIMEFRAMES[timeframe][1] // 1000 - 1
    return msgspec.json.encode(
        [
            (
                start, one.open, one.high, one.low, one.close, one.volume, start + last_ms,
                one.quote_volume, one.trade_count, one.buy_volume, one.buy_quote_volume, "0",
            )
            for start, one in zip(starts, _decode(encode.array(page.lines())), strict=True)
        ]
    )  # fmt: skip


def trades(rows: pl.DataFrame) -> bytes:
    """Return trades (encode.TRADE) as `trades` and `historicalTrades` have them.

    `isBestMatch` is null: the tables do not know it.
    """
    return msgspec.json.encode(
        [
            {
                "id": _id(row),
                "price": plain(row["price"]),
                "qty": plain(row["quantity"]),
                "quoteQty": plain(row["quote_volume"]),
                "time": to_ms(row["timestamp"]),
                "isBuyerMaker": row["side"] == "SELL",
                "isBestMatch": None,
            }
            for row in rows.iter_rows(named=True)
        ]
    )


def agg_trades(rows: pl.DataFrame) -> bytes:
    """Return trades (encode.TRADE) as `aggTrades` has them, each as an aggregate of its own."""
    return msgspec.json.encode(
        [
            {
                "a": _id(row),
                "p": plain(row["price"]),
                "q": plain(row["quantity"]),
                "f": _id(row),
                "l": _id(row),
                "T": to_ms(row["timestamp"]),
                "m": row["side"] == "SELL",
                "M": None,
            }
            for row in rows.iter_rows(named=True)
        ]
    )


def _id(trade: Mapping[str, Any]) -> int | str:
    """Return the number of a trade; its id as text where the exchange does not number them."""
    return trade["sequence"] or str(trade["trade_id"])


def market(
    name: str, symbol: str, last_price: Decimal | None, facts: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return a market as `exchangeInfo` has it.

    `facts`: its tick and status, as the table `instruments` has them; None if it is not there. An
    unknown step of prices is _STEP, or that of the last price if it is finer.
    """
    base, quote = assets(symbol)
    tick = (facts and facts["tick"]) or _step_of(last_price)
    is_halted = facts is not None and facts["status"] in _HALTED
    price = {"minPrice": plain(tick), "maxPrice": _MOST, "tickSize": plain(tick)}
    lot = {"minQty": plain(_STEP), "maxQty": _MOST, "stepSize": plain(_STEP)}
    return {
        "symbol": name,
        "status": "BREAK" if is_halted else "TRADING",
        "baseAsset": base,
        "baseAssetPrecision": _PRECISION,
        "quoteAsset": quote,
        "quotePrecision": _PRECISION,
        "quoteAssetPrecision": _PRECISION,
        "orderTypes": [],
        "icebergAllowed": False,
        "isSpotTradingAllowed": False,
        "isMarginTradingAllowed": False,
        "filters": [{"filterType": "PRICE_FILTER", **price}, {"filterType": "LOT_SIZE", **lot}],
        "permissions": ["SPOT"],
        "permissionSets": [["SPOT"]],
    }


def _step_of(last_price: Decimal | None) -> Decimal:
    if last_price is None:
        return _STEP
    exponent = last_price.normalize().as_tuple().exponent
    assert isinstance(exponent, int)  # noqa: S101 - prices are numbers
    return min(_STEP, Decimal(1).scaleb(exponent))


_HALTED: Final = ("suspended", "delisted")

_PRECISION: Final = 8
"""Decimals of amounts at Binance. Programs refuse a market with a step of 10^-11 or less."""

_STEP: Final = Decimal(1).scaleb(-_PRECISION)

_MOST: Final = "9" * (38 - DECIMALS)


def price(name: str, amount: Decimal) -> dict[str, Any]:
    """Return the latest price of a market as `ticker/price` has it."""
    return {"symbol": name, "price": plain(amount)}


def day(name: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a ticker (`tickers.SCHEMA`) as `ticker/24hr` has it.

    What only a book tells, and the last quantity, are null.
    """
    return {
        "symbol": name,
        "priceChange": plain(row["change"]),
        "priceChangePercent": plain(row["change_percent"]),
        "weightedAvgPrice": plain(row["vwap"]),
        "prevClosePrice": None,
        "lastPrice": plain(row["price"]),
        "lastQty": None,
        **dict.fromkeys(("bidPrice", "bidQty", "askPrice", "askQty")),
        "openPrice": plain(row["open"]),
        "highPrice": plain(row["high"]),
        "lowPrice": plain(row["low"]),
        "volume": plain(row["volume"]),
        "quoteVolume": plain(row["quote_volume"]),
        "openTime": to_ms(row["window_start"]),
        "closeTime": to_ms(row["window_end"]) - 1,
        "firstId": row["first_sequence"] or -1,
        "lastId": row["last_sequence"] or -1,
        "count": row["trade_count"],
    }


def plain(amount: Decimal | None) -> str | None:
    """Return an amount as exact text without trailing zeros; None stays."""
    if amount is None:
        return None
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def to_ms(time: datetime) -> int:
    """Return milliseconds since 1970, cut off."""
    return (time - _EPOCH) // timedelta(milliseconds=1)
