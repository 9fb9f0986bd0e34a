"""Texts with values, as Polars expressions."""

from itertools import zip_longest

import polars as pl


def phrase(text: str, *values: pl.Expr) -> pl.Expr:
    """Return a text (String) with a value in place of each `{}`; null where a value is null.

    `pl.format` panics where the first of a column's chunks is empty (Polars 2.1). A filter after a
    join on several threads leaves such chunks.
    """
    pieces: list[pl.Expr] = []
    for piece, value in zip_longest(text.split("{}"), values):
        pieces += [pl.lit(piece)] if value is None else [pl.lit(piece), value]
    return pl.concat_str(pieces)
