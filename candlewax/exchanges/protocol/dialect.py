"""Declarations of an exchange, and extraction of native columns from its frames."""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import Any, Final, NamedTuple

import polars as pl

from candlewax.exchanges.protocol.channels import ChannelRules
from candlewax.exchanges.protocol.daily_files import DailyFiles
from candlewax.exchanges.protocol.fields import Fields, FrameError, NativeTrade, build_pattern
from candlewax.exchanges.protocol.markets import MarketListRules
from candlewax.exchanges.protocol.rest import RestRules
from candlewax.exchanges.protocol.venue_candles import CandleRules
from candlewax.exchanges.protocol.websocket import WebSocketRules

BUY, SELL = 1, 2
"""Values of `side`, the taker's."""


class Meaning(NamedTuple):
    """The fields of one native trade by their meaning, as `Dialect.columns` gives them.

    `number`: the trade's number, if that is not its id.
    """

    native_symbol: str
    trade_id: str
    time: int | None
    side: int | None
    price: str
    quantity: str
    condition: str | None = None
    number: str | None = None


class TradeIds(Enum):
    """Kind of the trade ids of a dialect."""

    NUMBERED = "a whole number below 2^64"
    """They count the trades of a symbol without holes, so missing trades show."""
    UNIQUE = "an id"
    """They are the exchange's own, unique in the symbol, and may be any text. They tell duplicates,
    also over REST, but prove nothing of missing trades."""
    CONTENT = "a content"
    """They are made of the content of trades, their time included, as the exchange gives no id."""

    @property
    def expected(self) -> str:
        """Text expected for such an id, for dead letters."""
        return self.value


@dataclass(frozen=True)
class Dialect:
    """One trade format of an exchange, and the meaning of its fields.

    `columns` are expressions over text columns named after the native fields. They give
    native_symbol and trade_id (String), time (Int64, microseconds since 1970, null if unreadable),
    side (Int8, the taker's, null if unreadable), price and quantity (String), condition (String,
    null for an ordinary trade), and number (String), if a field besides trade_id counts the trades.
    `interpret` gives the same of one native trade.

    `mapped`: the fields that `columns` cover in full; all others are vendor data. `spellings`: for
    time and side, the native field and the text expected there, for dead letters.
    """

    shape: Fields
    columns: Mapping[str, pl.Expr]
    interpret: Callable[[NativeTrade], Meaning]
    mapped: frozenset[str]
    spellings: Mapping[str, "Spelling"]
    trade_ids: TradeIds = TradeIds.NUMBERED


@dataclass(frozen=True)
class Spelling:
    """Native field of a value, and the text expected there."""

    field: str
    expected: str


@dataclass(frozen=True)
class FrameTemplate:
    """Layout of frames, character by character.

    Templates are as in `build_pattern`. `before` and `after` surround one trade, or several with
    commas between them.
    """

    dialect: Dialect
    trade: str
    before: str = ""
    after: str = ""
    has_several_trades: bool = False

    @cached_property
    def single_pattern(self) -> str:
        """Pattern of a frame that holds one trade."""
        shape = self.dialect.shape
        parts = (build_pattern(shape, part) for part in (self.before, self.trade, self.after))
        return "^" + "".join(parts) + "$"

    @cached_property
    def trade_pattern(self) -> str:
        """Pattern of one trade."""
        return "^" + build_pattern(self.dialect.shape, self.trade) + "$"

    @cached_property
    def recognizes(self) -> Callable[[str], object]:
        """Function that matches a frame of this layout that holds one trade."""
        return re.compile(remove_groups(self.single_pattern)).match

    @cached_property
    def many_pattern(self) -> str:
        """Pattern of a frame that holds several trades, with one group around them."""
        before, trade, after = (
            build_pattern(self.dialect.shape, part)
            for part in (self.before, self.trade, self.after)
        )
        group_free_trade = remove_groups(trade)
        return f"^{before}(?<trades>{group_free_trade}(?:,{group_free_trade})+){after}$"

    @cached_property
    def any_trade_pattern(self) -> str:
        """Pattern that finds the trades of a frame one after another."""
        return remove_groups(build_pattern(self.dialect.shape, self.trade))


_SAMPLE: Final = 4
"""Frames that decide which layout is tried first."""


def remove_groups(regex: str) -> str:
    """Return a pattern without its capture groups."""
    return re.sub(r"\((?!\?)|\(\?<\w+>", "(?:", regex)


