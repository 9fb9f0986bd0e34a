"""Dead letters of faulty frames: each frame is kept whole, with a reason.

Pure functions over frames.
"""

import polars as pl

from candlewax.core.schema import DEAD_LETTERS, KIND_DEAD, SCOPE_FRAME, SCOPE_TRADE, empty


def whole_frame_faults(frames: pl.DataFrame, reason: str, detail: str) -> pl.DataFrame:
    """Return FAULTS of whole frames (`row`), all with the same reason."""
    return frames.select(
        "row", index=pl.lit(0, pl.UInt16), reason=pl.lit(reason), detail=pl.lit(detail)
    )


def dead_letter_rows(bronze: pl.DataFrame, faults: pl.DataFrame) -> pl.DataFrame:
    """Return DEAD_LETTERS of FAULTS, whose `row` is a place in `bronze` (BRONZE).

    A frame without any good trade gets one letter, else each bad trade gets one.
    """
    if faults.is_empty():
        return empty(DEAD_LETTERS)
    located = faults.join(bronze.with_row_index("row"), on="row").sort("row", "index")
    of_dead_frames = located.filter(pl.col("kind") == KIND_DEAD).group_by(
        "row", maintain_order=True
    )
    frame_letters = of_dead_frames.agg(
        pl.all().exclude("row", "detail").first(), pl.col("detail").str.join("; ")
    ).with_columns(index=pl.lit(0, pl.UInt16), scope=pl.lit(SCOPE_FRAME, pl.Int8))
    trade_letters = located.filter(pl.col("kind") != KIND_DEAD).with_columns(
        scope=pl.lit(SCOPE_TRADE, pl.Int8)
    )
    return (
        pl.concat([frame_letters, trade_letters], how="diagonal")
        .sort("row", "index")
        .with_columns(frame=pl.col("frame").cast(pl.Binary), source_index="index")
        .select(*DEAD_LETTERS)
    )
