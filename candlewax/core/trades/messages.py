"""Trades as messages of the normalized topic: one JSON object a trade.

Pure functions between frames and texts. Decimals are strings and times whole microseconds since
1970, so nothing passes through a float.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Final

import polars as pl

from candlewax.core.gaps.gap_state import OUTAGES
from candlewax.core.schema import PRICE, QUOTE_VOLUME, TIME, TRADES, VENDOR, WEBSOCKET, empty
from candlewax.core.trades.limits import AHEAD_US, QUANTITY_LIMIT, QUOTE_VOLUME_LIMIT
from candlewax.core.trades.normalize import FAULTS
from candlewax.core.trades.trade_message import (
    BAD_VALUE_DETAIL,
    DECODE_ERRORS,
    INEXACT_DETAIL,
    UNKNOWN_EXCHANGE_DETAIL,
    VIA,
    TradeMessage,
    join_conditions,
    trade_decoder,
)
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.dialect import BUY, SELL

OUTAGES_COLUMN: Final = "outages"
"""Extra column of trades: outages that ended before a trade, at the first trade after them.

Pairs of microseconds since 1970; null in all other trades.
"""

KIND_COLUMN: Final = "kind"
"""Extra column of trades: the kind of data, sample, simulated or real."""

SHARDS_COLUMN: Final = "shards"
"""Extra column of trades: the number of shards of their exchange."""

OUTAGES_COLUMN_TYPE: Final = pl.List(pl.List(pl.Int64))

ShardCounts = Mapping[tuple[str, int], int]
"""Exchanges and the numbers of their shards that messages name, with the place of the last one."""

OUTAGES_BY_EXCHANGE: Final = {"exchange": pl.String, **OUTAGES}


@dataclass(frozen=True)
class ParsedMessages:
    """Parsed messages: TRADES with `row`, the place of the message, and FAULTS.

    `outages`: OUTAGES by exchange in these messages. `kinds`: the kinds of data they name.
    """

    trades: pl.DataFrame
    faults: pl.DataFrame
    outages: pl.DataFrame = field(default_factory=lambda: empty(OUTAGES_BY_EXCHANGE))
    kinds: frozenset[str] = frozenset()
    shard_counts: ShardCounts = field(default_factory=dict)


def to_json(trades: pl.DataFrame) -> list[str]:
    """Return the messages of trades (TRADES with vendor and extra columns), in order."""
    outages = [OUTAGES_COLUMN] if OUTAGES_COLUMN in trades.columns else []
    partial = [name for name in _vendor_columns(trades) + outages if trades[name].null_count()]
    if not partial:
        return _encode(trades)
    # Trades with the same fields are encoded together.
    absent = pl.concat_str(pl.col(*partial).is_null().cast(pl.Int8).cast(pl.String))
    values = [""] * trades.height
    for part in trades.with_row_index("place").with_columns(absent=absent).partition_by("absent"):
        present = [
            name for name in part.columns if name not in partial or part[name][0] is not None
        ]
        for place, value in zip(part["place"], _encode(part.select(present)), strict=True):
            values[place] = value
    return values


def _encode(trades: pl.DataFrame) -> list[str]:
    return trades.select(pl.struct(*_fields(trades)).struct.json_encode()).to_series().to_list()


def _vendor_columns(trades: pl.DataFrame) -> list[str]:
    return [name for name in trades.columns if name.startswith(VENDOR)]


def _fields(trades: pl.DataFrame) -> list[pl.Expr | str]:
    names = ("exchange", "symbol", "native_symbol", "base", "quote", "trade_id")
    vendor = [pl.col(name).alias(name.removeprefix(VENDOR)) for name in _vendor_columns(trades)]
    source = ("source", "source_partition", "source_offset", "source_index")
    no_condition = pl.lit([], pl.List(pl.String))
    return [
        pl.col(*names).cast(pl.String),
        pl.col("sequence"),
        pl.col("timestamp").cast(pl.Int64),
        pl.when(pl.col("side") == BUY).then(pl.lit("BUY")).otherwise(pl.lit("SELL")).alias("side"),
        *(decimal_text(amount) for amount in ("price", "quantity", "quote_volume")),
        pl.when(pl.col("condition").is_null())
        .then(no_condition)
        .otherwise(pl.concat_list("condition"))
        .alias("conditions"),
        pl.col("received_at").cast(pl.Int64),
        pl.col(*source),
        *([_VIA_NAME] if trades["via"].n_unique() > 1 or trades["via"][0] != WEBSOCKET else []),
        *(["numbering"] if (trades["numbering"] > 0).any() else []),
        *(name for name in _EXTRA if name in trades.columns),
        *([pl.struct(vendor).alias("vendor_data")] if vendor else []),
    ]


_EXTRA: Final = (OUTAGES_COLUMN, KIND_COLUMN, SHARDS_COLUMN)

_VIA_NAME: Final = pl.col("via").replace_strict(
    list(VIA.values()), list(VIA), return_dtype=pl.String
)


def decimal_text(amount: str) -> pl.Expr:
    """Return a decimal as text, without trailing zeros."""
    return pl.col(amount).cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".")


_NUMBERS: Final = ("price", "quantity", "quote_volume", "sequence", "source_offset")

_IS_VALID: Final = (
    ((pl.col("price") > 0) & (pl.col("quantity") > 0) | pl.col("condition").is_not_null())
    & (pl.col("quantity") < QUANTITY_LIMIT)
    & (pl.col("quote_volume") < QUOTE_VOLUME_LIMIT)
    & (pl.col("timestamp") <= pl.col("received_at") + pl.duration(microseconds=AHEAD_US))
)
"""Limits that decoding enforces; sums and the watermark rely on them."""

# attrgetter runs in C, which matters for thousands of messages.
_kind: Final = attrgetter(KIND_COLUMN)
_exchange: Final = attrgetter("exchange")
_shards: Final = attrgetter(SHARDS_COLUMN)
_exchange_and_shards: Final = attrgetter("exchange", SHARDS_COLUMN)


def from_json(values: Sequence[bytes]) -> ParsedMessages:
    """Parse messages; one that is not a trade becomes a fault."""
    messages = _decode_lines(values)
    if len(messages) == len(values):
        return to_trades(messages)
    parsed: list[TradeMessage] = []
    rows: list[int] = []
    faults: list[tuple[int, int, str, str]] = []
    for row, value in enumerate(values):
        try:
            parsed.append(trade_decoder.decode(value))
            rows.append(row)
        except DECODE_ERRORS as error:
            faults.append((row, 0, "bad_message", str(error)[:1000]))
    return add_faults(to_trades(parsed, rows), faults)


def _decode_lines(values: Sequence[bytes]) -> list[TradeMessage]:
    """Decode all messages if each is one line and a trade; else return none."""
    lines = b"\n".join(values)
    # The decoder skips empty lines: one could hide that another value holds two lines.
    if lines.count(b"\n") != len(values) - 1:
        return []
    try:
        return trade_decoder.decode_lines(lines)
    except DECODE_ERRORS:
        return []


def add_faults(
    parsed: ParsedMessages, faults: Sequence[tuple[int, int, str, str]]
) -> ParsedMessages:
    """Return the parsed messages with more faults (rows of FAULTS)."""
    fault_rows = pl.DataFrame(faults, FAULTS, orient="row")
    return replace(parsed, faults=pl.concat([fault_rows, parsed.faults]))


def to_trades(
    messages: Sequence[TradeMessage], rows: Sequence[int] | None = None
) -> ParsedMessages:
    """Convert messages to trades. `rows`: their places, if not consecutive."""
    if not messages:
        return ParsedMessages(empty({"row": pl.UInt32, **TRADES}), empty(FAULTS))
    texts = pl.DataFrame(
        {
            name: [getattr(message, name) for message in messages]
            for name in TradeMessage.__struct_fields__
            if name not in {"conditions", "via", *_EXTRA}
        },
        schema_overrides={"sequence": pl.UInt64, "source_offset": pl.UInt64},
        strict=False,
    ).with_columns(
        row=pl.Series(rows if rows is not None else range(len(messages)), dtype=pl.UInt32),
        condition=pl.Series([join_conditions(m.conditions) for m in messages], dtype=pl.String),
        via=pl.Series([VIA[message.via] for message in messages], dtype=pl.Int8),
    )
    is_known_exchange = pl.col("exchange").is_in(list(EXCHANGES))
    is_exact = [
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
        exact=pl.all_horizontal(is_exact),
        known=is_known_exchange,
    )
    kinds = frozenset(set(map(_kind, messages)) - {None})
    counts = _shard_counts(messages, rows)
    with_outages = [place for place, message in enumerate(messages) if message.outages]
    has_numbers = pl.all_horizontal(pl.col(_NUMBERS).is_not_null())
    is_valid = (
        pl.col("known")
        & has_numbers
        & pl.col("exact")
        & _IS_VALID
        & _have_valid_outages(messages, with_outages)
    )
    valid = typed.select(good=is_valid).to_series()
    outages = _outages(messages[place] for place in with_outages if valid[place])
    if valid.all():
        return ParsedMessages(typed.select("row", *TRADES), empty(FAULTS), outages, kinds, counts)
    detail = pl.when(~pl.col("known")).then(pl.lit(UNKNOWN_EXCHANGE_DETAIL))
    faults = typed.filter(~valid).select(
        "row",
        index=pl.lit(0, pl.UInt16),
        reason=pl.lit("bad_message"),
        detail=detail.when(has_numbers & pl.col("exact"))
        .then(pl.lit(BAD_VALUE_DETAIL))
        .otherwise(pl.lit(INEXACT_DETAIL)),
    )
    trades = typed.filter(valid).select("row", *TRADES)
    return ParsedMessages(trades, faults, outages, kinds, counts)


def _shard_counts(messages: Sequence[TradeMessage], rows: Sequence[int] | None) -> ShardCounts:
    """Return the numbers of shards that messages name. `rows`: their places, as `to_trades`."""
    places = range(len(messages)) if rows is None else rows
    exchanges, counts = set(map(_exchange, messages)), set(map(_shards, messages))
    if len(exchanges) == len(counts) == 1:
        # As usual. To make a pair of each message takes three times as long.
        pairs: Iterable[tuple[str, int | None]] = [(exchanges.pop(), counts.pop())]
        places = places[-1:]
    else:
        pairs = map(_exchange_and_shards, messages)
    last_places = dict(zip(pairs, places, strict=True))
    return {(name, count): place for (name, count), place in last_places.items() if count}


def _have_valid_outages(messages: Sequence[TradeMessage], with_outages: Sequence[int]) -> pl.Expr:
    """Return whether the outages of a message, if any, end after they began."""
    invalid = [
        place
        for place in with_outages
        if any(began >= ended for began, ended in messages[place].outages or ())
    ]
    return ~pl.int_range(pl.len()).is_in(invalid) if invalid else pl.lit(True)


def _outages(messages: Iterable[TradeMessage]) -> pl.DataFrame:
    rows = [
        (message.exchange, began, ended)
        for message in messages
        for began, ended in message.outages or ()
    ]
    return pl.DataFrame(rows, OUTAGES_BY_EXCHANGE, orient="row")
