"""A first look at candles from Python: `python examples/first_query.py [PORT]`.

Asks a running `candlewax up` (or `candlewax serve`) in SQL, by ClickHouse's own client, and
goes on in Polars. Amounts come as exact decimals.
"""

import sys

import clickhouse_connect
import polars as pl

HOURS = """
SELECT exchange, symbol, toDateTime64(window_start, 0, 'UTC') AS hour,
    open, high, low, close, volume, trade_count, toString(status) AS status, missing
FROM ohlcv_1h
WHERE symbol IN {symbols:Array(String)}
ORDER BY hour, exchange
"""


def hours(port: int, symbols: list[str]) -> pl.DataFrame:
    """The hourly candles of some markets, with how far each went, in percent."""
    with clickhouse_connect.get_client(host="127.0.0.1", port=port) as client:
        rows = pl.DataFrame(client.query_arrow(HOURS, parameters={"symbols": symbols}))
    went = (pl.col("close").cast(float) / pl.col("open").cast(float) - 1) * 100
    return rows.with_columns(went.round(3).alias("percent"))


def main() -> None:
    """Print candles, and how many of them are complete."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    found = hours(port, ["BTC/USDT", "BTC/USD"])
    with pl.Config(
        tbl_rows=20, tbl_cols=-1, tbl_width_chars=160,
        tbl_hide_column_data_types=True, trim_decimal_zeros=True,
    ):  # fmt: skip
        print(found)
    print(found.group_by("exchange", "status").len().sort("exchange", "status"))


if __name__ == "__main__":
    main()
