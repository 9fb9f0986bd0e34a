"""Decoding of frames into trades, control frames and dead letters.

Pure functions over frames. Each frame ends as exactly one of the three kinds. A frame with good and
bad trades keeps the good ones, and each bad one becomes a dead letter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import repeat
from typing import Any, Final

import polars as pl

from candlewax.core.frames import EVENT, FROM_DUMP, FROM_REST
from candlewax.core.gaps.gap_state import OUTAGES
from candlewax.core.gaps.market_outages import SubscriptionEvent, subscription_event
from candlewax.core.gaps.outages import ConnectionEvent, connection_event
from candlewax.core.instruments import Instruments
from candlewax.core.schema import (
    TRADES,
    empty,
)
from candlewax.core.shards import WHOLE, Shard
from candlewax.core.trades.bronze_rows import bronze_rows
from candlewax.core.trades.channel_columns import Tables, follow_frames
from candlewax.core.trades.channels import ChannelTracker, read_on_channel
from candlewax.core.trades.dead_letters import dead_letter_rows, whole_frame_faults
from candlewax.core.trades.normalize import FAULTS, normalize
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

ONE_BY_ONE_FRAMES: Final = 32
"""Frames up to which parsing one by one is faster than trying each layout."""

MAX_TRADES: Final = 65_535
"""Most trades of a frame: `trades` in `bronze_frames` has 16 bits."""


@dataclass(frozen=True)
class DecodedFrames:
    """A decoded batch of frames of one exchange.

    `bronze`: BRONZE, one row a frame, in order, `duplicates` still 0. `trades`: TRADES with vendor
    columns and `row`, the place in `bronze`. `events`: connection events, in order;
    `subscriptions`: those of markets. `outages`: OUTAGES that another process detected before these
    trades. `shard`: to which all trades belong. `heard`: BRONZE of all frames that tell of
    connections, to which `row` of an event refers; None if these are the frames of `bronze`.
    """

    exchange: str
    bronze: pl.DataFrame
    trades: pl.DataFrame
    dead_letters: pl.DataFrame
    events: Sequence[ConnectionEvent] = ()
    outages: pl.DataFrame = field(default_factory=lambda: empty(OUTAGES))
    subscriptions: Sequence[SubscriptionEvent] = ()
    shard: Shard = WHOLE
    heard: pl.DataFrame | None = None

    @property
    def connection_frames(self) -> pl.DataFrame:
        """BRONZE of all frames that tell of connections."""
        return self.bronze if self.heard is None else self.heard

    @property
    def placed_trades(self) -> pl.DataFrame:
        """The trades, with `row` as in `connection_frames`: if these are others, by receipt."""
        if self.heard is None:
            return self.trades
        received = self.heard["received_at"].cum_max()
        return self.trades.with_columns(row=received.search_sorted(self.trades["received_at"]))


def decode(
    exchange: Exchange,
    frames: pl.DataFrame,
    instruments: Instruments,
    tracker: ChannelTracker | None = None,
) -> DecodedFrames:
    """Decode a batch of frames (FRAMES, with SOURCE or without) of one exchange.

    `tracker`: the channels of its connections, if its frames name no market; without it the batch
    holds all frames of its connections.
    """
    frames = _with_source(frames)
    numbered = frames.with_row_index("row")
    if exchange.channels and tracker is None:
        tracker = ChannelTracker(exchange.channels)
    tables, faults, events = _read(exchange, numbered, tracker)
    parts = [
        normalize(native, dialect, frames, exchange.id, instruments) for dialect, native in tables
    ]
    trades = _in_order([part.trades for part in parts])
    all_faults = _concat_faults([faults, *(part.faults for part in parts)])
    bronze = bronze_rows(exchange.id, numbered, trades["row"], all_faults["row"])
    connections = [event for event in events if isinstance(event, ConnectionEvent)]
    subscriptions = [
        event.with_unified_symbols(lambda native: instruments.resolve(exchange.id, native))
        for event in events
        if isinstance(event, SubscriptionEvent)
    ]
    letters = dead_letter_rows(bronze, all_faults)
    return DecodedFrames(
        exchange.id, bronze, trades, letters, connections, subscriptions=subscriptions
    )


def _concat_faults(faults: list[pl.DataFrame]) -> pl.DataFrame:
    filled = [part for part in faults if part.height]
    return pl.concat(filled) if filled else empty(FAULTS)


def reject_frames(exchange: str, frames: pl.DataFrame, reason: str, detail: str) -> DecodedFrames:
    """Make dead letters of all frames (FRAMES, with SOURCE or without)."""
    numbered = _with_source(frames).with_row_index("row")
    faults = whole_frame_faults(numbered, reason, detail)
    no_trades = empty({"row": pl.UInt32, **TRADES})
    bronze = bronze_rows(exchange, numbered, no_trades["row"], faults["row"])
    return DecodedFrames(exchange, bronze, no_trades, dead_letter_rows(bronze, faults))


def reject_invalid_utf8(
    exchange: str, frames: pl.DataFrame, values: Sequence[bytes], details: Sequence[str]
) -> DecodedFrames:
    """Make dead letters of frames that are not UTF-8; they hold the bytes."""
    rejected = reject_frames(exchange, frames, "not_utf8", "")
    dead_letters = rejected.dead_letters.with_columns(
        pl.Series("frame", values, pl.Binary), pl.Series("detail", details, pl.String)
    )
    return replace(rejected, dead_letters=dead_letters)


def _with_source(frames: pl.DataFrame) -> pl.DataFrame:
    """Add SOURCE: the source of a frame without topic is its connection."""
    if "source" in frames.columns:
        return frames
    return frames.with_columns(
        source="connection", source_partition=pl.lit(0, pl.UInt32), source_offset="seq"
    )


Events = list[ConnectionEvent | SubscriptionEvent]


def _read(
    exchange: Exchange, numbered: pl.DataFrame, tracker: ChannelTracker | None
) -> tuple[Tables, pl.DataFrame, Events]:
    """Read all frames, each as its connection name says. Return tables, FAULTS and events."""
    is_rest, is_dump = (numbered["connection"].str.starts_with(p) for p in (FROM_REST, FROM_DUMP))
    if not is_rest.any() and not is_dump.any():
        return _read_websocket(exchange, numbered, tracker)
    received = numbered.filter(~(is_rest | is_dump))
    tables, faults, events = _read_websocket(exchange, received, tracker)
    responses, response_faults, _ = _read_responses(exchange, numbered.filter(is_rest))
    dumps, dump_faults = _read_dump(exchange, numbered.filter(is_dump))
    return tables + responses + dumps, pl.concat([faults, response_faults, dump_faults]), events


def _read_websocket(
    exchange: Exchange, frames: pl.DataFrame, tracker: ChannelTracker | None
) -> tuple[Tables, pl.DataFrame, Events]:
    """Read frames of websockets."""
    tables, unmatched = _extract_layouts(exchange, frames)
    if exchange.control_texts:
        unmatched = unmatched.filter(~pl.col("frame").is_in(exchange.control_texts))
    if tracker:
        followed = follow_frames(tracker, frames, tables, unmatched)
        others, faults, events = _read_one_by_one(
            followed.with_markets(unmatched), partial(read_on_channel, exchange)
        )
        faults = pl.concat([faults, followed.faults])
        events = sorted([*events, *followed.events], key=lambda event: event.row)
        return followed.tables + others, faults, events
    others, faults, events = _read_one_by_one(unmatched, lambda _, content: exchange.read(content))
    return tables + others, faults, events


def _read_responses(
    exchange: Exchange, frames: pl.DataFrame
) -> tuple[Tables, pl.DataFrame, Events]:
    """Read REST responses; the connection names the symbol."""
    native_symbol = pl.col("connection").str.strip_prefix(FROM_REST)
    responses = frames.select("row", "frame", native_symbol=native_symbol)
    return _read_one_by_one(responses, exchange.read_response)


def _read_dump(exchange: Exchange, frames: pl.DataFrame) -> tuple[Tables, pl.DataFrame]:
    """Read pieces of dump files; the connection names the symbol."""
    native_symbol = pl.col("connection").str.strip_prefix(FROM_DUMP)
    pieces = frames.select("row", "frame", native_symbol=native_symbol)
    if pieces.is_empty():
        return [], empty(FAULTS)
    if exchange.dump is None:
        return [], whole_frame_faults(pieces, "bad_shape", f"{exchange.id} publishes no dumps")
    is_too_long = pieces["frame"].str.count_matches("\n", literal=True) >= MAX_TRADES
    native, faults = read_lines(exchange.dump, pieces.filter(~is_too_long))
    detail = f"at most {MAX_TRADES} lines"
    length_faults = whole_frame_faults(pieces.filter(is_too_long), "too_many_trades", detail)
    tables = [(exchange.dump.dialect, native)] if native.height else []
    return tables, pl.concat([faults, length_faults])


def _extract_layouts(exchange: Exchange, frames: pl.DataFrame) -> tuple[Tables, pl.DataFrame]:
    """Extract columns from frames with a known layout. Return the other frames, too."""
    tables: Tables = []
    if frames.height <= ONE_BY_ONE_FRAMES:
        return tables, frames
    unmatched = frames.select("row", "frame")
    for layout in order_by_likelihood(exchange.layouts, unmatched):
        for extract in (extract_columns, extract_many)[: 1 + layout.has_several_trades]:
            if unmatched.height <= ONE_BY_ONE_FRAMES:
                break
            native = extract(layout, unmatched)
            if native.height:
                tables.append((layout.dialect, native))
                unmatched = _without(unmatched, native["row"])
    return tables, unmatched


def _without(frames: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    if rows.n_unique() == frames.height:
        return frames.clear()
    return frames.filter(~pl.col("row").is_in(rows.unique().implode()))


def _read_one_by_one(
    frames: pl.DataFrame, read: Callable[[Any, Any], Reading]
) -> tuple[Tables, pl.DataFrame, Events]:
    """Parse frames as JSON; `read` gets the native symbol of the frame, if it has one."""
    by_dialect: dict[int, tuple[Dialect, list[NativeTrade]]] = {}
    faults: list[tuple[int, int, str, str]] = []
    events: Events = []
    native_symbols = frames["native_symbol"] if "native_symbol" in frames.columns else repeat("")
    rows = zip(frames["row"].to_list(), frames["frame"].to_list(), strict=True)
    for (row, frame), symbol in zip(rows, native_symbols, strict=False):
        try:
            content = parse(frame)
            if isinstance(content, dict) and EVENT in content:
                read_event = connection_event(row, content), subscription_event(row, content)
                events += [event for event in read_event if event]
                continue
            reading = read(symbol, content)
            if reading is None:
                continue
            dialect, trades = reading
            if len(trades) > MAX_TRADES:
                raise FrameError("too_many_trades", f"at most {MAX_TRADES}, got {len(trades)}")
        except FrameError as error:
            faults.append((row, 0, error.reason, error.detail))
            continue
        readable = by_dialect.setdefault(id(dialect), (dialect, []))[1]
        for index, trade in enumerate(trades):
            if isinstance(trade, FrameError):
                faults.append((row, index, trade.reason, trade.detail))
            else:
                readable.append({**trade, "row": row, "index": index})  # type: ignore[dict-item]
    tables = [(dialect, _table(natives)) for dialect, natives in by_dialect.values() if natives]
    fault_rows = pl.DataFrame(faults, schema=FAULTS, orient="row") if faults else empty(FAULTS)
    return tables, fault_rows, events


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
