"""Candles as exchanges publish them: Binance's kline files, Kraken's answers of REST.

Pure functions from bytes to frames. Amounts go from their text to decimals.
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
from candlewax.exchanges.kraken import ALIASES

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
"""Published candles. `window_start` in microseconds since 1970; null is what the
exchange does not publish; `vwap_digits` tells how many decimals vwap was cut to."""

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
"""A time since 1970 from this on counts microseconds: in milliseconds it were the year
5138."""


_JSON: Final = msgspec.json.Decoder(dict[str, Any], float_hook=str)


class KlinesError(ValueError):
    """A file is not what its exchange publishes; the text says where and why."""


@dataclass(frozen=True)
class KlineFile:
    """Candles of one market and timeframe. `native` is the exchange's name of the market,
    if the file tells. `open` counts rows whose window had not ended when they were
    published; they are left out of `rows` (KLINES).
    """

    rows: pl.DataFrame
    native: str | None = None
    timeframe: str | None = None
    open: int = 0


def named(name: str) -> tuple[str, str] | None:
    """Native symbol and timeframe that a file name of Binance tells:
    BTCUSDT-1m-2024-01-01.csv.
    """
    found = _NAME.fullmatch(name)
    return (found["native"], found["timeframe"]) if found else None


def binance(text: bytes) -> KlineFile:
    """Read a kline file: 12 columns, with a line of names or without, times in
    milliseconds or (spot, since 2025) in microseconds.

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
    rows = _typed(table.with_columns(line=line, window_start=pl.col("open_time")), "line")
    scale = pl.when(pl.col("window_start") < _MICROSECONDS).then(1000).otherwise(1)
    return KlineFile(rows.with_columns(pl.col("window_start") * scale))


def kraken(text: bytes) -> KlineFile:
    """Read an answer of /0/public/OHLC: rows of 8 fields, times in seconds, vwap cut to
    the digits of the pair's prices. Rows behind `last` are not committed.

    Source: Kraken REST API, Get OHLC Data. Raises KlinesError.
    """
    try:
        # Numbers as they are written: nothing passes a float.
        answer = _JSON.decode(text.removeprefix(BOM_UTF8))
        result = answer["result"]
        last = result.get("last")
        ((native, found),) = [(name, rows) for name, rows in result.items() if name != "last"]
        cells = [[str(cell) for cell in row] for row in found]
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise KlinesError(f"is no answer of OHLC with one market: {error}") from error
    wrong = next((n for n, row in enumerate(cells) if len(row) != len(_KRAKEN)), None)
    if wrong is not None:
        raise KlinesError(f"row {wrong + 1}: expected {len(_KRAKEN)} fields, got {cells[wrong]}")
    table = pl.DataFrame(cells, schema=dict.fromkeys(_KRAKEN, pl.String), orient="row")
    row = pl.int_range(pl.len(), dtype=pl.UInt32) + 1
    rows = _typed(table.with_columns(row=row, window_start=pl.col("time")), "row")
    rows = rows.with_columns(pl.col("window_start") * 1_000_000)
    done = rows.filter(pl.col("window_start") <= int(last) * 1_000_000) if last else rows
    return KlineFile(done, native, _apart(rows), rows.height - done.height)


def unified(native: str, symbols: list[str]) -> str | None:
    """Which of the unified symbols Kraken's REST means by XBTUSDT or XXBTZUSD."""
    for symbol in symbols:
        base, _, quote = symbol.partition("/")
        old = {new: old for old, new in ALIASES.items()}
        names = [
            (first + a) + (second + b)
            for a in {base, old.get(base, base)}
            for b in {quote, old.get(quote, quote)}
            for first, second in (("", ""), ("X", "Z"), ("X", "X"))
        ]
        if native in names:
            return symbol
    return None


def _apart(rows: pl.DataFrame) -> str | None:
    """The timeframe of rows of which there is one for every window."""
    least = rows["window_start"].sort().diff().min()
    return next((name for name, (_, length) in TIMEFRAMES.items() if length == least), None)


def _typed(table: pl.DataFrame, place: str) -> pl.DataFrame:
    """KLINES of columns of text; `place` numbers the rows for people."""
    patterns = {
        name: rf"^[0-9]{{1,19}}(?:\.[0-9]{{1,{kind.scale}}}0*)?$"  # type: ignore[union-attr]
        for name, kind in AMOUNTS.items()
    } | {"trade_count": r"^[0-9]{1,19}$", "window_start": r"^[0-9]{1,17}$"}
    for name in set(patterns) & set(table.columns):
        bad = table.filter(~pl.col(name).str.contains(patterns[name]).fill_null(False))
        if bad.height:
            got = bad.select(place, name).row(0)
            raise KlinesError(f"{place} {got[0]}: {name} is {got[1]!r}, which is no exact amount")
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
