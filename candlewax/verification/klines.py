"""Readers of candles that exchanges publish: Binance kline files and Kraken REST responses.

Pure functions from bytes to Polars frames. Amounts are read from text into decimals.
"""

import re
from codecs import BOM_UTF8
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import polars as pl
from polars.exceptions import PolarsError

from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.core.schema import PRICE, QUOTE_VOLUME, Columns
from candlewax.exchanges.kraken_markets import ALIASES

AMOUNTS: Final[Columns] = {
    "open": PRICE,
    "high": PRICE,
    "low": PRICE,
    "close": PRICE,
    "volume": PRICE,
    "quote_volume": QUOTE_VOLUME,
    "buy_volume": PRICE,
    "buy_quote_volume": QUOTE_VOLUME,
    "vwap": PRICE,
}

KLINES: Final[Columns] = {
    "window_start": pl.Int64,
    **AMOUNTS,
    "trade_count": pl.UInt64,
    "vwap_digits": pl.UInt32,
}
"""Columns of published candles. `window_start` in microseconds since 1970. A field is null if the
exchange does not publish it. `vwap_digits` is the number of decimals that vwap was cut to."""

_BINANCE: Final = (
    "open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume",
    "trade_count", "buy_volume", "buy_quote_volume", "ignore",
)  # fmt: skip
_KRAKEN: Final = ("time", "open", "high", "low", "close", "vwap", "volume", "trade_count")

_NAME: Final = re.compile(
    r"(?P<native>[A-Z0-9]+(?:_[0-9]{6})?)-(?P<timeframe>[0-9]+[a-z]+)-[0-9]{4}-[0-9]{2}(?:-[0-9]{2})?"
    r"\.(?:csv|zip)"
)
_MICROSECONDS: Final = 10**14
"""Least time that is in microseconds; in milliseconds it would be the year 5138."""

_JSON: Final = msgspec.json.Decoder(dict[str, Any], float_hook=str)


class KlinesError(ValueError):
    """Error for a file that is not as its exchange publishes it; the text says where and why."""


@dataclass(frozen=True)
class KlineFile:
    """Candles (KLINES) of one market and timeframe.

    `native_symbol` and `timeframe` are None if the file does not show them. `open` counts rows that
    are left out, as their window had not ended when they were published.
    """

    rows: pl.DataFrame
    native_symbol: str | None = None
    timeframe: str | None = None
    open: int = 0


def parse_file_name(name: str) -> tuple[str, str] | None:
    """Return native symbol and timeframe of a Binance file name: BTCUSDT-1m-2024-01-01.csv."""
    match = _NAME.fullmatch(name)
    return (match["native"], match["timeframe"]) if match else None


def read_binance(text: bytes) -> KlineFile:
    """Read a kline file: 12 columns, with or without a header.

    Times are milliseconds or (spot, since 2025) microseconds.

    Source: Binance Public Data, README, section Klines. Raises KlinesError.
    """
    text = text.removeprefix(BOM_UTF8)
    if not text.strip():
        raise KlinesError("the file is empty")
    header = not text.lstrip()[:1].isdigit()
    try:
        table = pl.read_csv(
            text, has_header=False, infer_schema=False, skip_rows=int(header), raise_if_empty=False
        )
    except PolarsError as error:
        raise KlinesError(f"cannot be read as CSV: {error}") from error
    if table.width != len(_BINANCE):
        raise KlinesError(f"expected {len(_BINANCE)} columns, got {table.width}")
    table.columns = list(_BINANCE)
    line = pl.int_range(pl.len(), dtype=pl.UInt32) + 1 + int(header)
    rows = _convert(table.with_columns(line=line, window_start=pl.col("open_time")), "line")
    scale = pl.when(pl.col("window_start") < _MICROSECONDS).then(1000).otherwise(1)
    return KlineFile(rows.with_columns(pl.col("window_start") * scale))


