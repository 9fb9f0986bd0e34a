"""Native trades into unified trades: types, limits, and what is wrong with the rest.

Pure functions over frames. What cannot be a trade comes out as a fault: which
trade of which frame, the reason, what was expected and what came.
"""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import polars as pl
from polars.exceptions import ComputeError

from candlewax.core.frames import FROM_DUMP, FROM_REST
from candlewax.core.instruments import Instruments
from candlewax.core.schema import (
    DUMP,
    PLAIN,
    PRICE,
    QUOTE_VOLUME,
    REST,
    SOURCE,
    TIME,
    TRADES,
    VENDOR,
    WEBSOCKET,
    Columns,
)
from candlewax.core.trades.limits import AHEAD_US, PLAIN_NUMBER, QUANTITY_LIMIT, QUOTE_VOLUME_LIMIT
from candlewax.exchanges.protocol.dialect import Dialect
from candlewax.exchanges.protocol.phrase import phrase

_PLAIN: Final = f"^{PLAIN_NUMBER}$"

_EXPONENT: Final = r"^[0-9]{1,100}(?:\.[0-9]{1,100})?[eE][-+]?[0-9]{1,5}$"

FAULTS: Final[Columns] = {
    "row": pl.UInt32,
    "index": pl.UInt16,
    "reason": pl.String,
    "detail": pl.String,
}


@dataclass(frozen=True)
class NormalizedTrades:
    """`trades`: TRADES with `row`; `faults`: FAULTS."""

    trades: pl.DataFrame
    faults: pl.DataFrame


def to_common_columns(native: pl.DataFrame, dialect: Dialect) -> pl.LazyFrame:
    """Give native columns their common meaning.

    In: row, index, and text columns named after native fields. Out: row, index,
    the columns of `Dialect`, sequence (UInt64; 0 where trades are not numbered,
    null where the id is no number), and the vendor columns.
    """
    absent = [name for name in dialect.shape if name not in native.columns]
    vendor = [name for name in native.columns if name not in dialect.mapped | {"row", "index"}]
    number = pl.col("trade_id").cast(pl.UInt64, strict=False)
    trades = (
        native.lazy()
        .with_columns(pl.lit(None, pl.String).alias(name) for name in absent)
        .select(
            "row",
            "index",
            *(meaning.alias(name) for name, meaning in dialect.columns.items()),
            *(pl.col(name).alias(VENDOR + name) for name in vendor),
        )
        .with_columns(sequence=number if dialect.numbered else pl.lit(0, pl.UInt64))
    )
    return trades if dialect.numbered else _number_equal_fills(trades)


def _number_equal_fills(trades: pl.LazyFrame) -> pl.LazyFrame:
    """Equal fills of one frame stay distinct: the second gets `#1`, and so on."""
    again = pl.int_range(pl.len()).over("row", "native_symbol", "trade_id", order_by="index")
    numbered = pl.concat_str("trade_id", pl.lit("#"), again.cast(pl.String))
    return trades.with_columns(
        trade_id=pl.when(again > 0).then(numbered).otherwise(pl.col("trade_id"))
    )


def _expand_exponents(trades: pl.DataFrame) -> pl.DataFrame:
    """Write amounts with an exponent out in plain digits."""
    for amount in ("price", "quantity"):
        wide = trades[amount].str.contains(_EXPONENT).fill_null(False)
        if wide.any():
            spelled = [
                _plain(text) if is_wide else text
                for text, is_wide in zip(trades[amount], wide, strict=True)
            ]
            trades = trades.with_columns(pl.Series(amount, spelled, pl.String))
    return trades


def _plain(text: str) -> str:
    value = Decimal(text)
    # A few characters can stand for billions of digits.
    return format(value.normalize(), "f") if abs(value.adjusted()) < 50 else text


