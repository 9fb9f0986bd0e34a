"""Files of candles: Parquet, CSV and Feather, one for all or one for each series.

A file appears under its name once it is whole. Columns and types are `request.CANDLE`, or those of
freqtrade: `date` in milliseconds and floats.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol
from urllib.parse import quote

import polars as pl
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from candlewax.client.frames import to_floats
from candlewax.client.reader import Reader
from candlewax.client.request import ALL_TIME, CANDLE, Market, RequestError, Span

FORMATS: Final = ("parquet", "csv", "feather")

LAYOUTS: Final = ("one-file", "hive", "freqtrade")

_FREQTRADE: Final = ("open", "high", "low", "close", "volume")


class ExportError(RuntimeError):
    """Candles that cannot be written; the message says where and why."""


@dataclass(frozen=True)
class Selection:
    """Candles to export: their markets, timeframes, time range, and which of them."""

    markets: tuple[Market, ...]
    timeframes: tuple[str, ...]
    span: Span = ALL_TIME
    closed: bool = False
    complete: bool = False


@dataclass(frozen=True)
class Target:
    """Where candles are written, and how: a format and a layout.

    `one-file` is a file with the candles of all series. `hive` is a directory with a file
    `exchange=…/symbol=…/timeframe=…/candles.<format>` for each, with `/` and `:` of a symbol as
    `%2F` and `%3A`. `freqtrade` is its data directory: `<exchange>/BTC_USDT-1m.feather`, and
    futures in a folder of their own. `floats`: amounts as floats.
    """

    path: Path
    format: str = "parquet"
    layout: str = "one-file"
    floats: bool = False


class Written(NamedTuple):
    """A part of a file that was written: its series, and the number of its candles."""

    market: Market
    timeframe: str
    candles: int


def export(reader: Reader, selection: Selection, target: Target) -> Iterator[Written]:
    """Write the selected candles, and yield what was written, page by page.

    Existing files are replaced, but one file for all only if there are candles. Raises ExportError.
    """
    try:
        if target.layout == "one-file":
            is_empty = True
            with _open(target.path, target) as writer:
                for market, timeframe in _series(selection):
                    for written in _write(reader, selection, market, timeframe, writer):
                        is_empty = False
                        yield written
                if is_empty:
                    raise ExportError(f"no candle is selected; {target.path} is left as it was")
            return
        for market, timeframe in _series(selection):
            path = target.path / _PATHS[target.layout](market, timeframe, target.format)
            with _open(path, target) as writer:
                yield from _write(reader, selection, market, timeframe, writer)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExportError(f"{error.filename or target.path}: {reason}") from error


def _series(selection: Selection) -> Iterator[tuple[Market, str]]:
    for market in selection.markets:
        for timeframe in selection.timeframes:
            yield market, timeframe


def _write(
    reader: Reader, selection: Selection, market: Market, timeframe: str, writer: "_Writer"
) -> Iterator[Written]:
    pages = reader.candles(
        market,
        timeframe,
        selection.span,
        closed=selection.closed,
        complete=selection.complete,
    )
    for page in pages:
        writer.write(page)
        yield Written(market, timeframe, page.height)


class _Sink(Protocol):
    """Writer of Arrow tables in one format."""

    def write_table(self, table: pa.Table) -> object: ...
    def close(self) -> object: ...


class _Writer:
    """Writer of pages of candles in the form of a target."""

    def __init__(self, sink: _Sink, target: Target) -> None:
        self._sink = sink
        self._target = target

    def write(self, page: pl.DataFrame) -> None:
        """Write candles (`request.CANDLE`)."""
        self._sink.write_table(_arrow(page, self._target))


@contextmanager
def _open(path: Path, target: Target) -> Iterator[_Writer]:
    """Open a file that takes its name once it is whole. Without candles it has its columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            sink = _SINKS[target.format](file, _arrow(pl.DataFrame(schema=CANDLE), target).schema)
            yield _Writer(sink, target)
            sink.close()
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _arrow(page: pl.DataFrame, target: Target) -> pa.Table:
    if target.layout == "freqtrade":
        date = pl.col("window_start").dt.cast_time_unit("ms").alias("date")
        page = to_floats(page).select(date, *_FREQTRADE)
    elif target.floats:
        page = to_floats(page)
    if target.layout == "hive":
        # The folders hold these columns.
        page = page.drop("exchange", "symbol", "timeframe")
    if target.format == "csv":
        page = _as_text(page)
    return page.to_arrow(compat_level=pl.CompatLevel.oldest())


def _as_text(page: pl.DataFrame) -> pl.DataFrame:
    """Return amounts without trailing zeros and times in ISO 8601, as text."""
    return page.with_columns(
        *(
            pl.col(name).cast(pl.String).str.strip_chars_end("0").str.strip_chars_end(".")
            for name, kind in page.schema.items()
            if isinstance(kind, pl.Decimal)
        ),
        *(
            pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ" if name[-4:] == "time" else _SECOND)
            for name, kind in page.schema.items()
            if isinstance(kind, pl.Datetime)
        ),
    )


_SECOND: Final = "%Y-%m-%dT%H:%M:%SZ"


def _hive_path(market: Market, timeframe: str, suffix: str) -> Path:
    symbol = quote(market.symbol, safe="")
    folder = f"exchange={market.exchange}/symbol={symbol}/timeframe={timeframe}"
    return Path(folder) / f"candles.{suffix}"


def _freqtrade_path(market: Market, timeframe: str, suffix: str) -> Path:
    exchange = market.exchange.removesuffix("_usdm")
    name = market.symbol.replace("/", "_").replace(":", "_")
    if ":" in market.symbol:
        return Path(exchange) / "futures" / f"{name}-{timeframe}-futures.{suffix}"
    return Path(exchange) / f"{name}-{timeframe}.{suffix}"


_PATHS: Final[dict[str, Callable[[Market, str, str], Path]]] = {
    "hive": _hive_path,
    "freqtrade": _freqtrade_path,
}

_SINKS: Final[dict[str, Callable[[Any, pa.Schema], Any]]] = {
    "parquet": lambda file, schema: pq.ParquetWriter(file, schema, compression="zstd"),
    "csv": lambda file, schema: pc.CSVWriter(
        file, schema, write_options=pc.WriteOptions(quoting_style="needed")
    ),
    "feather": lambda file, schema: pa.ipc.new_file(
        file, schema, options=pa.ipc.IpcWriteOptions(compression="lz4")
    ),
}


def choose_target(path: Path, chosen_format: str | None, layout: str, *, floats: bool) -> Target:
    """Return the target of a path; a file's ending names its format.

    Raises RequestError if path, format and layout do not fit.
    """
    if layout == "freqtrade":
        if chosen_format not in (None, "feather"):
            raise RequestError(f"format: got {chosen_format}, takes feather with this layout")
        return Target(path, "feather", layout, floats=True)
    if layout == "hive":
        return Target(path, chosen_format or "parquet", layout, floats)
    ending = path.suffix.removeprefix(".")
    if chosen_format is None and ending not in FORMATS:
        names = ", ".join(f".{name}" for name in FORMATS)
        raise RequestError(f"{path}: its ending names no format, takes {names}, or --format")
    if path.is_dir():
        raise RequestError(f"{path}: is a directory; a layout hive or freqtrade fills one")
    return Target(path, chosen_format or ending, layout, floats)
