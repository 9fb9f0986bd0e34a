"""Markets of frames that name only a channel, for batches in columns.

The frames are followed in the order of receipt, one after another: which market a channel carries,
and which frames are lost, depends on the frames before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from candlewax.core.gaps.market_outages import SubscriptionEvent
from candlewax.core.trades.channels import (
    PLACE_COLUMNS,
    UNKNOWN_CHANNEL,
    ChannelTracker,
    FramePlace,
    unknown_channel_detail,
)
from candlewax.core.trades.normalize import FAULTS
from candlewax.exchanges.protocol.channels import CHANNEL, FRAME_NUMBER, NO_TRADES
from candlewax.exchanges.protocol.dialect import Dialect
from candlewax.exchanges.protocol.fields import FrameError, parse
from candlewax.exchanges.protocol.rest import NATIVE_SYMBOL

Tables = list[tuple[Dialect, pl.DataFrame]]
"""Native trades by dialect: row, index and text columns named after native fields."""


@dataclass(frozen=True)
class FollowedFrames:
    """Result of following a batch: its `tables` with the native symbol of each trade.

    `faults`: FAULTS of trades on unknown channels. `events`: frames that are lost. `markets`: by
    row, the native symbol of each frame without a layout; None if its channel is unknown.
    """

    tables: Tables
    faults: pl.DataFrame
    events: Sequence[SubscriptionEvent]
    markets: Mapping[int, str | None]

    def with_markets(self, frames: pl.DataFrame) -> pl.DataFrame:
        """Return frames (`row`, frame) with `native_symbol`."""
        names = [self.markets.get(row) for row in frames["row"]]
        return frames.with_columns(native_symbol=pl.Series(names, dtype=pl.String))


def follow_frames(
    tracker: ChannelTracker, frames: pl.DataFrame, tables: Tables, unmatched: pl.DataFrame
) -> FollowedFrames:
    """Follow a batch of frames (FRAMES and SOURCE with `row`) in order.

    `tables`: the native trades of frames with a layout. `unmatched`: the other frames.
    """
    channels: dict[int, tuple[str, str | None]] = {}
    for _, native in tables:
        numbered = native.select("row", CHANNEL, *_frame_number(native))
        channels |= {row: (channel, number) for row, channel, number in numbered.iter_rows()}
    texts = dict(unmatched.select("row", "frame").iter_rows())
    markets: dict[int, str | None] = {}
    events = []
    for row, *values in frames.select("row", *PLACE_COLUMNS).iter_rows():
        place = FramePlace(*values)
        if row in channels:
            markets[row], event = tracker.follow_trade(row, place, *channels[row])
        elif row in texts:
            event = _follow_text(tracker, row, place, texts[row], markets)
        else:
            continue  # a frame without JSON tells nothing of channels
        if event:
            events.append(event)
    unknown = [(row, channel) for row, (channel, _) in channels.items() if markets[row] is None]
    faults = [(row, 0, UNKNOWN_CHANNEL, unknown_channel_detail(name)) for row, name in unknown]
    named = [(dialect, _with_symbols(native, markets)) for dialect, native in tables]
    return FollowedFrames(
        [(dialect, native) for dialect, native in named if native.height],
        pl.DataFrame(faults, FAULTS, orient="row"),
        events,
        markets,
    )


def _frame_number(native: pl.DataFrame) -> list[pl.Expr]:
    has_number = FRAME_NUMBER in native.columns
    return [pl.col(FRAME_NUMBER) if has_number else pl.lit(None, pl.String).alias(FRAME_NUMBER)]


def _follow_text(
    tracker: ChannelTracker,
    row: int,
    place: FramePlace,
    text: str,
    markets: dict[int, str | None],
) -> SubscriptionEvent | None:
    try:
        content: Any = parse(text)
    except FrameError:
        return None
    event = tracker.follow(row, place, content)
    markets[row] = tracker.native_symbol(place, content)
    return event


def _with_symbols(native: pl.DataFrame, markets: Mapping[int, str | None]) -> pl.DataFrame:
    """Return the trades on channels that carry trades, with their native symbols."""
    names = pl.Series(NATIVE_SYMBOL, [markets[row] for row in native["row"]], pl.String)
    dropped = [name for name in (CHANNEL, FRAME_NUMBER) if name in native.columns]
    named = native.drop(dropped).with_columns(names)
    return named.filter(pl.col(NATIVE_SYMBOL) != NO_TRADES)
