"""Rows of trades and candles as the pipeline announces them."""

from candlewax.core.rows.candle_rows import CandleRow
from candlewax.core.rows.frame_decoder import DecodedRows
from candlewax.core.rows.records import Trade
from candlewax.core.rows.row_batch import RowBatch

MINUTE_US = 60_000_000
BEGIN_US = 1_789_387_200 * 1_000_000
UNIT = 10**12


def trade_row(number: int, symbol: str = "BTC/USDT") -> Trade:
    """A trade of the first minute."""
    time = BEGIN_US + number
    return Trade(
        0, symbol, "BTCUSDT", "BTC", "USDT", str(1000 + number), 1000 + number, time, 1, UNIT,
        UNIT, 10**18, None, time, "c", 0, number, 0, 1, 0, {},
    )  # fmt: skip


def candle_row(
    trade_count: int,
    *,
    closed: bool = False,
    start: int = BEGIN_US,
    symbol: str = "BTC/USDT",
    timeframe: int = 1,
    exchange: str = "binance",
) -> CandleRow:
    """A candle that closes at its number of trades."""
    price = trade_count * UNIT
    return CandleRow(
        timeframe, symbol, start, UNIT, price, UNIT, price, UNIT, 10**18, trade_count, 0, 0, start,
        start + trade_count, 1000, 1000 + trade_count, 0, 0, 0, 3 if closed else 1, 0, exchange,
        closed, 2 * trade_count + closed, 1,
    )  # fmt: skip


def row_batch(
    *candles: CandleRow, trades: tuple[Trade, ...] = (), exchange: str = "binance"
) -> RowBatch:
    """A batch of these candles and trades, without frames."""
    return RowBatch(exchange, DecodedRows(exchange, [], trades=list(trades)), candles=candles)
