"""Message of one trade in the normalized topic, as it is read."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec

from candlewax.core.schema import DUMP, REST, WEBSOCKET

VIA: Final = {"websocket": WEBSOCKET, "rest": REST, "dump": DUMP}
"""Values of `via` by their names in messages."""

VIA_NAMES: Final = {value: name for name, value in VIA.items()}

_Count = Annotated[int, msgspec.Meta(ge=0)]
_Microseconds = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999_999)]


class TradeMessage(msgspec.Struct, frozen=True, gc=False):
    """Fields of a message that candles need; other fields are ignored."""

    exchange: str
    symbol: str
    native_symbol: str
    base: str
    quote: str
    trade_id: str
    sequence: _Count
    timestamp: _Microseconds
    side: Literal["BUY", "SELL"]
    price: str
    quantity: str
    quote_volume: str
    conditions: list[str]
    received_at: _Microseconds
    source: str
    source_partition: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]
    source_offset: _Count
    source_index: Annotated[int, msgspec.Meta(ge=0, le=2**16 - 1)]
    via: Literal["websocket", "rest", "dump"] = "websocket"
    numbering: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)] = 0
    outages: list[tuple[_Microseconds, _Microseconds]] | None = None
    kind: Literal["sample", "simulated", "real"] | None = None
    shards: Annotated[int, msgspec.Meta(ge=1, le=2**16 - 1)] | None = None


UNKNOWN_EXCHANGE_DETAIL: Final = "unknown exchange"
INEXACT_DETAIL: Final = "a number that cannot be held exactly"
BAD_VALUE_DETAIL: Final = "an amount or a time that no trade can have, or an outage without an end"
"""Details of faulty messages."""

DECODE_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""Errors of a message that is no trade."""

trade_decoder: Final = msgspec.json.Decoder(TradeMessage)


def check_message(fields: Mapping[str, object]) -> TradeMessage:
    """Return fields of another format as a message; others are ignored.

    Raises one of DECODE_ERRORS for a value that no trade can have, such as a negative count.
    """
    names = TradeMessage.__struct_fields__
    return msgspec.convert({name: fields[name] for name in names if name in fields}, TradeMessage)


def join_conditions(conditions: list[str]) -> str | None:
    """Return the conditions of a message as those of a trade."""
    return ", ".join(conditions) if conditions else None
