"""Files of candles or bars: Parquet, CSV and Feather, one for all or one for each series.

A file appears under its name once it is whole. Columns and types are `request.CANDLE`,
`request.BAR`, or those of freqtrade: `date` in milliseconds and floats.
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
from candlewax.client.request import BAR, CANDLE, RequestError
from candlewax.client.selection import Selection, Series
from candlewax.core.bars.rules import BarRule

FORMATS: Final = ("parquet", "csv", "feather")

LAYOUTS: Final = ("one-file", "hive", "freqtrade")

_FREQTRADE: Final = ("open", "high", "low", "close", "volume")


class ExportError(RuntimeError):
    """Candles or bars that cannot be written; the message says where and why."""


@dataclass(frozen=True)
class Target:
    """Where candles are written, and how: a format and a layout.

    `one-file` is a file with the candles of all series. `hive` is a directory with a file
    `exchange=…/symbol=…/timeframe=…/candles.<format>` or
    `exchange=…/symbol=…/kind=…/threshold=…/bars.<format>` for each, with `/` and `:` of a symbol as
    `%2F` and `%3A`. `freqtrade` is its data directory: `<exchange>/BTC_USDT-1m.feather`, and
    futures in a folder of their own. `floats`: amounts as floats.
    """

    path: Path
    format: str = "parquet"
    layout: str = "one-file"
    floats: bool = False


class Written(NamedTuple):
    """A part of a file that was written: its series, and how many candles or bars."""

    series: Series
    rows: int


def export(reader: Reader, selection: Selection, target: Target) -> Iterator[Written]:
    """Write the selected candles or bars, and yield what was written, page by page.

    Existing files are replaced, but one file for all only if there are rows. Raises ExportError.
    """
    try:
        if target.layout == "one-file":
            is_empty = True
            with _open(target.path, selection, target) as writer:
                for series in selection.series:
                    for written in _write(reader, selection, series, writer):
                        is_empty = False
                        yield written
                if is_empty:
                    text = f"no {selection.noun} is selected; {target.path} is left as it was"
                    raise ExportError(text)
            return
        for series in selection.series:
            path = target.path / _PATHS[target.layout](series, target.format)
            with _open(path, selection, target) as writer:
                yield from _write(reader, selection, series, writer)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ExportError(f"{error.filename or target.path}: {reason}") from error


def _write(
    reader: Reader, selection: Selection, series: Series, writer: "_Writer"
) -> Iterator[Written]:
    for page in selection.pages(reader, series):
        writer.write(page)
        yield Written(series, page.height)


class _Sink(Protocol):
    """Writer of Arrow tables in one format."""

    def write_table(self, table: pa.Table) -> object: ...
    def close(self) -> object: ...


class _Writer:
    """Writer of pages of candles or bars in the form of a target."""

    def __init__(self, sink: _Sink, target: Target) -> None:
        self._sink = sink
        self._target = target

    def write(self, page: pl.DataFrame) -> None:
        """Write candles (`request.CANDLE`) or bars (`request.BAR`)."""
        self._sink.write_table(_arrow(page, self._target))


@contextmanager
def _open(path: Path, selection: Selection, target: Target) -> Iterator[_Writer]:
    """Open a file that takes its name once it is whole. Without rows it has its columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    empty = pl.DataFrame(schema=BAR if selection.are_bars else CANDLE)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            sink = _SINKS[target.format](file, _arrow(empty, target).schema)
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
        page = page.drop(*_IN_FOLDERS, strict=False)
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


_IN_FOLDERS: Final = ("exchange", "symbol", "timeframe", "kind", "threshold")
"""Columns of candles and bars that the folders of the layout `hive` hold."""


def _hive_path(series: Series, suffix: str) -> Path:
    market, step = series
    symbol = quote(market.symbol, safe="")
    folder = Path(f"exchange={market.exchange}", f"symbol={symbol}")
    if isinstance(step, BarRule):
        kind, threshold = str(step).split()
        return folder / f"kind={kind}" / f"threshold={threshold}" / f"bars.{suffix}"
    return folder / f"timeframe={step}" / f"candles.{suffix}"


def _freqtrade_path(series: Series, suffix: str) -> Path:
    market, timeframe = series
    exchange = market.exchange.removesuffix("_usdm")
    name = market.symbol.replace("/", "_").replace(":", "_")
    if ":" in market.symbol:
        return Path(exchange) / "futures" / f"{name}-{timeframe}-futures.{suffix}"
    return Path(exchange) / f"{name}-{timeframe}.{suffix}"


_PATHS: Final[dict[str, Callable[[Series, str], Path]]] = {
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
