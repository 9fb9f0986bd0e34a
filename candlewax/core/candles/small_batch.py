"""A few trades into candles, at the price of some columns instead of some queries.

A query costs as much for ten rows as for thousands. What of `combine` and `open_candles` a
small batch of a live feed needs is done here column by column: where rows go is found on plain
lists of times and numbers, amounts stay in their columns. Gives the same as they do.
"""

from collections.abc import Sequence
from typing import Final

import polars as pl

from candlewax.core.candles.combine import (
    AMOUNTS,
    BOUGHT,
    CLOSE,
    MINUTE,
    MINUTES,
    NUMBERS,
    OPEN,
    ORDER,
    STATE,
    SYMBOL,
    TIMEFRAMES,
    WINDOW,
    needs_general_path,
)
from candlewax.core.schema import TIME, repeated

SMALL_BATCH_ROWS: Final = 300
"""Trades for which this is the faster way."""

_WINDOWS: Final = 20_000
"""Candles among which it is."""

_SIX: Final = tuple(TIMEFRAMES.values())
_FACTS: Final = (
    SYMBOL.alias("code"),
    pl.col("timestamp").cast(pl.Int64).alias("time"),
    pl.col("sequence"),
)
_KEY: Final = [WINDOW.alias("key")]
_COMBINED: Final = (
    pl.col("price").max().alias("high"),
    pl.col("price").min().alias("low"),
    pl.col("quantity").sum().alias("volume"),
    pl.col("quote_volume").sum(),
    pl.col("quantity").filter(BOUGHT).sum().alias("buy_volume"),
    pl.col("quote_volume").filter(BOUGHT).sum().alias("buy_quote_volume"),
    pl.len().cast(pl.UInt64).alias("trade_count"),
)
_FIRSTS: Final = tuple(zip(("open", *OPEN), ("price", *ORDER), strict=True))
_LASTS: Final = tuple(zip(("close", *CLOSE), ("price", *ORDER), strict=True))
_ADDED: Final = frozenset((*AMOUNTS, "trade_count"))
_THEIRS: Final = frozenset(("close", *CLOSE))
_NONE_OF_THEM: Final = ("repaired", "revision", "unnumbered")


