"""Comparison of candle files of exchanges with our stored candles."""

import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import polars as pl

from candlewax.clickhouse.client import Database
from candlewax.core.candles.combine import TIMEFRAMES
from candlewax.core.instruments import Instruments
from candlewax.verification import klines
from candlewax.verification.kline_comparison import OURS, Score, compare
from candlewax.verification.klines import KlineFile, KlinesError

_MARKETS: Final = """
SELECT exchange, symbol,
    toUnixTimestamp(min(window_start)) AS begin, toUnixTimestamp(max(window_start)) AS end
FROM ohlcv FINAL
WHERE timeframe = {timeframe:String} AND closed
GROUP BY exchange, symbol
"""

_OURS: Final = """
SELECT toInt64(toUnixTimestamp(candle.window_start)) * 1000000 AS window_start,
    open, high, low, close,
    volume, quote_volume, buy_volume, buy_quote_volume, vwap, trade_count,
    toString(status) AS status
FROM ohlcv_candles AS candle
WHERE timeframe = {timeframe:String} AND exchange = {exchange:String} AND symbol = {symbol:String}
    AND closed
    AND candle.window_start >= toDateTime({begin:Int64}, 'UTC')
    AND candle.window_start <= toDateTime({end:Int64}, 'UTC')
"""

_SECOND: Final = 1_000_000
_BINANCE: Final = ("binance", "binance_usdm")


@dataclass(frozen=True)
class Market:
    """Market and timeframe of a file, as far as the command line gives them."""

    exchange: str | None = None
    symbol: str | None = None
    timeframe: str | None = None


@dataclass(frozen=True)
class KlineReport:
    """Score of a file. `open` counts its rows whose window had not ended when published."""

    file: str
    exchange: str
    symbol: str
    timeframe: str
    open: int
    score: Score

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a flat dict for JSON."""
        fields = asdict(self)
        score = fields.pop("score")
        return {**fields, **score}


def compare_file(
    tables: Database, instruments: Instruments, path: Path, given: Market
) -> KlineReport:
    """Compare a candle file with the stored candles. Raises KlinesError."""
    try:
        return _compare_file(tables, instruments, path, given)
    except KlinesError as error:
        raise KlinesError(f"{path}: {error}") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise KlinesError(f"{path}: cannot be read: {error}") from error


def _compare_file(
    tables: Database, instruments: Instruments, path: Path, given: Market
) -> KlineReport:
    published, exchanges = _read(path, given.exchange)
    timeframe = given.timeframe or published.timeframe
    if timeframe not in TIMEFRAMES:
        raise KlinesError(
            f"--timeframe: {timeframe or 'neither the file nor its name names one'}; "
            f"takes one of {', '.join(TIMEFRAMES)}"
        )
    stored = tables.query(_MARKETS, {"timeframe": timeframe})
    exchange, symbol = _market(
        stored, exchanges, given.symbol, published.native_symbol, instruments
    )
    market = (pl.col("exchange") == exchange) & (pl.col("symbol") == symbol)
    begin, end = stored.filter(market).select("begin", "end").row(0)
    rows, length = published.rows, TIMEFRAMES[timeframe][1]
    if (rows["window_start"] % length != 0).any():
        raise KlinesError(f"its times are not those of windows of {timeframe}")
    first, last = (
        rows.select(column).item() for column in (pl.min("window_start"), pl.max("window_start"))
    )
    ours = tables.query(
        _OURS,
        {
            "timeframe": timeframe,
            "exchange": exchange,
            "symbol": symbol,
            "begin": (first or 0) // _SECOND,
            "end": (last or 0) // _SECOND,
        },
    ).cast(OURS)  # type: ignore[arg-type]  # names to types
    score = compare(rows, ours, begin * _SECOND, end * _SECOND)
    return KlineReport(str(path), exchange, symbol, timeframe, published.open, score)


def _read(path: Path, exchange: str | None) -> tuple[KlineFile, tuple[str, ...]]:
    """Return the candles of a file, and the exchanges that publish such files."""
    if path.suffix == ".json":
        if exchange not in {None, "kraken"}:
            raise KlinesError(f"--exchange: {exchange} publishes no such file, kraken does")
        return klines.read_kraken(path.read_bytes()), ("kraken",)
    if exchange not in {None, *_BINANCE}:
        raise KlinesError(f"--exchange: {exchange} publishes no such file, binance does")
    candles = klines.read_binance(_unpack(path))
    native_symbol, timeframe = klines.parse_file_name(path.name) or (None, None)
    exchanges = (exchange,) if exchange else _BINANCE
    return KlineFile(candles.rows, native_symbol, timeframe, candles.open), exchanges


def _unpack(path: Path) -> bytes:
    if path.suffix != ".zip":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if len(names) != 1:
            raise KlinesError(f"expected one file within, got {len(names)}")
        return archive.read(names[0])


def _market(
    stored: pl.DataFrame,
    exchanges: tuple[str, ...],
    symbol: str | None,
    native_symbol: str | None,
    instruments: Instruments,
) -> tuple[str, str]:
    """Return exchange and symbol of the stored market that a file is of. Raises KlinesError."""
    markets = []
    for exchange in exchanges:
        symbols = stored.filter(pl.col("exchange") == exchange)["symbol"].to_list()
        name = symbol or _unified_symbol(exchange, native_symbol, symbols, instruments)
        if name is not None and name in symbols:
            markets.append((exchange, name))
    if not markets:
        name = symbol or native_symbol
        if name is None:
            raise KlinesError("--symbol: neither the file nor its name names the market")
        where = " or ".join(exchanges)
        raise KlinesError(f"no closed candle of {name} of {where} is stored in this timeframe")
    if len(markets) > 1:
        raise KlinesError(
            f"--exchange: {' and '.join(exchanges)} both have {symbol or native_symbol}"
        )
    return markets[0]


def _unified_symbol(
    exchange: str, native_symbol: str | None, symbols: list[str], instruments: Instruments
) -> str | None:
    if native_symbol is None:
        return None
    if exchange == "kraken":
        return klines.find_unified_symbol(native_symbol, symbols)
    instrument = instruments.resolve(exchange, native_symbol)
    return instrument.symbol if instrument else None
