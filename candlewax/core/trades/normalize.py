"""Normalization of native trades into unified ones: types, limits and faults.

Pure functions over frames. A trade that fails becomes a fault: its frame and place, the reason, and
the expected and the actual content.
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
from candlewax.core.trades.common_columns import to_common_columns
from candlewax.core.trades.limits import AHEAD_US, PLAIN_NUMBER, QUANTITY_LIMIT, QUOTE_VOLUME_LIMIT
from candlewax.exchanges.protocol.dialect import Dialect
from candlewax.exchanges.protocol.phrase import phrase

_PLAIN_AMOUNT: Final = f"^{PLAIN_NUMBER}$"

_EXPONENT: Final = r"^[0-9]{1,100}(?:\.[0-9]{1,100})?[eE][-+]?[0-9]{1,5}$"

FAULTS: Final[Columns] = {
    "row": pl.UInt32,
    "index": pl.UInt16,
    "reason": pl.String,
    "detail": pl.String,
}


@dataclass(frozen=True)
class NormalizedTrades:
    """Unified trades (TRADES with `row`) and FAULTS."""

    trades: pl.DataFrame
    faults: pl.DataFrame


def _expand_exponents(trades: pl.DataFrame) -> pl.DataFrame:
    """Write amounts with an exponent in plain digits."""
    for amount in ("price", "quantity"):
        has_exponent = trades[amount].str.contains(_EXPONENT).fill_null(False)
        if has_exponent.any():
            texts = [
                _plain(text) if expand else text
                for text, expand in zip(trades[amount], has_exponent, strict=True)
            ]
            trades = trades.with_columns(pl.Series(amount, texts, pl.String))
    return trades


def _plain(text: str) -> str:
    value = Decimal(text)
    # A few characters with an exponent can mean billions of digits.
    return format(value.normalize(), "f") if abs(value.adjusted()) < 50 else text


def normalize(
    native_trades: pl.DataFrame,
    dialect: Dialect,
    frames: pl.DataFrame,
    exchange: str,
    instruments: Instruments,
) -> NormalizedTrades:
    """Normalize native trades, in the order received.

    In: native trades (row, index, text columns named after native fields); `frames` FRAMES with
    SOURCE, numbered by `row` from 0.
    """
    common = to_common_columns(native_trades, dialect).collect(optimizations=PLAIN)
    received = common.hstack(_received_columns(frames, common["row"]))
    # One query, as nearly always all trades are good.
    resolved = _with_symbols(received, instruments.known_table(exchange)).lazy()
    checked = resolved.with_columns(**_TYPED).with_columns(**_POSITIVE, quote_volume=_PRODUCT)
    query = _finish(checked.with_columns(ok=_GOOD), exchange, "ok")
    try:
        trades_if_good = query.collect(optimizations=PLAIN)
    except ComputeError:  # a product does not fit
        trades_if_good = None
    if trades_if_good is not None and trades_if_good.drop_in_place("ok").all():
        return NormalizedTrades(trades_if_good, _NO_FAULTS)
    texts = _native_texts(native_trades, dialect)
    return _normalize_individually(received, texts, exchange, instruments)


def _received_columns(frames: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    """Return recv_ns, SOURCE and via of the frames with these numbers, one row each."""
    received = frames.select("recv_ns", *SOURCE, via=_VIA)
    # Most often each frame holds one trade, and nothing is to be gathered.
    numbers = pl.int_range(frames.height, dtype=pl.UInt32, eager=True)
    return received if rows.equals(numbers) else received[rows]


def _with_symbols(trades: pl.DataFrame, symbols: pl.DataFrame) -> pl.DataFrame:
    """Add symbol, base and quote, or null; by codes, which join faster than texts."""
    native_symbol = pl.col("native_symbol").cast(pl.Categorical)
    return trades.with_columns(native_symbol).join(
        symbols.with_columns(native_symbol), on="native_symbol", how="left", maintain_order="left"
    )


def _native_texts(native_trades: pl.DataFrame, dialect: Dialect) -> pl.DataFrame:
    """Return row, index, the native and the expected texts of time and side, and that of an id."""
    spellings = dialect.spellings.items()
    fields = {f"{name}_text": pl.col(spelling.field) for name, spelling in spellings}
    expected = {f"{name}_expected": pl.lit(spelling.expected) for name, spelling in spellings}
    id_expected = pl.lit(dialect.trade_ids.expected)
    return native_trades.select("row", "index", **fields, **expected, id_expected=id_expected)


def _normalize_individually(
    trades: pl.DataFrame, texts: pl.DataFrame, exchange: str, instruments: Instruments
) -> NormalizedTrades:
    """Normalize a batch in which a trade is faulty or written unusually."""
    expanded = _expand_exponents(trades)
    table = instruments.resolve_all(exchange, expanded["native_symbol"].unique())
    resolved = expanded.join(table, on="native_symbol", how="left", maintain_order="left")
    checked = _multiply(resolved.with_columns(**_TYPED).with_columns(**_POSITIVE))
    is_good = checked.select(ok=_GOOD)["ok"]
    normalized = _finish(checked.filter(is_good).lazy(), exchange).collect(optimizations=PLAIN)
    failed = checked.filter(~is_good).join(
        texts, on=["row", "index"], how="left", maintain_order="left"
    )
    return NormalizedTrades(normalized, _faults(failed, exchange, instruments))


_VIA: Final = (
    pl.when(pl.col("connection").str.starts_with(FROM_REST))
    .then(REST)
    .when(pl.col("connection").str.starts_with(FROM_DUMP))
    .then(DUMP)
    .otherwise(WEBSOCKET)
    .cast(pl.Int8)
)
_TYPED: Final = {
    "price_ok": pl.col("price").str.contains(_PLAIN_AMOUNT),
    "quantity_ok": pl.col("quantity").str.contains(_PLAIN_AMOUNT),
    "price_text": pl.col("price"),
    "quantity_text": pl.col("quantity"),
    "price": pl.col("price").cast(PRICE, strict=False),
    "quantity": pl.col("quantity").cast(PRICE, strict=False),
    "received_at": (pl.col("recv_ns") // 1000).cast(TIME),
}
# Only a trade with a condition, which stays out of candles, may have price or quantity 0.
_HAS_CONDITION: Final = pl.col("condition").is_not_null()
_POSITIVE: Final = {
    "price_ok": pl.col("price_ok") & ((pl.col("price") > 0) | _HAS_CONDITION),
    "quantity_ok": pl.col("quantity_ok") & ((pl.col("quantity") > 0) | _HAS_CONDITION),
}
_PRODUCT: Final = pl.col("price").cast(QUOTE_VOLUME, strict=False) * pl.col("quantity")


def _multiply(trades: pl.DataFrame) -> pl.DataFrame:
    """Add quote_volume; null if it is beyond the limit of a trade."""
    try:
        return trades.with_columns(quote_volume=_PRODUCT)
    except ComputeError:  # a product exceeds 38 digits: find which
        fits = [
            p is not None and q is not None and p * q < QUOTE_VOLUME_LIMIT
            for p, q in zip(trades["price"], trades["quantity"], strict=True)
        ]
        factor = pl.when(pl.Series(fits)).then(pl.col("price"))
        return trades.with_columns(
            quote_volume=factor.cast(QUOTE_VOLUME, strict=False) * pl.col("quantity")
        )


def _quote(name: str) -> pl.Expr:
    """Return a text, in quotes unless it is plain, so that an empty one stays visible."""
    text = pl.col(name)
    is_plain = (text != "") & (text.str.strip_chars() == text)
    return pl.when(is_plain).then(text).otherwise(phrase('"{}"', text))


# Checks of a trade: the reason and the detail if it fails.
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
        phrase("expected {}, got {}", pl.col("id_expected"), _quote("number")),
    ),
    (
        "bad_time",
        pl.col("time") >= 0,
        pl.when(pl.col("time").is_null())
        .then(phrase("expected {}, got {}", pl.col("time_expected"), _quote("time_text")))
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
        phrase("expected {}, got {}", pl.col("side_expected"), _quote("side_text")),
    ),
    ("bad_price", pl.col("price_ok"), phrase(_AMOUNT + "{}", _quote("price_text"))),
    ("bad_quantity", pl.col("quantity_ok"), phrase(_AMOUNT + "{}", _quote("quantity_text"))),
    (
        "out_of_range",
        (pl.col("quantity") < QUANTITY_LIMIT) & (pl.col("quote_volume") < QUOTE_VOLUME_LIMIT),
        phrase("{} at {} is too large", pl.col("quantity_text"), pl.col("price_text")),
    ),
)


_GOOD: Final = pl.all_horizontal(good for _, good, _ in _CHECKS).fill_null(False)
_NO_FAULTS: Final = pl.DataFrame(schema=FAULTS)


def _finish(checked: pl.LazyFrame, exchange: str, *extra_columns: str) -> pl.LazyFrame:
    """Return TRADES with `row`, vendor columns and `extra_columns`."""
    return checked.with_columns(
        exchange=pl.lit(exchange),
        native_symbol=pl.col("native_symbol").cast(pl.Categorical),
        timestamp=pl.col("time").cast(TIME),
        source_index=pl.col("index"),
        numbering=pl.lit(0, pl.UInt32),
    ).select("row", *TRADES, pl.col(rf"^{re.escape(VENDOR)}.*$"), *extra_columns)


def _faults(failed_trades: pl.DataFrame, exchange: str, instruments: Instruments) -> pl.DataFrame:
    reason: pl.Expr = pl.lit(None, pl.String)
    detail: pl.Expr = pl.lit(None, pl.String)
    for name, is_good, text in reversed(_CHECKS):
        failed = ~is_good.fill_null(False)
        reason = pl.when(failed).then(pl.lit(name)).otherwise(reason)
        detail = pl.when(failed).then(text).otherwise(detail)
    faults = failed_trades.select("row", "index", reason=reason, detail=detail)
    is_unknown = faults["reason"] == "unknown_instrument"
    if is_unknown.any():
        symbols = faults["detail"].filter(is_unknown).unique().to_list()
        reasons = {symbol: instruments.explain(exchange, symbol) for symbol in symbols}
        explained = pl.col("detail").replace_strict(reasons, default=None, return_dtype=pl.String)
        faults = faults.with_columns(
            detail=pl.when(pl.Series(is_unknown)).then(explained).otherwise("detail")
        )
    return faults.with_columns(pl.col("detail").str.slice(0, 1000))
