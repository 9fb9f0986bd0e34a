"""Frames into trades, control frames and dead letters: nothing is left over.

Pure functions over frames. Each frame of a batch ends as exactly one of the three
kinds; a frame with good and bad trades keeps the good ones and loses none of the
bad ones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat
from typing import Any, Final

import polars as pl

from candlewax.core.frames import EVENT, FROM_DUMP, FROM_REST
from candlewax.core.gaps.gap_state import OUTAGES
from candlewax.core.gaps.market_outages import SubscriptionEvent, subscription_event
from candlewax.core.gaps.outages import ConnectionEvent, connection_event
from candlewax.core.instruments import Instruments
from candlewax.core.schema import (
    BRONZE,
    KIND_CONTROL,
    KIND_DEAD,
    KIND_TRADE,
    SOURCE,
    TIME,
    TRADES,
    empty,
)
from candlewax.core.trades import small_batch
from candlewax.core.trades.dead_letters import letters, whole_frame_faults
from candlewax.core.trades.normalize import FAULTS, NormalizedTrades, normalize
from candlewax.exchanges import Exchange
from candlewax.exchanges.protocol.dialect import (
    Dialect,
    Reading,
    extract_columns,
    extract_many,
    order_by_likelihood,
)
from candlewax.exchanges.protocol.dump_files import read_lines
from candlewax.exchanges.protocol.fields import FrameError, NativeTrade, parse

SMALL_BATCH_ROWS: Final = 32
"""Frames that are sooner read one by one than tried against each layout."""

MOST_TRADES: Final = 65_535
"""The most trades of one frame: its number of trades is counted in 16 bits."""


@dataclass(frozen=True)
class Decoded:
    """A batch of frames of one exchange, read.

    `bronze`: BRONZE, one row a frame, in order, `duplicates` still 0.
    `trades`: TRADES with `row`, the frame's place in `bronze`, and vendor columns.
    `dead_letters`: DEAD_LETTERS. `events`: what the frames say of connections, in order;
    `subscriptions`: what they say of single markets.
    `outages`: OUTAGES that others found before these trades.
    """

    exchange: str
    bronze: pl.DataFrame
    trades: pl.DataFrame
    dead_letters: pl.DataFrame
    events: Sequence[ConnectionEvent] = ()
    outages: pl.DataFrame = field(default_factory=lambda: empty(OUTAGES))
    subscriptions: Sequence[SubscriptionEvent] = ()


def decode(exchange: Exchange, frames: pl.DataFrame, instruments: Instruments) -> Decoded:
    """Read a batch of frames (FRAMES, with SOURCE or without) of one exchange."""
    frames = _with_source(frames)
    numbered = frames.with_row_index("row")
    few = frames.height <= small_batch.SMALL_BATCH_ROWS and small_batch.all_from_websocket(frames)
    natives, faults, events = (_read_heard if few else _read)(exchange, numbered)
    parts = [
        _normalized(exchange, dialect, native, frames, instruments, few=few)
        for dialect, native in natives
    ]
    trades = _in_order([part.trades for part in parts])
    all_faults = _joined([faults, *(part.faults for part in parts)])
    bronze = _bronze(exchange.id, numbered, trades["row"], all_faults["row"])
    told = [one for one in events if isinstance(one, ConnectionEvent)]
    subscriptions = [
        one.with_unified_symbols(lambda native: instruments.resolve(exchange.id, native))
        for one in events
        if isinstance(one, SubscriptionEvent)
    ]
    dead = letters(bronze, all_faults)
    return Decoded(exchange.id, bronze, trades, dead, told, subscriptions=subscriptions)


def _normalized(
    exchange: Exchange,
    dialect: Dialect,
    native: pl.DataFrame,
    frames: pl.DataFrame,
    instruments: Instruments,
    *,
    few: bool,
) -> NormalizedTrades:
    """Unified trades, and what is wrong with the others."""
    if few:
        trades = small_batch.normalize(native, dialect, frames, exchange.id, instruments)
        if trades is not None:
            return NormalizedTrades(trades, empty(FAULTS))
    return normalize(native, dialect, frames, exchange.id, instruments)


def _joined(faults: list[pl.DataFrame]) -> pl.DataFrame:
    some = [part for part in faults if part.height]
    return pl.concat(some) if some else empty(FAULTS)


def reject_frames(exchange: str, frames: pl.DataFrame, reason: str, detail: str) -> Decoded:
    """Make dead letters of all frames (FRAMES, with SOURCE or without), whatever they
    hold.
    """
    numbered = _with_source(frames).with_row_index("row")
    faults = whole_frame_faults(numbered, reason, detail)
    none = empty({"row": pl.UInt32, **TRADES})
    bronze = _bronze(exchange, numbered, none["row"], faults["row"])
    return Decoded(exchange, bronze, none, letters(bronze, faults))


def reject_invalid_utf8(
    exchange: str, frames: pl.DataFrame, values: Sequence[bytes], details: Sequence[str]
) -> Decoded:
    """Make dead letters, which hold the bytes, of frames whose text is none."""
    dead = reject_frames(exchange, frames, "not_utf8", "")
    letters = dead.dead_letters.with_columns(
        pl.Series("frame", values, pl.Binary), pl.Series("detail", details, pl.String)
    )
    return replace(dead, dead_letters=letters)


def _with_source(frames: pl.DataFrame) -> pl.DataFrame:
    """Add SOURCE: frames that no topic carried come from their connection."""
    if "source" in frames.columns:
        return frames
    if frames.height <= small_batch.SMALL_BATCH_ROWS:
        return small_batch.with_source(frames)
    return frames.with_columns(
        source="connection", source_partition=pl.lit(0, pl.UInt32), source_offset="seq"
    )


Events = list[ConnectionEvent | SubscriptionEvent]

Natives = list[tuple[Dialect, pl.DataFrame]]
"""Tables of native trades, each with what their fields mean."""


def _read(exchange: Exchange, numbered: pl.DataFrame) -> tuple[Natives, pl.DataFrame, Events]:
    """Read all frames, each as its connection says; FAULTS and events beside."""
    asked, dumped = (numbered["connection"].str.starts_with(w) for w in (FROM_REST, FROM_DUMP))
    if not asked.any() and not dumped.any():
        return _read_heard(exchange, numbered)
    heard, faults, events = _read_heard(exchange, numbered.filter(~(asked | dumped)))
    answers, wrong, _ = _read_answers(exchange, numbered.filter(asked))
    lines, bad = _read_dump(exchange, numbered.filter(dumped))
    return heard + answers + lines, pl.concat([faults, wrong, bad]), events


def _read_heard(exchange: Exchange, frames: pl.DataFrame) -> tuple[Natives, pl.DataFrame, Events]:
    """Read what came on websockets."""
    natives, left = _lift(exchange, frames)
    rest, faults, events = _read_one_by_one(left, lambda _, content: exchange.read(content))
    return natives + rest, faults, events


def _read_answers(exchange: Exchange, frames: pl.DataFrame) -> tuple[Natives, pl.DataFrame, Events]:
    """Read answers of REST, whose connections name the symbol."""
    named = frames.select(
        "row", "frame", native_symbol=pl.col("connection").str.strip_prefix(FROM_REST)
    )
    return _read_one_by_one(named, exchange.read_response)


def _read_dump(exchange: Exchange, frames: pl.DataFrame) -> tuple[Natives, pl.DataFrame]:
    """Read pieces of dump files, whose connections name the symbol."""
    named = frames.select(
        "row", "frame", native_symbol=pl.col("connection").str.strip_prefix(FROM_DUMP)
    )
    if named.is_empty():
        return [], empty(FAULTS)
    if exchange.dump is None:
        return [], whole_frame_faults(named, "bad_shape", f"{exchange.id} publishes no dumps")
    long = named["frame"].str.count_matches("\n", literal=True) >= MOST_TRADES
    native, faults = read_lines(exchange.dump, named.filter(~long))
    too_long = whole_frame_faults(
        named.filter(long), "too_many_trades", f"at most {MOST_TRADES} lines"
    )
    natives = [(exchange.dump.dialect, native)] if native.height else []
    return natives, pl.concat([faults, too_long])


def _lift(exchange: Exchange, frames: pl.DataFrame) -> tuple[Natives, pl.DataFrame]:
    """Read whole columns out of the frames with a known layout; the rest is left."""
    natives: Natives = []
    if frames.height <= SMALL_BATCH_ROWS:
        return natives, frames
    left = frames.select("row", "frame")
    for layout in order_by_likelihood(exchange.layouts, left):
        for lifting in (
            (extract_columns, extract_many) if layout.has_several_trades else (extract_columns,)
        ):
            if left.height <= SMALL_BATCH_ROWS:
                break
            native = lifting(layout, left)
            if native.height:
                natives.append((layout.dialect, native))
                left = _without(left, native["row"])
    return natives, left


def _without(frames: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    if rows.n_unique() == frames.height:
        return frames.clear()
    return frames.filter(~pl.col("row").is_in(rows.unique().implode()))


def _read_one_by_one(
    frames: pl.DataFrame, read: Callable[[str, Any], Reading]
) -> tuple[Natives, pl.DataFrame, Events]:
    """Read frames as JSON; `read` gets the native symbol that is known of a frame."""
    found: dict[int, tuple[Dialect, list[NativeTrade]]] = {}
    faults: list[tuple[int, int, str, str]] = []
    events: Events = []
    native_symbols = frames["native_symbol"] if "native_symbol" in frames.columns else repeat("")
    rows = zip(frames["row"].to_list(), frames["frame"].to_list(), strict=True)
    for (row, frame), symbol in zip(rows, native_symbols, strict=False):
        try:
            content = parse(frame)
            if isinstance(content, dict) and EVENT in content:
                read_event = connection_event(row, content), subscription_event(row, content)
                events += [said for said in read_event if said]
                continue
            reading = read(symbol, content)
            if reading is None:
                continue
            dialect, trades = reading
            if len(trades) > MOST_TRADES:
                raise FrameError("too_many_trades", f"at most {MOST_TRADES}, got {len(trades)}")
        except FrameError as error:
            faults.append((row, 0, error.reason, error.detail))
            continue
        good = found.setdefault(id(dialect), (dialect, []))[1]
        for index, trade in enumerate(trades):
            if isinstance(trade, FrameError):
                faults.append((row, index, trade.reason, trade.detail))
            else:
                good.append({**trade, "row": row, "index": index})  # type: ignore[dict-item]
    tables = [(dialect, _table(natives)) for dialect, natives in found.values() if natives]
    wrong = pl.DataFrame(faults, schema=FAULTS, orient="row") if faults else empty(FAULTS)
    return tables, wrong, events


def _table(natives: list[NativeTrade]) -> pl.DataFrame:
    fields = dict.fromkeys(name for native in natives for name in native)
    texts = dict.fromkeys(fields, pl.String) | {"row": pl.UInt32, "index": pl.UInt16}
    return pl.DataFrame(natives, schema=texts)


def _in_order(parts: list[pl.DataFrame]) -> pl.DataFrame:
    filled = [part for part in parts if part.height]
    if not filled:
        return empty({"row": pl.UInt32, **TRADES})
    if len(filled) == 1:
        return filled[0]
    return pl.concat(filled, how="diagonal").sort("row", "source_index")


def _bronze(
    exchange: str, frames: pl.DataFrame, traded: pl.Series, faulty: pl.Series
) -> pl.DataFrame:
    if frames.height <= small_batch.SMALL_BATCH_ROWS:
        return small_batch.bronze(exchange, frames, traded, set(faulty.to_list()))
    counts = _counted(frames.height, traded)
    dead = pl.Series(dtype=pl.Boolean, values=[False]).new_from_index(0, frames.height)
    if faulty.len():
        dead = dead.scatter(faulty.unique(), True)
    kind = pl.when(counts > 0).then(KIND_TRADE).when(dead).then(KIND_DEAD).otherwise(KIND_CONTROL)
    return frames.select(
        "connection",
        *SOURCE,
        "frame",
        exchange=pl.lit(exchange),
        received_at=(pl.col("recv_ns") // 1000).cast(TIME),
        received_ns=(pl.col("recv_ns") % 1000).cast(pl.UInt16),
        kind=kind.cast(pl.Int8),
        trades=counts,
        duplicates=pl.lit(0, pl.UInt16),
    ).select(*BRONZE)


def _counted(height: int, rows: pl.Series) -> pl.Series:
    """How often each row number occurs (UInt16)."""
    if rows.len() == height and rows.n_unique() == height:
        return pl.Series(dtype=pl.UInt16, values=[1]).new_from_index(0, height)
    counts = rows.value_counts()
    zeros = pl.Series(dtype=pl.UInt16, values=[0]).new_from_index(0, height)
    return zeros.scatter(counts["row"], counts["count"].cast(pl.UInt16)) if height else zeros
