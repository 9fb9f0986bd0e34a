"""One native trade into a unified one, or what is wrong with it."""

from typing import Final

from candlewax.core.frames import FROM_DUMP, FROM_REST
from candlewax.core.instruments import Instruments
from candlewax.core.rows.amounts import (
    DECIMALS,
    QUOTE_DECIMALS,
    expand_exponent,
    parse_amount,
    quote_volume,
)
from candlewax.core.rows.records import Fault, Frame, Trade
from candlewax.core.schema import DUMP, REST, WEBSOCKET
from candlewax.core.trades.limits import AHEAD_US, QUANTITY_LIMIT, QUOTE_VOLUME_LIMIT
from candlewax.exchanges.protocol.dialect import Dialect, Meaning, TradeIds
from candlewax.exchanges.protocol.fields import NativeTrade

LONGEST_DETAIL: Final = 1_000
"""Characters of a detail that are kept."""

_MOST_SEQUENCE: Final = 2**64 - 1
QUANTITY_UNITS_LIMIT: Final = QUANTITY_LIMIT * 10**DECIMALS
QUOTE_VOLUME_UNITS_LIMIT: Final = QUOTE_VOLUME_LIMIT * 10**QUOTE_DECIMALS
"""Quantities and quote volumes of trades are below these, in units of their last decimal."""

_AMOUNT: Final = "expected a number above zero with at most 12 decimals, got "

# White space as Unicode defines it. Python's `strip` takes four control characters more.
_SPACE: Final = "".join(
    chr(code)
    for code in (*range(9, 14), 32, 0x85, 0xA0, 0x1680, *range(0x2000, 0x200B), 0x2028, 0x2029,
                 0x202F, 0x205F, 0x3000)
)  # fmt: skip


def normalize(
    native: NativeTrade,
    index: int,
    dialect: Dialect,
    frame: Frame,
    row: int,
    exchange: str,
    instruments: Instruments,
) -> Trade | Fault:
    """Return the unified trade, or the first of its faults in the order below.

    A trade resolves to an instrument, has an id and where the exchange numbers trades a number,
    happened since 1970 and at most 60 s after its frame came, names the taker's side, and its
    price and quantity are above zero and within the limits. A trade with a condition takes no
    part in candles, so its price and quantity may be zero.
    """
    meaning = dialect.interpret(native)
    received = frame.recv_ns // 1000
    sequence = _sequence(_number(meaning), dialect.trade_ids)
    instrument = instruments.resolve(exchange, meaning.native_symbol)
    price, quantity = parse_amount(meaning.price), parse_amount(meaning.quantity)
    time, side = meaning.time, meaning.side
    apart = meaning.condition is not None
    volume = quote_volume(price, quantity) if price is not None and quantity is not None else None
    if (
        instrument is None
        or sequence is None
        or time is None
        or not 0 <= time <= received + AHEAD_US
        or side is None
        or price is None
        or quantity is None
        or volume is None
        or not (apart or (price and quantity))
        or quantity >= QUANTITY_UNITS_LIMIT
        or volume >= QUOTE_VOLUME_UNITS_LIMIT
    ):
        reason, detail = _fault(meaning, sequence, received, native, dialect, exchange, instruments)
        return Fault(row, index, reason, detail[:LONGEST_DETAIL])
    mapped = dialect.mapped
    return Trade(
        row, instrument.symbol, meaning.native_symbol, instrument.base, instrument.quote,
        meaning.trade_id, sequence, time, side, price, quantity, volume, meaning.condition,
        received, frame.source, frame.source_partition, frame.source_offset, index,
        via(frame.connection), 0, {name: native[name] for name in native if name not in mapped},
    )  # fmt: skip


def _sequence(trade_id: str, kind: TradeIds) -> int | None:
    """Return the sequence number of an id, 0 if ids are no numbers; None if the id is invalid."""
    if kind is TradeIds.NUMBERED:
        return parse_sequence(trade_id)
    return 0 if trade_id or kind is TradeIds.CONTENT else None


def _number(meaning: Meaning) -> str:
    return meaning.trade_id if meaning.number is None else meaning.number


def is_from_websocket(frame: Frame) -> bool:
    """Return whether a websocket delivered a frame."""
    return not frame.connection.startswith((FROM_REST, FROM_DUMP))


def via(connection: str) -> int:
    """Return how the trades of a connection came, by its name."""
    if connection.startswith(FROM_REST):
        return REST
    return DUMP if connection.startswith(FROM_DUMP) else WEBSOCKET


def parse_sequence(text: str) -> int | None:
    """Return a whole number below 2^64, a plus sign before it allowed; None if it is none."""
    digits = text.removeprefix("+")
    if not (digits.isascii() and digits.isdigit()):
        return None
    number = int(digits) if len(digits) < 100 else int(digits.lstrip("0")[:21] or "0")
    return number if number <= _MOST_SEQUENCE else None


def _fault(
    meaning: Meaning,
    sequence: int | None,
    received: int,
    native: NativeTrade,
    dialect: Dialect,
    exchange: str,
    instruments: Instruments,
) -> tuple[str, str]:
    """Return the reason and the detail of the first fault."""
    if instruments.resolve(exchange, meaning.native_symbol) is None:
        return "unknown_instrument", instruments.explain(exchange, meaning.native_symbol)
    if sequence is None:
        return "bad_id", f"expected {dialect.trade_ids.expected}, got {_shown(_number(meaning))}"
    if meaning.time is None or not 0 <= meaning.time <= received + AHEAD_US:
        return "bad_time", _time_fault(meaning.time, received, native, dialect)
    if meaning.side is None:
        spelling = dialect.spellings["side"]
        return "bad_side", f"expected {spelling.expected}, got {_shown(native[spelling.field])}"
    return _amount_fault(meaning)


def _time_fault(time: int | None, received: int, native: NativeTrade, dialect: Dialect) -> str:
    if time is None:
        spelling = dialect.spellings["time"]
        return f"expected {spelling.expected}, got {_shown(native[spelling.field])}"
    if time < 0:
        return f"expected a time since 1970, got {time} µs"
    return f"{time} µs lies more than 60 s after its frame came ({received} µs)"


def _amount_fault(meaning: Meaning) -> tuple[str, str]:
    for reason, text in (("bad_price", meaning.price), ("bad_quantity", meaning.quantity)):
        amount = parse_amount(text)
        if amount is None or not (amount or meaning.condition is not None):
            return reason, _AMOUNT + _shown(expand_exponent(text))
    quantity, price = expand_exponent(meaning.quantity), expand_exponent(meaning.price)
    return "out_of_range", f"{quantity} at {price} is too large"


def _shown(text: str) -> str:
    """Return a text, in quotes if it would not be seen without."""
    return text if text and text == text.strip(_SPACE) else f'"{text}"'