Trades = Sequence[NativeTrade | FrameError]
Reading = tuple[Dialect, Trades] | None
"""Dialect and trades of one frame; None for a control frame."""

Split = tuple[str, str, str]
"""Unified symbol, base and quote."""


@dataclass(frozen=True)
class DumpRules:
    """Lines of an exchange's dump files: the fields of a dialect's shape, in its order.

    Optional fields come last. `header`: the first field of a header line.
    """

    dialect: Dialect
    header: str


@dataclass(frozen=True)
class Exchange:
    """Everything the pipeline needs to know of an exchange.

    `read` takes a frame's decoded JSON and raises FrameError for anything but trades and control
    frames. `read_response` does the same for the response to a request for trades of a native
    symbol. `split_symbol` takes a native symbol that the instruments file does not list, and the
    assets of that file; it returns None if no rule applies.

    `quotes`: known quote assets, where symbols have no separator. `known_conditions`: values of
    `condition` with a known meaning. `dump`: None if the exchange publishes no files. `candles`:
    None if the exchange serves none of its own. `markets`: None if it lists none.
    `contract_kinds`: kinds of markets, of spot and perpetual, whose quantities are numbers of
    contracts and not amounts of the base asset, inverse contracts apart: these always are.
    `control_texts`: control frames that are no JSON, such as the answer to a ping.
    `channels`: for an exchange whose frames name no market; `read` then gives trades without one.
    """

    id: str
    layouts: tuple[FrameTemplate, ...]
    read: Callable[[Any], Reading]
    split_symbol: Callable[[str, Collection[str]], Split | None]
    live: WebSocketRules
    rest: RestRules
    read_response: Callable[[str, Any], Reading]
    dump: DumpRules | None = None
    quotes: tuple[str, ...] = ()
    known_conditions: frozenset[str] = frozenset()
    candles: CandleRules | None = None
    daily_files: DailyFiles | None = None
    markets: MarketListRules | None = None
    contract_kinds: frozenset[str] = frozenset()
    control_texts: frozenset[str] = frozenset()
    channels: ChannelRules | None = None

    @cached_property
    def counts_trades(self) -> bool:
        """True if numbers of its trades show which ones are missing."""
        return any(layout.dialect.trade_ids is TradeIds.NUMBERED for layout in self.layouts)


def order_by_likelihood(
    layouts: Sequence[FrameTemplate], frames: pl.DataFrame
) -> list[FrameTemplate]:
    """Order layouts such that those of the first frames come first.

    A layout that no frame has costs as much to try as one that all have.
    """
    sample = frames["frame"].head(_SAMPLE).to_list()
    return sorted(layouts, key=lambda layout: not any(map(layout.recognizes, sample)))


def extract_columns(layout: FrameTemplate, frames: pl.DataFrame) -> pl.DataFrame:
    """Read the frames that hold one trade and have this layout.

    In: row (UInt32), frame (String). Out: row, index (UInt16) and a text column for each field of
    the layout, of the frames that match.
    """
    groups = frames.select("row", groups=pl.col("frame").str.extract_groups(layout.single_pattern))
    return _drop_unmatched(groups.unnest("groups").with_columns(index=pl.lit(0, pl.UInt16)))


def extract_many(layout: FrameTemplate, frames: pl.DataFrame) -> pl.DataFrame:
    """Read the frames that hold several trades and have this layout, as `extract_columns` does."""
    groups = frames.select("row", groups=pl.col("frame").str.extract_groups(layout.many_pattern))
    matched_rows = groups.unnest("groups").filter(pl.col("trades").is_not_null())
    trades = matched_rows.with_columns(
        pl.col("trades").str.extract_all(layout.any_trade_pattern),
        index=pl.int_ranges(
            0, pl.col("trades").str.extract_all(layout.any_trade_pattern).list.len()
        ),
    ).explode("trades", "index")
    fields = trades["trades"].str.extract_groups(layout.trade_pattern).struct.unnest()
    return trades.drop("trades").with_columns(pl.col("index").cast(pl.UInt16)).hstack(fields)


def _drop_unmatched(groups: pl.DataFrame) -> pl.DataFrame:
    first = next(name for name in groups.columns if name not in {"row", "index"})
    return groups if groups[first].null_count() == 0 else groups.filter(pl.col(first).is_not_null())