def normalize(
    native: pl.DataFrame,
    dialect: Dialect,
    frames: pl.DataFrame,
    exchange: str,
    instruments: Instruments,
) -> NormalizedTrades:
    """Make unified trades.

    In: native trades (row, index, text columns named after native fields); `frames` FRAMES with
    SOURCE, numbered by `row` from 0. Out: trades in the order they came in.
    """
    trades = to_common_columns(native, dialect)
    # All in one query, as nearly always all trades are good.
    received = frames.lazy().select("recv_ns", *SOURCE, row=_ROW, via=_VIA)
    joined = trades.join(received, on="row", how="left", maintain_order="left")
    known = instruments.known(exchange)
    checked = _checked(joined, known).with_columns(quote_volume=_PRODUCT)
    try:
        good = _finished(checked.with_columns(ok=_GOOD), exchange, "ok").collect(
            optimizations=PLAIN
        )
    except ComputeError:  # a product does not fit
        good = None
    if good is not None and good.drop_in_place("ok").all():
        return NormalizedTrades(good, _NO_FAULTS)
    collected = joined.collect(optimizations=PLAIN)
    return _one_by_one(collected, _spelled(native, dialect), exchange, instruments)


def _spelled(native: pl.DataFrame, dialect: Dialect) -> pl.DataFrame:
    """Return row, index, and the native texts of time and side with the text expected."""
    spellings = dialect.spellings.items()
    fields = {f"{name}_text": pl.col(spelling.field) for name, spelling in spellings}
    wanted = {f"{name}_expected": pl.lit(spelling.expected) for name, spelling in spellings}
    return native.select("row", "index", **fields, **wanted)


def _one_by_one(
    trades: pl.DataFrame, texts: pl.DataFrame, exchange: str, instruments: Instruments
) -> NormalizedTrades:
    """Make unified trades where something is wrong, or written in an odd way."""
    spelled = _expand_exponents(trades)
    table = instruments.table(exchange, spelled["native_symbol"].unique())
    checked = _multiplied(_checked(spelled.lazy(), table).collect(optimizations=PLAIN))
    ok = checked.select(ok=_GOOD)["ok"]
    good = _finished(checked.filter(ok).lazy(), exchange).collect(optimizations=PLAIN)
    bad = checked.filter(~ok).join(texts, on=["row", "index"], how="left", maintain_order="left")
    return NormalizedTrades(good, _faults(bad, exchange, instruments))


