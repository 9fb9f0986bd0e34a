"""Table `reconciliations`, and the closed one-minute candles that it does not hold yet."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import polars as pl

from candlewax.clickhouse import arrow
from candlewax.clickhouse.client import Database
from candlewax.core.candles.reconciliation import AMOUNTS, Comparison, OurCandle
from candlewax.core.schema import TIME, Columns

MOST_CANDLES: Final = 20_000
"""Most candles that one query returns."""

# One thread and low priority, so that other queries are not slowed down.
_LOW_PRIORITY: Final = "SETTINGS max_threads = 1, priority = 10, join_use_nulls = 0"

# Where ids do not count trades, a candle is `unverified` even if its market was not received all of
# its time: it lies in an outage, or it is the first one after the market was asked for. Until it is
# subscribed to, minutes may pass.
_PENDING: Final = f"""
WITH
(
    SELECT mapFromArrays(groupArray(symbol), groupArray(spans))
    FROM
    (
        SELECT toString(symbol) AS symbol, groupArray((begin, end)) AS spans
        FROM
        (
            SELECT symbol, min(stored.since) AS begin,
                if(max(stored.ended) = toDateTime64(0, 6, 'UTC'),
                    toDateTime64('2105-12-31 00:00:00', 6, 'UTC'), max(stored.ended)) AS end
            FROM market_outages AS stored
            WHERE exchange = {{exchange:String}}
            GROUP BY symbol, stored.began
            HAVING end > toDateTime({{begin:UInt32}}, 'UTC')
        )
        GROUP BY symbol
    )
) AS outages,
(
    SELECT mapFromArrays(groupArray(symbol), groupArray(first))
    FROM
    (
        SELECT toString(symbol) AS symbol, min(window_start) AS first
        FROM ohlcv
        INNER JOIN
        (
            SELECT symbol, max(at) AS subscribed_at
            FROM subscriptions FINAL
            WHERE exchange = {{exchange:String}} AND subscribed
            GROUP BY symbol
            HAVING subscribed_at >= toDateTime({{begin:UInt32}}, 'UTC')
        ) AS newly USING (symbol)
        WHERE timeframe = '1m' AND exchange = {{exchange:String}}
            AND window_start >= toDateTime({{begin:UInt32}}, 'UTC')
            AND window_start >= toStartOfMinute(subscribed_at)
            AND window_start < subscribed_at + INTERVAL 5 MINUTE
        GROUP BY symbol
    )
) AS first_windows
SELECT symbol, toUnixTimestamp(window_start) AS start_s, {", ".join(AMOUNTS)}, trade_count,
    version, revision,
    if(
        status = 'unverified'
        AND (
            feed_down_ms > 0
            OR first_windows[toString(symbol)] = window_start
            OR arrayExists(
                span -> span.1 < window_start + INTERVAL 1 MINUTE AND span.2 > window_start,
                outages[toString(symbol)]
            )
        ),
        'partial', toString(status)
    ) AS known_status
FROM ohlcv FINAL
LEFT ANTI JOIN
(
    SELECT symbol, window_start, version, revision
    FROM reconciliations FINAL
    WHERE exchange = {{exchange:String}} AND window_start >= toDateTime({{begin:UInt32}}, 'UTC')
        AND result = 'equal'
) AS done USING (symbol, window_start, version, revision)
WHERE timeframe = '1m' AND exchange = {{exchange:String}} AND closed
    AND window_start >= toDateTime({{begin:UInt32}}, 'UTC')
    AND window_start < toDateTime({{end:UInt32}}, 'UTC')
ORDER BY start_s DESC, symbol
LIMIT {MOST_CANDLES}
{_LOW_PRIORITY}
"""  # noqa: S608 - the columns are constants

_NATIVE_SYMBOLS: Final = f"""
SELECT symbol, toString(argMax(native_symbol, timestamp)) AS native_symbol
FROM silver_trades
WHERE exchange = {{exchange:String}} AND symbol IN {{symbols:Array(String)}}
    AND timestamp >= toDateTime({{begin:UInt32}}, 'UTC')
