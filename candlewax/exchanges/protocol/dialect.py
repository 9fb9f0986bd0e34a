"""What an exchange module declares, and how frames become native columns."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import polars as pl

from candlewax.exchanges.protocol.fields import Fields, FrameError, NativeTrade, pattern
from candlewax.exchanges.protocol.rest import RestRules
from candlewax.exchanges.protocol.websocket import WebSocketRules

BUY, SELL = 1, 2
"""Values of `side`, the taker's."""


class Meaning(NamedTuple):
    """What the fields of one native trade mean, as the columns of `Dialect`."""

    native_symbol: str
    trade_id: str
    time: int | None
    side: int | None
    price: str
    quantity: str
    condition: str | None = None


@dataclass(frozen=True)
class Dialect:
    """One protocol of an exchange: its trade and what each field means.

    `columns` gives, as expressions over text columns named after the native
    fields: native_symbol and trade_id (String), time (Int64, microseconds since
    1970, null if unreadable), side (Int8, the taker's, null if unreadable), price
    and quantity (String), condition (String, null for an ordinary trade).
    `meaning` gives the same of one native trade.
    `mapped` names the fields these say all of; every other one is vendor data.
    `numbered` tells whether trade_id counts the trades of a symbol without holes;
    if not, it is made of the content. `spellings` says of time and side which native field
    holds it and what is expected there, for the dead letters of those that cannot be read.
    """

    shape: Fields
    columns: Mapping[str, pl.Expr]
    meaning: Callable[[NativeTrade], Meaning]
    mapped: frozenset[str]
    spellings: Mapping[str, "Spelling"]
    numbered: bool = True


@dataclass(frozen=True)
class Spelling:
    """The native field that holds a value, and how it is written there."""

    field: str
    expected: str


@dataclass(frozen=True)
class FrameTemplate:
    """Frames as the exchange sends them, character by character.

    Templates as in `pattern`. `before` and `after` stand around one trade, or
    around several with commas between them.
    """

    dialect: Dialect
    trade: str
    before: str = ""
    after: str = ""
    several: bool = False

    @cached_property
    def single(self) -> str:
        """Pattern of a frame that holds one trade."""
        shape = self.dialect.shape
        parts = (pattern(shape, part) for part in (self.before, self.trade, self.after))
        return "^" + "".join(parts) + "$"

    @cached_property
    def each(self) -> str:
        """Pattern of one trade."""
        return "^" + pattern(self.dialect.shape, self.trade) + "$"

    @cached_property
    def recognizes(self) -> Callable[[str], object]:
        """Tells whether a frame holds one trade and has this layout."""
        return re.compile(uncaptured(self.single)).match

    @cached_property
    def many(self) -> str:
        """Pattern of a frame that holds several trades, one group around them all."""
        before, trade, after = (
            pattern(self.dialect.shape, part) for part in (self.before, self.trade, self.after)
        )
        one = uncaptured(trade)
        return f"^{before}(?<trades>{one}(?:,{one})+){after}$"

    @cached_property
    def any_trade(self) -> str:
        """Pattern that finds the trades of a frame one after another."""
        return uncaptured(pattern(self.dialect.shape, self.trade))


_SAMPLE: Final = 4
"""Frames that are asked which layout to try first."""


def uncaptured(regex: str) -> str:
    """The same pattern without capture groups."""
    return re.sub(r"\((?!\?)|\(\?<\w+>", "(?:", regex)


Trades = Sequence[NativeTrade | FrameError]
Reading = tuple[Dialect, Trades] | None
"""What one frame says: a dialect and its trades, or None for a control frame."""

Split = tuple[str, str, str]
"""Unified symbol, base and quote."""


@dataclass(frozen=True)
class DumpRules:
    """The lines of an exchange's dump files: the fields of the dialect's shape in its
    order, the optional ones last. `header` is the first field of a first line that holds
    names.
    """

    dialect: Dialect
    header: str


@dataclass(frozen=True)
class Exchange:
    """An exchange: how to read its frames and its symbols.

    `read` takes a frame's decoded JSON and raises FrameError for what is neither
    trades nor a control frame. `split` takes a native symbol that the instruments
    file does not list and the assets known from that file; None if no rule resolves it.
    `quotes` are the known quote assets where symbols have no separator. `known_conditions` are
    the values of `condition` whose meaning is known. `live` are the rules of its websocket,
    `rest` those of its REST. `answer` takes a native symbol and the decoded JSON of an
    answer to a request for its trades; as `read`. `dump` reads the lines of the files an
    exchange publishes; None if it publishes none.
    """

    id: str
    layouts: tuple[FrameTemplate, ...]
    read: Callable[[Any], Reading]
    split: Callable[[str, Collection[str]], Split | None]
    live: WebSocketRules
    rest: RestRules
    answer: Callable[[str, Any], Reading]
    dump: DumpRules | None = None
    quotes: tuple[str, ...] = ()
    known_conditions: frozenset[str] = frozenset()


def likely_first(layouts: Sequence[FrameTemplate], frames: pl.DataFrame) -> list[FrameTemplate]:
    """Order layouts: those of the first frames come first, as one that no frame has costs as
    much to try as one that all have.
    """
    sample = frames["frame"].head(_SAMPLE).to_list()
    return sorted(layouts, key=lambda layout: not any(map(layout.recognizes, sample)))


def extract_columns(layout: FrameTemplate, frames: pl.DataFrame) -> pl.DataFrame:
    """Read the frames that hold one trade and have this layout.

    In: row (UInt32), frame (String). Out: row, index (UInt16), and a text column
    for each field of the layout; only the frames that match.
    """
    groups = frames.select("row", groups=pl.col("frame").str.extract_groups(layout.single))
    return _matched(groups.unnest("groups").with_columns(index=pl.lit(0, pl.UInt16)))


def extract_many(layout: FrameTemplate, frames: pl.DataFrame) -> pl.DataFrame:
    """Read the frames that hold several trades and have this layout; as `extract_columns`."""
    groups = frames.select("row", groups=pl.col("frame").str.extract_groups(layout.many))
    found = groups.unnest("groups").filter(pl.col("trades").is_not_null())
    trades = found.with_columns(
        pl.col("trades").str.extract_all(layout.any_trade),
        index=pl.int_ranges(0, pl.col("trades").str.extract_all(layout.any_trade).list.len()),
    ).explode("trades", "index")
    fields = trades["trades"].str.extract_groups(layout.each).struct.unnest()
    return trades.drop("trades").with_columns(pl.col("index").cast(pl.UInt16)).hstack(fields)


def _matched(groups: pl.DataFrame) -> pl.DataFrame:
    first = next(name for name in groups.columns if name not in {"row", "index"})
    return groups if groups[first].null_count() == 0 else groups.filter(pl.col(first).is_not_null())
