"""Frames of trades as the exchanges write them, character by character.

Each function returns the text of a frame. Sources: see the modules of `candlewax.exchanges`.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from candlewax.simulator.market.market import Trade
from candlewax.simulator.market.rng import decimal_text, strip_zeros

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def price(trade: Trade) -> str:
    """Return the price with all its decimals."""
    return decimal_text(trade.price, trade.market.price_decimals)


def quantity(trade: Trade) -> str:
    """Return the quantity with all its decimals."""
    return decimal_text(trade.quantity, trade.market.lot_decimals)


def iso(time_us: int) -> str:
    """Return a time like `2026-01-02T03:04:05.678901Z`."""
    second, microsecond = divmod(time_us, 1_000_000)
    return f"{_iso_second(second)}.{microsecond:06d}Z"


@lru_cache(maxsize=256)
def _iso_second(second: int) -> str:
    return f"{_EPOCH + timedelta(seconds=second):%Y-%m-%dT%H:%M:%S}"


def pad_decimals(amount: str) -> str:
    """Return an amount with eight decimals, as Binance spot writes it."""
    whole, _, fraction = amount.partition(".")
    return f"{whole}.{fraction:0<8}"


def _json_bool(value: bool) -> str:  # noqa: FBT001 - a JSON literal
    return "true" if value else "false"


def binance(trade: Trade, sent_us: int, unit_us: int = 1000) -> str:
    """Return a trade of Binance spot in the envelope of a combined stream.

    `unit_us` is the unit of its times in microseconds.
    """
    name = trade.market.native_symbol
    return (
        f'{{"stream":"{name.lower()}@trade","data":{{"e":"trade","E":{sent_us // unit_us},'
        f'"s":"{name}","t":{trade.trade_id},"p":"{pad_decimals(price(trade))}",'
        f'"q":"{pad_decimals(quantity(trade))}","T":{trade.time_us // unit_us},'
        f'"m":{_json_bool(not trade.bought)},"M":true}}}}'
    )


def binance_usdm(trade: Trade, sent_us: int, unit_us: int = 1000) -> str:
    """Return a trade of Binance USD-M futures; `X` is its kind."""
    name = trade.market.native_symbol
    return (
        f'{{"stream":"{name.lower()}@trade","data":{{"e":"trade","E":{sent_us // unit_us},'
        f'"T":{trade.time_us // unit_us},"s":"{name}","t":{trade.trade_id},"p":"{price(trade)}",'
        f'"q":"{quantity(trade)}","X":"{trade.condition or "MARKET"}",'
        f'"m":{_json_bool(not trade.bought)}}}}}'
    )


def kraken_v2(trades: Sequence[Trade], kind: str = "update") -> str:
    """Return trades of Kraken's API v2; amounts are JSON numbers with all their zeros."""
    rows = ",".join(
        f'{{"symbol":"{t.market.native_symbol}","side":"{"buy" if t.bought else "sell"}",'
        f'"price":{price(t)},"qty":{quantity(t)},'
        f'"ord_type":"{"limit" if t.limit else "market"}","trade_id":{t.trade_id},'
        f'"timestamp":"{iso(t.time_us)}"}}'
        for t in trades
    )
    return f'{{"channel":"trade","type":"{kind}","data":[{rows}]}}'


def kraken_v1(trades: Sequence[Trade]) -> str:
    """Return trades of Kraken's API v1, which shows no id."""
    rows = ",".join(
        f'["{decimal_text(t.price * 10 ** (5 - t.market.price_decimals), 5)}","{quantity(t)}",'
        f'"{decimal_text(t.time_us, 6)}","{"b" if t.bought else "s"}",'
        f'"{"l" if t.limit else "m"}",""]'
        for t in trades
    )
    return f'[337,[{rows}],"trade","{trades[0].market.native_symbol}"]'


def coinbase_advanced(
    trades: Sequence[Trade], sent_us: int, sequence: int, kind: str = "update"
) -> str:
    """Return trades of Coinbase Advanced Trade, newest first; `side` is the maker's."""
    rows = ",".join(
        f'{{"product_id":"{t.market.native_symbol}","trade_id":"{t.trade_id}","price":"{price(t)}",'
        f'"size":"{strip_zeros(quantity(t))}","time":"{iso(t.time_us)}",'
        f'"side":"{"SELL" if t.bought else "BUY"}"}}'
        for t in reversed(trades)
    )
    return (
        f'{{"channel":"market_trades","timestamp":"{_iso_ns(sent_us)}",'
        f'"sequence_num":{sequence},"events":[{{"type":"{kind}","trades":[{rows}]}}]}}'
    )


def _iso_ns(time_us: int) -> str:
    """Return a time with nine decimals."""
    return f"{iso(time_us).removesuffix('Z')}{time_us % 997:03d}Z"


def coinbase_match(trade: Trade, kind: str = "match") -> str:
    """Return a match of Coinbase Exchange; `side` is the maker's."""
    maker, taker = (
        f"{trade.market.first_id:08x}-{party:04x}-4{trade.order % 4096:03x}-8000-{trade.order:012x}"
        for party in (1, 2)
    )
    return (
        f'{{"type":"{kind}","trade_id":{trade.trade_id},"maker_order_id":"{maker}",'
        f'"taker_order_id":"{taker}","side":"{"sell" if trade.bought else "buy"}",'
        f'"size":"{quantity(trade)}","price":"{price(trade)}",'
        f'"product_id":"{trade.market.native_symbol}",'
        f'"sequence":{9_000_000_000 + 17 * trade.trade_id},'
        f'"time":"{iso(trade.time_us)}"}}'
    )
