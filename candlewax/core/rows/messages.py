"""Trades as messages of the normalized topic, trade by trade: as in `core.trades.messages`."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from re import compile as pattern
from typing import Any, Final

import msgspec

from candlewax.core.rows.amounts import DECIMALS, QUOTE_DECIMALS, format_units
from candlewax.core.rows.records import Fault, Trade
from candlewax.core.rows.trade_normalizer import QUANTITY_UNITS_LIMIT, QUOTE_VOLUME_UNITS_LIMIT
from candlewax.core.schema import WEBSOCKET
from candlewax.core.trades.limits import AHEAD_US
from candlewax.core.trades.messages import KIND_COLUMN, OUTAGES_COLUMN, SHARDS_COLUMN
from candlewax.core.trades.trade_message import (
    BAD_VALUE_DETAIL,
    DECODE_ERRORS,
    INEXACT_DETAIL,
    UNKNOWN_EXCHANGE_DETAIL,
    VIA,
    VIA_NAMES,
    TradeMessage,
    join_conditions,
    trade_decoder,
)
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.dialect import BUY, SELL

Outage = tuple[int, int]
"""Begin and end of an outage, in microseconds since 1970."""

_MOST_COUNT: Final = 2**64 - 1

_encode: Final = msgspec.json.Encoder().encode
_is_amount: Final = pattern(rf"[0-9]{{1,19}}(?:\.[0-9]{{1,{DECIMALS}}})?").fullmatch
_is_quote_volume: Final = pattern(rf"[0-9]{{1,19}}(?:\.[0-9]{{1,{QUOTE_DECIMALS}}})?").fullmatch


@dataclass
class ParsedRows:
    """Parsed messages, as in `ParsedMessages`.

    `trades` and `outages` by exchange, in the order of its first trade; `row` of a trade is the
    place of its message.
    """

    trades: dict[str, list[Trade]] = field(default_factory=dict)
    outages: dict[str, list[Outage]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    shard_counts: dict[tuple[str, int], int] = field(default_factory=dict)


@dataclass(frozen=True)
class TradeContent:
    """Trade with what its message says besides: its vendor fields in order, and outages."""

    trade: Trade
    vendor: dict[str, str]
    outages: Sequence[Outage]


def trade_contents(trades: Sequence[Trade], outages: Iterable[Outage] = ()) -> list[TradeContent]:
    """Return the trades of a batch with their vendor fields in the order of the batch, and each
    outage at the first trade received after it.
    """
    names = dict.fromkeys(name for trade in trades for name in trade.vendor)
    by_place: dict[int, list[Outage]] = {}
    for outage in outages:
        after = (place for place, each in enumerate(trades) if each.received_at >= outage[1])
        by_place.setdefault(next(after, 0), []).append(outage)
    return [
        TradeContent(
            trade,
            {name: trade.vendor[name] for name in names if name in trade.vendor},
            by_place.get(place, ()),
        )
        for place, trade in enumerate(trades)
    ]


def to_json(
    exchange: str,
    trades: Sequence[Trade],
    outages: Iterable[Outage] = (),
    kind: str = "",
    shards: int = 0,
) -> list[bytes]:
    """Return the messages of the trades of a batch, in order: the bytes of `to_json` of columns.

    `kind` is empty and `shards`, the number of shards of the exchange, 0 if they are unknown.
    These name the way and the numbering in each of several trades with the same fields if one of
    them did not come over a websocket, or is not of the first numbering.
    """
    contents = trade_contents(trades, outages)
    shapes = [(tuple(content.vendor), bool(content.outages)) for content in contents]
    pairs = list(zip(shapes, trades, strict=True))
    with_via = {shape for shape, trade in pairs if trade.via != WEBSOCKET}
    with_numbering = {shape for shape, trade in pairs if trade.numbering}
    messages = []
    for shape, content in zip(shapes, contents, strict=True):
        message, trade = _fields(exchange, content.trade), content.trade
        if shape in with_via:
            message["via"] = VIA_NAMES[trade.via]
        if shape in with_numbering:
            message["numbering"] = trade.numbering
        if content.outages:
            message[OUTAGES_COLUMN] = content.outages
        if kind:
            message[KIND_COLUMN] = kind
        if shards:
            message[SHARDS_COLUMN] = shards
        if content.vendor:
            message["vendor_data"] = content.vendor
        messages.append(_encode(message))
    return messages


def _fields(exchange: str, trade: Trade) -> dict[str, Any]:
    return {
        "exchange": exchange,
        "symbol": trade.symbol,
        "native_symbol": trade.native_symbol,
        "base": trade.base,
        "quote": trade.quote,
        "trade_id": trade.trade_id,
        "sequence": trade.sequence,
        "timestamp": trade.timestamp,
        "side": side_name(trade.side),
        "price": format_units(trade.price, DECIMALS),
        "quantity": format_units(trade.quantity, DECIMALS),
        "quote_volume": format_units(trade.quote_volume, QUOTE_DECIMALS),
        "conditions": [] if trade.condition is None else [trade.condition],
        "received_at": trade.received_at,
        "source": trade.source,
        "source_partition": trade.source_partition,
        "source_offset": trade.source_offset,
        "source_index": trade.source_index,
    }


def side_name(side: int) -> str:
    """Return the side of a trade as messages name it."""
    return "BUY" if side == BUY else "SELL"


def from_json(values: Sequence[bytes]) -> ParsedRows:
    """Parse messages; one that is not a trade becomes a fault."""
    messages: list[tuple[int, TradeMessage]] = []
    faults: list[Fault] = []
    for row, value in enumerate(values):
        try:
            messages.append((row, trade_decoder.decode(value)))
        except DECODE_ERRORS as error:
            faults.append(Fault(row, 0, "bad_message", str(error)[:1000]))
    return to_rows(messages, faults)


def to_rows(messages: Iterable[tuple[int, TradeMessage]], faults: list[Fault]) -> ParsedRows:
    """Convert messages, each with its place, to trades. `faults` are those of the others."""
    parsed = ParsedRows(faults=faults)
    for row, message in messages:
        if message.kind is not None:
            parsed.kinds.add(message.kind)
        if message.shards is not None:
            parsed.shard_counts[message.exchange, message.shards] = row
        read = _read(row, message)
        if isinstance(read, Fault):
            parsed.faults.append(read)
            continue
        parsed.trades.setdefault(message.exchange, []).append(read)
        if message.outages:
            parsed.outages.setdefault(message.exchange, []).extend(message.outages)
    return parsed


def _read(row: int, message: TradeMessage) -> Trade | Fault:
    """Return the trade of a message, or what is wrong with it."""
    if message.exchange not in EXCHANGES:
        return Fault(row, 0, "bad_message", UNKNOWN_EXCHANGE_DETAIL)
    if not (
        _is_amount(message.price)
        and _is_amount(message.quantity)
        and _is_quote_volume(message.quote_volume)
        and message.sequence <= _MOST_COUNT
        and message.source_offset <= _MOST_COUNT
    ):
        return Fault(row, 0, "bad_message", INEXACT_DETAIL)
    price, quantity = _units(message.price, DECIMALS), _units(message.quantity, DECIMALS)
    quote_volume = _units(message.quote_volume, QUOTE_DECIMALS)
    condition = join_conditions(message.conditions)
    if (
        not ((price and quantity) or condition is not None)
        or quantity >= QUANTITY_UNITS_LIMIT
        or quote_volume >= QUOTE_VOLUME_UNITS_LIMIT
        or message.timestamp > message.received_at + AHEAD_US
        or any(began >= ended for began, ended in message.outages or ())
    ):
        return Fault(row, 0, "bad_message", BAD_VALUE_DETAIL)
    return Trade(
        row, message.symbol, message.native_symbol, message.base, message.quote, message.trade_id,
        message.sequence, message.timestamp, BUY if message.side == "BUY" else SELL, price,
        quantity, quote_volume, condition, message.received_at, message.source,
        message.source_partition, message.source_offset, message.source_index, VIA[message.via],
        message.numbering, {},
    )  # fmt: skip


def _units(text: str, decimals: int) -> int:
    """Return a plain number in units of its last decimal."""
    whole, _, fraction = text.partition(".")
    return int(whole + fraction.ljust(decimals, "0"))