GROUP BY symbol
{_LOW_PRIORITY}
"""  # noqa: S608 - no value of others is in it

_STORED: Final = f"""
SELECT DISTINCT symbol, toUnixTimestamp(window_start) AS start_s
FROM ohlcv
WHERE timeframe = '1m' AND exchange = {{exchange:String}}
    AND symbol IN {{symbols:Array(String)}}
    AND window_start IN (
        SELECT toDateTime(arrayJoin({{starts:Array(UInt32)}}), 'UTC')
    )
{_LOW_PRIORITY}
"""  # noqa: S608 - no value of others is in it

RECONCILIATIONS: Final[Columns] = {
    "exchange": pl.String,
    "symbol": pl.String,
    "window_start": pl.Datetime("us", "UTC"),
    "result": pl.Int8,
    "version": pl.UInt64,
    "revision": pl.UInt16,
    "status": pl.String,
    "fields": pl.List(pl.String),
    "ours": pl.List(pl.String),
    "theirs": pl.List(pl.String),
    "reason": pl.String,
    "compared_at": TIME,
}
"""Rows of `reconciliations`."""

Minute = tuple[str, int]
"""Unified symbol and start of a candle, in seconds since 1970."""


class Reconciled(NamedTuple):
    """Comparison of a minute; `version` and `revision` are 0 if we have no candle of it.

    `status` is that of the candle's certificate; `partial` also if that is `unverified` and the
    market was not received all of its time.
    """

    symbol: str
    start_s: int
    version: int
    revision: int
    comparison: Comparison
    compared_at: datetime
    status: str = ""


class ReconciliationTable:
    """Rows of `reconciliations` of one exchange. A failed query raises at once."""

    def __init__(self, database: Database, exchange: str) -> None:
        self._database = database
        self._exchange = exchange

    def list_pending(self, begin_s: int, end_s: int) -> Iterator[tuple[str, OurCandle]]:
        """Yield symbol and candle of closed minutes that are not known to be equal, newest first.

        They start from `begin_s` on and before `end_s`, in seconds since 1970.
        """
        parameters = {"exchange": self._exchange, "begin": begin_s, "end": end_s}
        for symbol, *values in self._database.query_once(_PENDING, parameters).iter_rows():
            yield symbol, OurCandle(*values)

    def find_native_symbols(self, symbols: Collection[str], begin_s: int) -> dict[str, str]:
        """Return the latest native symbol of each symbol with trades since a time."""
        parameters = {"exchange": self._exchange, "symbols": sorted(symbols), "begin": begin_s}
        return dict(self._database.query_once(_NATIVE_SYMBOLS, parameters).iter_rows())

    def list_stored(self, minutes: Collection[Minute]) -> set[Minute]:
        """Return those of the minutes that have a candle, closed or not."""
        parameters = {
            "exchange": self._exchange,
            "symbols": sorted({symbol for symbol, _ in minutes}),
            "starts": sorted({start_s for _, start_s in minutes}),
        }
        stored = set(self._database.query_once(_STORED, parameters).iter_rows())
        return stored & set(minutes)

    def write(self, rows: Sequence[Reconciled]) -> None:
        """Store comparisons as one block."""
        frame = pl.DataFrame(
            [_row(self._exchange, row) for row in rows], schema=RECONCILIATIONS, orient="row"
        ).with_columns(pl.col("window_start").dt.epoch("s").cast(pl.UInt32))
        newest = max(row.compared_at for row in rows)
        # Unique: one thread at a time compares the candles of an exchange.
        token = f"reconcile-{self._exchange}-{newest.isoformat()}-{rows[0][:2]}-{len(rows)}"
        self._database.insert("reconciliations", arrow.rows("reconciliations", [frame]), token)


def _row(exchange: str, row: Reconciled) -> Iterable[object]:
    comparison = row.comparison
    return (
        exchange,
        row.symbol,
        datetime.fromtimestamp(row.start_s, UTC),
        int(comparison.result),
        row.version,
        row.revision,
        row.status,
        [difference.field for difference in comparison.differences],
        [difference.ours for difference in comparison.differences],
        [difference.theirs for difference in comparison.differences],
        comparison.reason,
        row.compared_at,
    )
