"""Comparison of our closed candles with the candles that an exchange publishes.

Pure functions over Polars frames.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import polars as pl

from candlewax.core.schema import PRICE, Columns
from candlewax.verification.klines import AMOUNTS, KLINES

FIELDS: Final = (*(name for name in AMOUNTS if name != "vwap"), "trade_count", "vwap")

OURS: Final[Columns] = {
    **{name: kind for name, kind in KLINES.items() if name != "vwap_digits"},
    "status": pl.String,
}
"""Columns of our closed candles, with the status of their certificates."""

EXAMPLES: Final = 20
"""Largest number of differences listed."""


@dataclass(frozen=True)
class Score:
    """Result of the comparison of a file.

    `compared` counts candles of both sides: `equal` ones, in all fields that the exchange
    publishes, and `differing` ones. `fields` counts differences by field. `known` counts
    differing candles whose certificate is not complete. `only_ours` and `only_theirs` count candles
    of one side, within the time of both. `empty` counts windows without trades on both sides,
    `beyond` their rows before our first or after our last closed candle.
    """

    compared: int = 0
    equal: int = 0
    differing: int = 0
    known: int = 0
    fields: dict[str, int] = field(default_factory=dict)
    only_ours: int = 0
    only_theirs: int = 0
    empty: int = 0
    beyond: int = 0
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def is_consistent(self) -> bool:
        """Return True if every difference is in a candle that is not certified as complete."""
        return self.differing == self.known and not (self.only_ours or self.only_theirs)


def compare(theirs: pl.DataFrame, ours: pl.DataFrame, begin: int, end: int) -> Score:
    """Compare published candles (KLINES) with our closed ones (OURS) of a market and timeframe.

    `begin` and `end` are the starts of our first and last closed candle.
    """
    inside = pl.col("window_start").is_between(begin, end)
    published = theirs.filter(inside)
    both = published.join(ours, on="window_start", how="full", suffix="_ours", coalesce=True)
    both = both.sort("window_start")
    # `open` is never null, so it shows whether a side has the candle.
    have_ours, have_theirs = pl.col("open_ours").is_not_null(), pl.col("open").is_not_null()
    # Without trades in a window exchanges repeat the last price; we store no candle.
    is_empty = ~have_ours & (pl.col("trade_count") == 0)
    in_both = _with_flags(both.filter(have_ours & have_theirs))
    differing = in_both.filter(pl.any_horizontal(_differs(name) for name in FIELDS))
    counts = differing.select(pl.col(_flag_name(name)).sum() for name in FIELDS).row(0)
    only_ours, only_theirs = (
        both.filter(have_ours & ~have_theirs),
        both.filter(have_theirs & ~have_ours & ~is_empty),
    )
    examples = [_example(row) for row in differing.head(EXAMPLES).iter_rows(named=True)]
    for problem, rows in (("only_ours", only_ours), ("only_theirs", only_theirs)):
        starts = rows["window_start"].head(EXAMPLES - len(examples))
        examples += [{"window_start": _text(start), "problem": problem} for start in starts]
    return Score(
        compared=in_both.height,
        equal=in_both.height - differing.height,
        differing=differing.height,
        known=differing.filter(pl.col("status") != "complete").height,
        fields={name: n for name, n in zip(FIELDS, counts, strict=True) if n},
        only_ours=only_ours.height,
        only_theirs=only_theirs.height,
        empty=both.filter(is_empty).height,
        beyond=theirs.height - published.height,
        examples=examples,
    )


def _flag_name(name: str) -> str:
    return f"{name}_differs"


def _differs(name: str) -> pl.Expr:
    return pl.col(_flag_name(name))


def _with_flags(both: pl.DataFrame) -> pl.DataFrame:
    """Add a column per field that is true if it differs; an unpublished field never differs."""
    cut = _cut(pl.col("vwap_ours"), pl.col("vwap_digits"))
    both = both.with_columns(vwap_ours=cut)
    return both.with_columns(
        (pl.col(name) != pl.col(f"{name}_ours")).fill_null(False).alias(_flag_name(name))
        for name in FIELDS
    )


def _cut(amount: pl.Expr, digits: pl.Expr) -> pl.Expr:
    """Cut a decimal after some digits, as exchanges publish averages."""
    parts = amount.cast(pl.String).str.splitn(".", 2).struct
    digits_kept = pl.concat_str(
        parts.field("field_0"),
        pl.lit("."),
        parts.field("field_1").str.slice(0, digits),
        pl.lit("0"),
    )
    return digits_kept.cast(PRICE)


def _text(time_us: int) -> str:
    time = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
    return f"{time:%Y-%m-%d %H:%M:%S}"


def _example(row: dict[str, Any]) -> dict[str, Any]:
    fields = {
        name: {"ours": str(row[f"{name}_ours"]), "theirs": str(row[name])}
        for name in FIELDS
        if row[_flag_name(name)]
    }
    return {
        "window_start": _text(row["window_start"]),
        "problem": "differs",
        "status": row["status"],
        "fields": fields,
    }
