"""Trades as messages of the normalized topic: one JSON object a trade.

Pure functions between frames and texts. Decimals are strings, times whole
microseconds since 1970, so nothing passes through a float.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Annotated, Final, Literal

import msgspec
import polars as pl

from candlewax.core.gaps.gap_state import OUTAGES
from candlewax.core.schema import (
    DUMP,
    PRICE,
    QUOTE_VOLUME,
    REST,
    TIME,
    TRADES,
    VENDOR,
    WEBSOCKET,
    empty,
)
from candlewax.core.trades.limits import AHEAD_US, QUANTITY_LIMIT, QUOTE_VOLUME_LIMIT
from candlewax.core.trades.normalize import FAULTS
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.dialect import BUY, SELL

VIA: Final = {"websocket": WEBSOCKET, "rest": REST, "dump": DUMP}
"""The values of `via` by their names in messages."""

_Count = Annotated[int, msgspec.Meta(ge=0)]
_Microseconds = Annotated[int, msgspec.Meta(ge=0, le=253_402_300_799_999_999)]


class Message(msgspec.Struct, frozen=True, gc=False):
    """What candles are made of; other fields of a message are passed over."""

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


TOLD: Final = "outages"
"""A column that trades may have beside those of TRADES: of the first one after some
outages of its exchange, those; pairs of microseconds since 1970, else null."""

KIND: Final = "kind"
"""Another column that trades may have beside those of TRADES: whether they are of the sample, of
the simulator or of real markets."""

TOLD_TYPE: Final = pl.List(pl.List(pl.Int64))

OUTAGES_OF: Final = {"exchange": pl.String, **OUTAGES}


@dataclass(frozen=True)
class Read:
    """`trades`: TRADES with `row`, the place of the message; `faults`: FAULTS.
    `outages`: OUTAGES by exchange, of which these messages tell; `kinds`: the kinds they name.
    """

    trades: pl.DataFrame
    faults: pl.DataFrame
    outages: pl.DataFrame = field(default_factory=lambda: empty(OUTAGES_OF))
    kinds: frozenset[str] = frozenset()


def key(exchange: str, symbol: str) -> str:
    """The key of a trade's message."""
    return f"{exchange}:{symbol}"


def to_json(trades: pl.DataFrame) -> list[str]:
    """The messages of trades (TRADES with vendor columns, TOLD, KIND), in their order."""
    told_of = [TOLD] if TOLD in trades.columns else []
    partial = [name for name in _vendor(trades) + told_of if trades[name].null_count()]
    if not partial:
        return _encode(trades)
    # Trades that have the same fields go together.
    lacks = pl.concat_str(pl.col(*partial).is_null().cast(pl.Int8).cast(pl.String))
    values = [""] * trades.height
    for part in trades.with_row_index("place").with_columns(lacks=lacks).partition_by("lacks"):
        there = [name for name in part.columns if name not in partial or part[name][0] is not None]
        for place, value in zip(part["place"], _encode(part.select(there)), strict=True):
            values[place] = value
    return values


def _encode(trades: pl.DataFrame) -> list[str]:
    return trades.select(pl.struct(*_fields(trades)).struct.json_encode()).to_series().to_list()


def _vendor(trades: pl.DataFrame) -> list[str]:
    return [name for name in trades.columns if name.startswith(VENDOR)]


def _fields(trades: pl.DataFrame) -> list[pl.Expr | str]:
    names = ("exchange", "symbol", "native_symbol", "base", "quote", "trade_id")
    vendor = [pl.col(name).alias(name.removeprefix(VENDOR)) for name in _vendor(trades)]
    source = ("source", "source_partition", "source_offset", "source_index")
    no_condition = pl.lit([], pl.List(pl.String))
    return [
        pl.col(*names).cast(pl.String),
        pl.col("sequence"),
        pl.col("timestamp").cast(pl.Int64),
        pl.when(pl.col("side") == BUY).then(pl.lit("BUY")).otherwise(pl.lit("SELL")).alias("side"),
        *(plain(amount) for amount in ("price", "quantity", "quote_volume")),
        pl.when(pl.col("condition").is_null())
        .then(no_condition)
        .otherwise(pl.concat_list("condition"))
        .alias("conditions"),
        pl.col("received_at").cast(pl.Int64),
        pl.col(*source),
        *([_VIA_NAME] if trades["via"].n_unique() > 1 or trades["via"][0] != WEBSOCKET else []),
        *(["numbering"] if (trades["numbering"] > 0).any() else []),
        *(name for name in (TOLD, KIND) if name in trades.columns),
        *([pl.struct(vendor).alias("vendor_data")] if vendor else []),
    ]


_VIA_NAME: Final = pl.col("via").replace_strict(
    list(VIA.values()), list(VIA), return_dtype=pl.String
)


def plain(amount: str) -> pl.Expr:
    """A decimal as text, without the zeros at its end."""
    return pl.col(amount).cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".")


_NUMBERS: Final = ("price", "quantity", "quote_volume", "sequence", "source_offset")

_POSSIBLE: Final = (
    ((pl.col("price") > 0) & (pl.col("quantity") > 0) | pl.col("condition").is_not_null())
    & (pl.col("quantity") < QUANTITY_LIMIT)
    & (pl.col("quote_volume") < QUOTE_VOLUME_LIMIT)
    & (pl.col("timestamp") <= pl.col("received_at") + pl.duration(microseconds=AHEAD_US))
)
"""What whoever decodes frames lets through; sums and the watermark rely on it."""

_UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

# For each of thousands of messages: what is called is written in C.
_kind: Final = attrgetter(KIND)

_decoder: Final = msgspec.json.Decoder(Message)


def from_json(values: Sequence[bytes]) -> Read:
    """Read messages; what is no trade comes out as a fault."""
    messages = _one_a_line(values)
    if len(messages) == len(values):
        return read(messages)
    good: list[Message] = []
    rows: list[int] = []
    faults: list[tuple[int, int, str, str]] = []
    for row, value in enumerate(values):
        try:
            good.append(_decoder.decode(value))
            rows.append(row)
        except _UNREADABLE as error:
            faults.append((row, 0, "bad_message", str(error)[:1000]))
    return told(read(good, rows), faults)


def _one_a_line(values: Sequence[bytes]) -> list[Message]:
    """All messages, if each is one line and a trade."""
    lines = b"\n".join(values)
    # A line that is empty is passed over: with others in one value it would make up for them.
    if lines.count(b"\n") != len(values) - 1:
        return []
    try:
        return _decoder.decode_lines(lines)
    except _UNREADABLE:
        return []


def told(found: Read, faults: Sequence[tuple[int, int, str, str]]) -> Read:
    """The same trades, with more faults (rows of FAULTS)."""
    more = pl.DataFrame(faults, FAULTS, orient="row")
    return replace(found, faults=pl.concat([more, found.faults]))


def read(messages: Sequence[Message], rows: Sequence[int] | None = None) -> Read:
    """Make trades of messages. `rows` are their places, if not one after another."""
    if not messages:
        return Read(empty({"row": pl.UInt32, **TRADES}), empty(FAULTS))
    texts = pl.DataFrame(
        {
            name: [getattr(message, name) for message in messages]
            for name in Message.__struct_fields__
            if name not in {"conditions", "via", TOLD, KIND}
        },
        schema_overrides={"sequence": pl.UInt64, "source_offset": pl.UInt64},
        strict=False,
    ).with_columns(
        row=pl.Series(rows if rows is not None else range(len(messages)), dtype=pl.UInt32),
        condition=pl.Series([_condition(m.conditions) for m in messages], dtype=pl.String),
        via=pl.Series([VIA[message.via] for message in messages], dtype=pl.Int8),
    )
    known = pl.col("exchange").is_in(list(EXCHANGES))
    exact = [
        pl.col("price", "quantity").str.contains(r"^[0-9]{1,19}(?:\.[0-9]{1,12})?$"),
        pl.col("quote_volume").str.contains(r"^[0-9]{1,19}(?:\.[0-9]{1,18})?$"),
    ]
    typed = texts.with_columns(
        pl.col("symbol", "native_symbol", "base", "quote").cast(pl.Categorical),
        pl.col("timestamp", "received_at").cast(TIME),
        pl.when(pl.col("side") == "BUY").then(BUY).otherwise(SELL).cast(pl.Int8).alias("side"),
        pl.col("price", "quantity").cast(PRICE, strict=False),
        pl.col("quote_volume").cast(QUOTE_VOLUME, strict=False),
        pl.col("source_partition").cast(pl.UInt32),
        pl.col("source_index").cast(pl.UInt16),
        pl.col("numbering").cast(pl.UInt32),
        exact=pl.all_horizontal(exact),
        known=known,
    )
    kinds = frozenset(set(map(_kind, messages)) - {None})
    telling = [place for place, message in enumerate(messages) if message.outages]
    numbers = pl.all_horizontal(pl.col(_NUMBERS).is_not_null())
    good = pl.col("known") & numbers & pl.col("exact") & _POSSIBLE & _ends(messages, telling)
    sound = typed.select(good=good).to_series()
    outages = _outages(messages[place] for place in telling if sound[place])
    if sound.all():
        return Read(typed.select("row", *TRADES), empty(FAULTS), outages, kinds)
    why = pl.when(~pl.col("known")).then(pl.lit("unknown exchange"))
    faults = typed.filter(~sound).select(
        "row",
        index=pl.lit(0, pl.UInt16),
        reason=pl.lit("bad_message"),
        detail=why.when(numbers & pl.col("exact"))
        .then(pl.lit("an amount or a time that no trade can have, or an outage without an end"))
        .otherwise(pl.lit("a number that cannot be held exactly")),
    )
    return Read(typed.filter(sound).select("row", *TRADES), faults, outages, kinds)


def _ends(messages: Sequence[Message], telling: Sequence[int]) -> pl.Expr:
    """Whether the outages that a message tells of, if it does, end after they began."""
    wrong = [
        place
        for place in telling
        if any(began >= ended for began, ended in messages[place].outages or ())
    ]
    return ~pl.int_range(pl.len()).is_in(wrong) if wrong else pl.lit(True)


def _outages(messages: Iterable[Message]) -> pl.DataFrame:
    rows = [
        (message.exchange, began, ended)
        for message in messages
        for began, ended in message.outages or ()
    ]
    return pl.DataFrame(rows, OUTAGES_OF, orient="row")


def _condition(conditions: list[str]) -> str | None:
    return ", ".join(conditions) if conditions else None
