"""Files of exchanges' own candles, and our candles of the same markets."""

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
    """What the candles of a file are of; None is what the file itself has to tell."""

    exchange: str | None = None
    symbol: str | None = None
    timeframe: str | None = None


@dataclass(frozen=True)
class KlineReport:
    """The score of a file. `open` counts its rows that the exchange had not finished."""

    file: str
    exchange: str
    symbol: str
    timeframe: str
    open: int
    score: Score

    def plain(self) -> dict[str, Any]:
        """For JSON: one level."""
        found = asdict(self)
        score = found.pop("score")
        return {**found, **score}


def board(tables: Database, known: Instruments, path: Path, said: Market) -> KlineReport:
    """Compare a file with what is stored. Raises KlinesError."""
    try:
        return _board(tables, known, path, said)
    except KlinesError as error:
        raise KlinesError(f"{path}: {error}") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise KlinesError(f"{path}: cannot be read: {error}") from error


def _board(tables: Database, known: Instruments, path: Path, said: Market) -> KlineReport:
    published, exchanges = _read(path, said.exchange)
    timeframe = said.timeframe or published.timeframe
    if timeframe not in TIMEFRAMES:
        raise KlinesError(
            f"--timeframe: {timeframe or 'neither the file nor its name tells'}; "
            f"takes one of {', '.join(TIMEFRAMES)}"
        )
    stored = tables.query(_MARKETS, {"timeframe": timeframe})
    exchange, symbol = _market(stored, exchanges, said.symbol, published.native, known)
    market = (pl.col("exchange") == exchange) & (pl.col("symbol") == symbol)
    begin, end = stored.filter(market).select("begin", "end").row(0)
    rows, length = published.rows, TIMEFRAMES[timeframe][1]
    if (rows["window_start"] % length != 0).any():
        raise KlinesError(f"its times are not those of windows of {timeframe}")
    first, last = (rows.select(e).item() for e in (pl.min("window_start"), pl.max("window_start")))
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
    """The candles of a file, and the exchanges they may be of."""
    if path.suffix == ".json":
        if exchange not in {None, "kraken"}:
            raise KlinesError(f"--exchange: {exchange} publishes no such file, kraken does")
        return klines.kraken(path.read_bytes()), ("kraken",)
    if exchange not in {None, *_BINANCE}:
        raise KlinesError(f"--exchange: {exchange} publishes no such file, binance does")
    found = klines.binance(_unpacked(path))
    native, timeframe = klines.named(path.name) or (None, None)
    exchanges = (exchange,) if exchange else _BINANCE
    return KlineFile(found.rows, native, timeframe, found.open), exchanges


def _unpacked(path: Path) -> bytes:
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
    native: str | None,
    known: Instruments,
) -> tuple[str, str]:
    """Which stored market a file is of."""
    found = []
    for exchange in exchanges:
        symbols = stored.filter(pl.col("exchange") == exchange)["symbol"].to_list()
        name = symbol or _unified(exchange, native, symbols, known)
        if name is not None and name in symbols:
            found.append((exchange, name))
    if not found:
        what = symbol or native
        if what is None:
            raise KlinesError("--symbol: neither the file nor its name tells the market")
        where = " or ".join(exchanges)
        raise KlinesError(f"no closed candle of {what} of {where} is stored in this timeframe")
    if len(found) > 1:
        raise KlinesError(f"--exchange: {' and '.join(exchanges)} both have {symbol or native}")
    return found[0]


def _unified(
    exchange: str, native: str | None, symbols: list[str], known: Instruments
) -> str | None:
    if native is None:
        return None
    if exchange == "kraken":
        return klines.unified(native, symbols)
    instrument = known.resolve(exchange, native)
    return instrument.symbol if instrument else None
