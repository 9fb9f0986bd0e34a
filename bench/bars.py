"""Measure what it costs to make the bars of one market, and of the next seconds of trades.

python -m bench.bars [--trades N]

Trades of one day are stored in an embedded database of its own, with their candles. The first round
makes all bars of the day, the next ones those of 2,000 more trades each, and the last one those of
2,000 trades that come an hour late. Each round is a new process, and its line holds the processor
seconds of all its threads, with those of ClickHouse.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from candlewax.clickhouse.bar_table import BarTable
from candlewax.clickhouse.client import open_tables
from candlewax.core.bars.rules import parse_rules

RULES: Final = parse_rules(["tick 1000", "volume 500", "dollar 1000000"])

_MORE: Final = 2_000
_ROUNDS: Final = 3
_DAY: Final = "2026-03-01"

_TRADES: Final = """
INSERT INTO silver_trades (exchange, symbol, native_symbol, base, quote, trade_id, sequence,
    timestamp, side, price, quantity, quote_volume, received_at, source, source_offset)
SELECT 'binance', 'BTC/USDT', 'BTCUSDT', 'BTC', 'USDT', toString(n), n, at,
    if(n % 2, 'BUY', 'SELL'), price, quantity, price * quantity, at, 'bench', n
FROM
(
    SELECT number + {first} AS n, toDateTime64('{day}', 6, 'UTC')
            + toIntervalMicrosecond(intDiv(n * 80000000000, {of})) AS at,
        toDecimal128(60000 + cityHash64(n) % 1000, 12) AS price,
        toDecimal128(toDecimal64(1 + cityHash64(n, 1) % 1000, 3) / 1000, 12) AS quantity
    FROM numbers({count})
)
"""

_CANDLES: Final = """
INSERT INTO ohlcv (timeframe, exchange, symbol, window_start, trade_count, first_sequence,
    last_sequence, version)
SELECT frame, exchange, symbol, if(frame = '1d', toStartOfDay(timestamp),
    toStartOfMinute(timestamp)) AS start, count(), min(sequence), max(sequence), 2 * count()
FROM silver_trades ARRAY JOIN ['1m', '1d'] AS frame
GROUP BY frame, exchange, symbol, start
"""

_WATERMARK: Final = """
INSERT INTO watermarks (exchange, watermark)
SELECT exchange, max(timestamp) - 2 FROM silver_trades GROUP BY exchange
"""


def _store(folder: Path, first: int, count: int, of: int) -> None:
    values = {"first": first, "count": count, "of": of, "day": _DAY}
    with closing(open_tables(folder, "bench")) as database:
        for statement in (_TRADES.format(**values), _CANDLES, _WATERMARK):
            database.client.command(statement)


def _measure(folder: Path, name: str) -> None:
    """Make the bars, and print what it took."""
    with closing(open_tables(folder, "bench")) as database:
        table = BarTable(database)
        at_first = _peak_mib()
        before, begin = time.process_time(), time.monotonic()
        done = table.refresh("binance", "BTC/USDT", RULES)
        cpu, seconds = time.process_time() - before, time.monotonic() - begin
        print(
            f"{name}: {cpu:.2f} s of processor, {seconds:.2f} s, {done.rows:,} rows, "
            f"memory from {at_first:,.0f} to {_peak_mib():,.0f} MiB",
            flush=True,
        )


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _apart(step: Callable[..., None], *arguments: object) -> None:
    """Run a step in a process of its own, as memory that was used once may not be given back."""
    process = get_context("spawn").Process(target=step, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(process.exitcode)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="python -m bench.bars")
    parser.add_argument("--trades", type=int, default=2_000_000)
    trades = parser.parse_args().trades
    of, hour_before = trades + (_ROUNDS + 1) * _MORE, trades - trades // 20
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _apart(_store, folder, 1, hour_before, of)
        _apart(_store, folder, 1 + hour_before + _MORE, trades - hour_before - _MORE, of)
        _apart(_measure, folder, f"{trades - _MORE:,} trades")
        for number in range(_ROUNDS):
            _apart(_store, folder, 1 + trades + number * _MORE, _MORE, of)
            _apart(_measure, folder, f"{_MORE:,} more")
        _apart(_store, folder, 1 + hour_before, _MORE, of)
        _apart(_measure, folder, f"{_MORE:,} late")


if __name__ == "__main__":
    main()