def read_kraken(text: bytes) -> KlineFile:
    """Read a response of /0/public/OHLC: rows of 8 fields, times in seconds.

    vwap is cut to the digits of the pair's prices. Rows after `last` are not committed.

    Source: Kraken REST API, Get OHLC Data. Raises KlinesError.
    """
    try:
        # Numbers keep their text and never become a float.
        answer = _JSON.decode(text.removeprefix(BOM_UTF8))
        result = answer["result"]
        last = result.get("last")
        ((native_symbol, ohlc),) = [(name, rows) for name, rows in result.items() if name != "last"]
        cells = [[str(cell) for cell in row] for row in ohlc]
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise KlinesError(f"is no answer of OHLC with one market: {error}") from error
    bad_row = next((n for n, row in enumerate(cells) if len(row) != len(_KRAKEN)), None)
    if bad_row is not None:
        raise KlinesError(
            f"row {bad_row + 1}: expected {len(_KRAKEN)} fields, got {cells[bad_row]}"
        )
    table = pl.DataFrame(cells, schema=dict.fromkeys(_KRAKEN, pl.String), orient="row")
    row = pl.int_range(pl.len(), dtype=pl.UInt32) + 1
    rows = _convert(table.with_columns(row=row, window_start=pl.col("time")), "row")
    rows = rows.with_columns(pl.col("window_start") * 1_000_000)
    committed = rows.filter(pl.col("window_start") <= int(last) * 1_000_000) if last else rows
    return KlineFile(
        committed, native_symbol, _infer_timeframe(rows), rows.height - committed.height
    )


def find_unified_symbol(native_symbol: str, symbols: list[str]) -> str | None:
    """Return the unified symbol that Kraken's REST calls XBTUSDT or XXBTZUSD, None if none fits."""
    for symbol in symbols:
        base, _, quote = symbol.partition("/")
        old_names = {new: old for old, new in ALIASES.items()}
        names = [
            (first + a) + (second + b)
            for a in {base, old_names.get(base, base)}
            for b in {quote, old_names.get(quote, quote)}
            for first, second in (("", ""), ("X", "Z"), ("X", "X"))
        ]
        if native_symbol in names:
            return symbol
    return None


def _infer_timeframe(rows: pl.DataFrame) -> str | None:
    """Return the timeframe of rows by the least distance of two windows."""
    distance = rows["window_start"].sort().diff().min()
    return next((name for name, (_, length) in TIMEFRAMES.items() if length == distance), None)


def _convert(table: pl.DataFrame, place: str) -> pl.DataFrame:
    """Convert columns of text to KLINES. Errors name the row by the column `place`."""
    patterns = {
        name: rf"^[0-9]{{1,19}}(?:\.[0-9]{{1,{kind.scale}}}0*)?$"  # type: ignore[union-attr]
        for name, kind in AMOUNTS.items()
    } | {"trade_count": r"^[0-9]{1,19}$", "window_start": r"^[0-9]{1,17}$"}
    for name in set(patterns) & set(table.columns):
        bad = table.filter(~pl.col(name).str.contains(patterns[name]).fill_null(False))
        if bad.height:
            first_bad = bad.select(place, name).row(0)
            raise KlinesError(
                f"{place} {first_bad[0]}: {name} is {first_bad[1]!r}, which is no exact amount"
            )
    digits = pl.lit(None, pl.UInt32)
    if "vwap" in table.columns:
        digits = pl.col("vwap").str.split(".").list.get(1, null_on_oob=True).str.len_chars()
        digits = digits.fill_null(0)
    columns = [
        pl.col(name).cast(kind) if name in table.columns else pl.lit(None, kind).alias(name)
        for name, kind in KLINES.items()
        if name != "vwap_digits"
    ]
    rows = table.select(*columns, vwap_digits=digits).select(*KLINES)
    if not rows["window_start"].is_unique().all():
        raise KlinesError("holds a window twice")
    return rows
