"""Texts with values in them."""

from itertools import zip_longest

import polars as pl


def phrase(text: str, *values: pl.Expr) -> pl.Expr:
    """A text (String) with a value in place of each `{}`; null where one of them is.

    `pl.format` panics where the first of a column's chunks is empty (Polars 2.1), as a filter
    leaves it that follows a join on several threads.
    """
    pieces: list[pl.Expr] = []
    for piece, value in zip_longest(text.split("{}"), values):
        pieces += [pl.lit(piece)] if value is None else [pl.lit(piece), value]
    return pl.concat_str(pieces)
