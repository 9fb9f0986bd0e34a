"""Texts with values of columns."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.exchanges.protocol.phrase import phrase

ROWS = st.lists(st.tuples(st.none() | st.text(max_size=5), st.none() | st.integers(-9, 9)))


def texts(frame: pl.DataFrame, text: str, *names: str) -> list[str | None]:
    filled = phrase(text, *(pl.col(name) for name in names))
    return frame.select(filled.alias("text"))["text"].to_list()


@pytest.mark.parametrize("text", ["{}", "a {}, b {}", "{}{}", "{} b", "a {}", " {} µs ({})"])
@given(rows=ROWS)
def test_phrase_fills_braces_as_str_format_does(
    text: str, rows: list[tuple[str | None, int | None]]
) -> None:
    """The text is null if a value is null."""
    frame = pl.DataFrame(rows, {"a": pl.String, "b": pl.Int64}, orient="row")
    names = ["a", "b"][: text.count("{}")]
    values = [row[: len(names)] for row in rows]
    assert texts(frame, text, *names) == [
        None if None in row else text.format(*row) for row in values
    ]


@given(st.lists(st.booleans(), min_size=8, max_size=32))
def test_phrase_fills_every_row_of_a_frame_with_many_chunks(kept: list[bool]) -> None:
    """A filter after a join leaves one chunk per thread, some without rows."""
    numbers = pl.DataFrame({"n": range(len(kept))})
    joined = numbers.lazy().join(numbers.lazy(), on="n", how="left", maintain_order="left")
    frame = joined.collect().filter(pl.Series(kept))
    assert frame["n"].n_chunks() > 1
    assert texts(frame, "no {}", "n") == [f"no {n}" for n, is_kept in enumerate(kept) if is_kept]