class _Groups:
    """The trades of each symbol: where its first and its last one stand, and the number
    of their minute since 1970.
    """

    def __init__(self) -> None:
        self.code: list[int] = []
        self.minute: list[int] = []
        self.first: list[int] = []
        self.last: list[int] = []

    def add(self, code: int, minute: int, place: int) -> None:
        """Begin with a trade of a symbol."""
        self.code.append(code)
        self.minute.append(minute)
        self.first.append(place)
        self.last.append(place)

    def windows(self) -> tuple[list[int], list[int], list[int]]:
        """Of the six candles of each: where they start and end (microseconds since 1970),
        and their keys.
        """
        starts, ends, keys = [], [], []
        for code, minute in zip(self.code, self.minute, strict=True):
            time = minute * MINUTE
            for number, length in _SIX:
                start = time - time % length
                starts.append(start)
                ends.append(start + length)
                keys.append((code * NUMBERS + number) * MINUTES + start // MINUTE)
        return starts, ends, keys


def apply_small_batch(
    state: pl.DataFrame, trades: pl.DataFrame, closed: int
) -> tuple[pl.DataFrame, pl.DataFrame] | None:
    """Put trades (TRADES) into candles (STATE); gives all candles as they are then, and
    those that changed (STATE).

    None if these trades ask for more than that: they are many, those of a symbol are not
    all of one minute, one is older than what its candles hold, has no number, did not come
    over the websocket, takes no part in candles, or falls into a minute that ended by
    `closed`, microseconds since 1970.
    """
    if (
        not 0 < trades.height <= SMALL_BATCH_ROWS
        or state.height > _WINDOWS
        or needs_general_path(trades)
    ):
        return None
    if trades["condition"].null_count() < trades.height:
        return None
    groups = _grouped(trades, closed // MINUTE)
    if groups is None:
        return None
    new, keys = _candles(trades, groups)
    places = dict(zip(state.select(_KEY).to_series().to_list(), range(state.height), strict=True))
    found = [places.get(key) for key in keys]
    known = [place for place in found if place is not None]
    if len(known) == len(found):
        opened, seen = new.clear(), new
    else:
        opened = _rows(new, [n for n, place in enumerate(found) if place is None])
        seen = _rows(new, [n for n, place in enumerate(found) if place is not None])
    merged = _merged(_rows(state, known), seen)
    if merged is None:
        return None
    changed = merged.vstack(opened)
    order = list(range(state.height + opened.height))
    for number, place in enumerate(known):
        order[place] = state.height + number
    for number in range(opened.height):
        order[state.height + number] = state.height + len(known) + number
    # Gathered into one piece: one of thousands is slower with each batch.
    return _rows(state.vstack(changed), order), changed


def _rows(frame: pl.DataFrame, places: Sequence[int]) -> pl.DataFrame:
    return frame[pl.Series(places, dtype=pl.UInt32)]


def _grouped(trades: pl.DataFrame, closed: int) -> _Groups | None:
    """The symbols in the order they come, if the trades of each lie in one minute that is
    not `closed`, in whatever order, and time and number tell which is the first and which
    the last.
    """
    groups = _Groups()
    where: dict[int, int] = {}
    first: list[tuple[int, int]] = []
    last: list[tuple[int, int]] = []
    for place, (code, time, sequence) in enumerate(trades.select(_FACTS).rows()):
        minute, moment = time // MINUTE, (time, sequence)
        if minute < closed:
            return None
        group = where.get(code)
        if group is None:
            where[code] = len(first)
            first.append(moment)
            last.append(moment)
            groups.add(code, minute, place)
        elif minute != groups.minute[group] or moment in (first[group], last[group]):
            return None
        elif moment > last[group]:
            last[group], groups.last[group] = moment, place
        elif moment < first[group]:
            first[group], groups.first[group] = moment, place
    return groups


def _candles(trades: pl.DataFrame, groups: _Groups) -> tuple[pl.DataFrame, list[int]]:
    """Candles (STATE) of six timeframes, and the keys of their windows."""
    combined = trades.group_by("symbol", maintain_order=True).agg(_COMBINED)
    count = combined.height
    columns = {column.name: column for column in combined.get_columns()}
    for pairs, places in ((_FIRSTS, groups.first), (_LASTS, groups.last)):
        rows = pl.Series(places, dtype=pl.UInt32)
        columns |= {ours: trades[theirs][rows].alias(ours) for ours, theirs in pairs}
    for name in _NONE_OF_THEM:
        columns[name] = repeated(name, 0, pl.UInt32, count)
    once = pl.DataFrame(list(columns.values()))
    every = _rows(once, [n for n in range(count) for _ in _SIX])
    starts, ends, keys = groups.windows()
    columns = {column.name: column for column in every.get_columns()}
    columns["timeframe"] = pl.Series("timeframe", [n for n, _ in _SIX] * count, pl.Int8)
    columns["window_start"] = pl.Series("window_start", starts, pl.Int64).cast(TIME)
    columns["window_end"] = pl.Series("window_end", ends, pl.Int64)
    return pl.DataFrame([columns[name] for name in STATE]), keys


def _merged(ours: pl.DataFrame, theirs: pl.DataFrame) -> pl.DataFrame | None:
    """Merge candles (STATE) of the same windows, row by row, if all trades of theirs come
    after those of ours.
    """
    time, last = theirs["open_time"], ours["close_time"]
    after = (time > last) | ((time == last) & (theirs["first_sequence"] > ours["last_sequence"]))
    if not after.all():
        return None
    columns = []
    for name, one, other in zip(STATE, ours.get_columns(), theirs.get_columns(), strict=True):
        if name in _ADDED:
            columns.append(one + other)
        elif name == "high":
            columns.append(other.zip_with(other > one, one))
        elif name == "low":
            columns.append(other.zip_with(other < one, one))
        else:
            columns.append(other if name in _THEIRS else one)
    return pl.DataFrame(columns)