_ROW: Final = pl.int_range(pl.len(), dtype=pl.UInt32)
_VIA: Final = (
    pl.when(pl.col("connection").str.starts_with(FROM_REST))
    .then(REST)
    .when(pl.col("connection").str.starts_with(FROM_DUMP))
    .then(DUMP)
    .otherwise(WEBSOCKET)
    .cast(pl.Int8)
)
_TYPED: Final = {
    "price_ok": pl.col("price").str.contains(_PLAIN),
    "quantity_ok": pl.col("quantity").str.contains(_PLAIN),
    "price_text": pl.col("price"),
    "quantity_text": pl.col("quantity"),
    "price": pl.col("price").cast(PRICE, strict=False),
    "quantity": pl.col("quantity").cast(PRICE, strict=False),
    "received_at": (pl.col("recv_ns") // 1000).cast(TIME),
}
# Only what takes no part in candles may be nothing: a number that the exchange used up.
_APART: Final = pl.col("condition").is_not_null()
_POSITIVE: Final = {
    "price_ok": pl.col("price_ok") & ((pl.col("price") > 0) | _APART),
    "quantity_ok": pl.col("quantity_ok") & ((pl.col("quantity") > 0) | _APART),
}
_PRODUCT: Final = pl.col("price").cast(QUOTE_VOLUME, strict=False) * pl.col("quantity")


def _checked(trades: pl.LazyFrame, known: pl.DataFrame) -> pl.LazyFrame:
    """Add what tells whether these are trades."""
    return (
        trades.join(known.lazy(), on="native_symbol", how="left", maintain_order="left")
        .with_columns(**_TYPED)
        .with_columns(**_POSITIVE)
    )


def _multiplied(trades: pl.DataFrame) -> pl.DataFrame:
    """Add quote_volume, null where it is beyond what a trade may be worth."""
    try:
        return trades.with_columns(quote_volume=_PRODUCT)
    except ComputeError:  # one product does not fit 38 digits: find which
        fits = [
            p is not None and q is not None and p * q < QUOTE_VOLUME_LIMIT
            for p, q in zip(trades["price"], trades["quantity"], strict=True)
        ]
        factor = pl.when(pl.Series(fits)).then(pl.col("price"))
        return trades.with_columns(
            quote_volume=factor.cast(QUOTE_VOLUME, strict=False) * pl.col("quantity")
        )


def _came(name: str) -> pl.Expr:
    """Return a text that came, so that it is seen also if it is empty."""
    text = pl.col(name)
    plain = (text != "") & (text.str.strip_chars() == text)
    return pl.when(plain).then(text).otherwise(phrase('"{}"', text))


# What a trade must hold to be one: the reason if it does not, and what came.
_AMOUNT = "expected a number above zero with at most 12 decimals, got "
_CHECKS: Final[tuple[tuple[str, pl.Expr, pl.Expr], ...]] = (
    (
        "unknown_instrument",
        pl.col("symbol").is_not_null(),
        pl.col("native_symbol"),
    ),
    (
        "bad_id",
        pl.col("sequence").is_not_null(),
        phrase("expected a whole number below 2^64, got {}", _came("trade_id")),
    ),
    (
        "bad_time",
        pl.col("time") >= 0,
        pl.when(pl.col("time").is_null())
        .then(phrase("expected {}, got {}", pl.col("time_expected"), _came("time_text")))
        .otherwise(phrase("expected a time since 1970, got {} µs", pl.col("time"))),
    ),
    (
        "bad_time",
        pl.col("time") <= pl.col("received_at").cast(pl.Int64) + AHEAD_US,
        phrase(
            "{} µs lies more than 60 s after its frame came ({} µs)",
            pl.col("time"),
            pl.col("received_at").cast(pl.Int64),
        ),
    ),
    (
        "bad_side",
        pl.col("side").is_not_null(),
        phrase("expected {}, got {}", pl.col("side_expected"), _came("side_text")),
    ),
    ("bad_price", pl.col("price_ok"), phrase(_AMOUNT + "{}", _came("price_text"))),
    ("bad_quantity", pl.col("quantity_ok"), phrase(_AMOUNT + "{}", _came("quantity_text"))),
    (
        "out_of_range",
        (pl.col("quantity") < QUANTITY_LIMIT) & (pl.col("quote_volume") < QUOTE_VOLUME_LIMIT),
        phrase("{} at {} is too large", pl.col("quantity_text"), pl.col("price_text")),
    ),
)


_GOOD: Final = pl.all_horizontal(good for _, good, _ in _CHECKS).fill_null(False)
_NO_FAULTS: Final = pl.DataFrame(schema=FAULTS)


def _finished(checked: pl.LazyFrame, exchange: str, *more: str) -> pl.LazyFrame:
    """TRADES with `row`, vendor columns and `more`."""
    return checked.with_columns(
        exchange=pl.lit(exchange),
        native_symbol=pl.col("native_symbol").cast(pl.Categorical),
        timestamp=pl.col("time").cast(TIME),
        source_index=pl.col("index"),
        numbering=pl.lit(0, pl.UInt32),
    ).select("row", *TRADES, pl.col(rf"^{re.escape(VENDOR)}.*$"), *more)


def _faults(bad: pl.DataFrame, exchange: str, instruments: Instruments) -> pl.DataFrame:
    reason: pl.Expr = pl.lit(None, pl.String)
    detail: pl.Expr = pl.lit(None, pl.String)
    for name, good, what in reversed(_CHECKS):
        failed = ~good.fill_null(False)
        reason = pl.when(failed).then(pl.lit(name)).otherwise(reason)
        detail = pl.when(failed).then(what).otherwise(detail)
    faults = bad.select("row", "index", reason=reason, detail=detail)
    unknown = faults["reason"] == "unknown_instrument"
    if unknown.any():
        symbols = faults["detail"].filter(unknown).unique().to_list()
        why = {symbol: instruments.explain(exchange, symbol) for symbol in symbols}
        explained = pl.col("detail").replace_strict(why, default=None, return_dtype=pl.String)
        faults = faults.with_columns(
            detail=pl.when(pl.Series(unknown)).then(explained).otherwise("detail")
        )
    return faults.with_columns(pl.col("detail").str.slice(0, 1000))
