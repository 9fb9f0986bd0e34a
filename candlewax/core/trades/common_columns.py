"""Native columns of trades mapped to the common ones.

Pure functions over frames.
"""

from typing import Final

import polars as pl

from candlewax.core.schema import VENDOR
from candlewax.exchanges.protocol.dialect import Dialect, TradeIds

_UNNUMBERED: Final = pl.lit(0, pl.UInt64)
_SEQUENCES: Final = {
    TradeIds.NUMBERED: pl.col("number").cast(pl.UInt64, strict=False),
    TradeIds.UNIQUE: pl.when(pl.col("trade_id") != "").then(_UNNUMBERED),
    TradeIds.CONTENT: _UNNUMBERED,
}


def to_common_columns(native_trades: pl.DataFrame, dialect: Dialect) -> pl.LazyFrame:
    """Map native columns to the common ones.

    In: row, index, and text columns named after native fields. Out: row, index, the columns of
    `Dialect` with number, sequence (UInt64; 0 if trades are not numbered, null if the id or number
    is none of its kind), and the vendor columns.
    """
    absent = [name for name in dialect.shape if name not in native_trades.columns]
    vendor = [
        name for name in native_trades.columns if name not in dialect.mapped | {"row", "index"}
    ]
    columns = {"number": dialect.columns["trade_id"], **dialect.columns}
    trades = (
        native_trades.lazy()
        .with_columns(pl.lit(None, pl.String).alias(name) for name in absent)
        .select(
            "row",
            "index",
            *(meaning.alias(name) for name, meaning in columns.items()),
            *(pl.col(name).alias(VENDOR + name) for name in vendor),
        )
        .with_columns(sequence=_SEQUENCES[dialect.trade_ids])
    )
    return _number_equal_fills(trades) if dialect.trade_ids is TradeIds.CONTENT else trades


def _number_equal_fills(trades: pl.LazyFrame) -> pl.LazyFrame:
    """Keep equal fills of one frame distinct: the second gets `#1`, and so on."""
    repetition = pl.int_range(pl.len()).over("row", "native_symbol", "trade_id", order_by="index")
    numbered = pl.concat_str("trade_id", pl.lit("#"), repetition.cast(pl.String))
    return trades.with_columns(
        trade_id=pl.when(repetition > 0).then(numbered).otherwise(pl.col("trade_id"))
    )
