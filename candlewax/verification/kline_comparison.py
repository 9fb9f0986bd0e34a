"""Our closed candles against those that the exchange publishes: who says what.

Pure functions over frames.
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
"""Our closed candles, with what their certificates call them."""

EXAMPLES: Final = 20
"""How many differences are shown."""


@dataclass(frozen=True)
class Score:
    """What the comparison of a file found.

    `compared` candles both sides have, of which `equal` in every field that the
    exchange publishes, or `differing`; `fields` counts the differences by field. Of those
    that differ `known` are not called complete by their certificates. `only_ours` and
    `only_theirs` are candles that only one side has, where both sides were looking;
    `empty` are windows in which both say that nothing traded, and `beyond` rows of theirs
    before our first or behind our last closed candle.
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
    def good(self) -> bool:
        """Whether all that differs was known not to be complete."""
        return self.differing == self.known and not (self.only_ours or self.only_theirs)


def compare(theirs: pl.DataFrame, ours: pl.DataFrame, begin: int, end: int) -> Score:
    """Compare published candles (KLINES) with our closed ones (OURS) of the same market
    and timeframe. `begin` and `end` are the starts of the first and the last closed
    candle that we have of it.
    """
    inside = pl.col("window_start").is_between(begin, end)
    looked = theirs.filter(inside)
    both = looked.join(ours, on="window_start", how="full", suffix="_ours", coalesce=True)
    both = both.sort("window_start")
    # Whether a side has a candle is told by a field that it always has.
    we, they = pl.col("open_ours").is_not_null(), pl.col("open").is_not_null()
    # Where nothing traded the exchanges repeat the last price; we store nothing.
    quiet = ~we & (pl.col("trade_count") == 0)
    met = _differences(both.filter(we & they))
    wrong = met.filter(pl.any_horizontal(_wrong(name) for name in FIELDS))
    counts = wrong.select(pl.col(_wrong_name(name)).sum() for name in FIELDS).row(0)
    only_ours, only_theirs = both.filter(we & ~they), both.filter(they & ~we & ~quiet)
    examples = [_example(row) for row in wrong.head(EXAMPLES).iter_rows(named=True)]
    for problem, rows in (("only_ours", only_ours), ("only_theirs", only_theirs)):
        starts = rows["window_start"].head(EXAMPLES - len(examples))
        examples += [{"window_start": _text(start), "problem": problem} for start in starts]
    return Score(
        compared=met.height,
        equal=met.height - wrong.height,
        differing=wrong.height,
        known=wrong.filter(pl.col("status") != "complete").height,
        fields={name: n for name, n in zip(FIELDS, counts, strict=True) if n},
        only_ours=only_ours.height,
        only_theirs=only_theirs.height,
        empty=both.filter(quiet).height,
        beyond=theirs.height - looked.height,
        examples=examples,
    )


def _wrong_name(name: str) -> str:
    return f"{name}_differs"


def _wrong(name: str) -> pl.Expr:
    return pl.col(_wrong_name(name))


def _differences(both: pl.DataFrame) -> pl.DataFrame:
    """Add whether each field differs; what the exchange does not publish never does."""
    cut = _cut(pl.col("vwap_ours"), pl.col("vwap_digits"))
    both = both.with_columns(vwap_ours=cut)
    return both.with_columns(
        (pl.col(name) != pl.col(f"{name}_ours")).fill_null(False).alias(_wrong_name(name))
        for name in FIELDS
    )


def _cut(amount: pl.Expr, digits: pl.Expr) -> pl.Expr:
    """A decimal cut after some digits; exchanges publish averages so."""
    parts = amount.cast(pl.String).str.splitn(".", 2).struct
    kept = pl.concat_str(
        parts.field("field_0"),
        pl.lit("."),
        parts.field("field_1").str.slice(0, digits),
        pl.lit("0"),
    )
    return kept.cast(PRICE)


def _text(micros: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    return f"{moment:%Y-%m-%d %H:%M:%S}"


def _example(row: dict[str, Any]) -> dict[str, Any]:
    fields = {
        name: {"ours": str(row[f"{name}_ours"]), "theirs": str(row[name])}
        for name in FIELDS
        if row[_wrong_name(name)]
    }
    return {
        "window_start": _text(row["window_start"]),
        "problem": "differs",
        "status": row["status"],
        "fields": fields,
    }
