"""Live cross-check: recently closed candles are computed again from stored trades and compared.

`verify` computes every candle again. A run of this computes only those that closed since the last
run, and a few earlier ones. One-minute candles are computed from trades, longer ones from the
stored one-minute candles, so that even the run after midnight reads little.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from clickhouse_connect.driver.client import Client

from candlewax.core.candles.combine import SECOND
from candlewax.core.candles.open_candles import ALLOWED_LATENESS_US
from candlewax.verification.cross_check_metrics import (
    LENGTHS,
    NAMES,
    CrossCheckMetrics,
    Mismatch,
    Window,
)

LOOKBACK_S: Final = 120
"""Seconds that each run checks again before the end of the last run."""

LONG_LOOKBACK_S: Final = ALLOWED_LATENESS_US // SECOND + 300
"""Seconds that a long run checks again, as a closed candle may change for that long."""

LONG_RUN_EVERY: Final = 15
"""Number of runs from one long run to the next."""

_STEP_S: Final = 3_600
"""Largest span in seconds of market time that one query computes."""

_MAX_LOOKBACK_S: Final = 86_400
"""Largest span in seconds that a run goes back; `verify` covers earlier windows."""

_MAX_WRONG: Final = 1_000
"""Largest number of wrong candles kept in memory, and returned by one query."""

_MAX_SUSPECT_MINUTES: Final = 20
"""Largest number of earlier minutes with wrong candles that one run checks again."""

# One thread, low priority and a time limit, so that other queries are not slowed down.
_LOW_PRIORITY: Final = """
SETTINGS max_threads = 1, priority = 10, max_memory_usage = 1000000000, max_execution_time = 50,
    join_use_nulls = 0"""

_FROM_TRADES: Final = """
SELECT 1 AS number, symbol, toUnixTimestamp(toStartOfMinute(timestamp)) AS start,
    argMin(price, (timestamp, sequence, source_offset, source_index, trade_id) AS place) AS open,
    max(price) AS high, min(price) AS low, argMax(price, place) AS close,
    sum(quantity) AS volume,
    sum(silver_trades.quote_volume) AS quote_volume, count() AS trade_count,
    sumIf(quantity, side = 'BUY') AS buy_volume,
    sumIf(silver_trades.quote_volume, side = 'BUY') AS buy_quote_volume,
    min(timestamp) AS open_time, max(timestamp) AS close_time,
    argMin(sequence, place) AS first_sequence, argMax(sequence, place) AS last_sequence
FROM silver_trades FINAL
WHERE exchange = {exchange:String} AND empty(conditions)
    AND timestamp >= toDateTime({begin:UInt32}, 'UTC')
    AND timestamp < toDateTime({end:UInt32}, 'UTC')
GROUP BY symbol, start
"""

_FROM_MINUTES: Final = """
SELECT frame.1 AS number, symbol,
    intDiv(toUnixTimestamp(window_start), frame.2) * frame.2 AS start,
    argMin(ohlcv.open, window_start) AS open, max(ohlcv.high) AS high, min(ohlcv.low) AS low,
    argMax(ohlcv.close, window_start) AS close, sum(ohlcv.volume) AS volume,
    sum(ohlcv.quote_volume) AS quote_volume, sum(ohlcv.trade_count) AS trade_count,
    sum(ohlcv.buy_volume) AS buy_volume, sum(ohlcv.buy_quote_volume) AS buy_quote_volume,
    min(ohlcv.open_time) AS open_time, max(ohlcv.close_time) AS close_time,
    argMin(ohlcv.first_sequence, window_start) AS first_sequence,
    argMax(ohlcv.last_sequence, window_start) AS last_sequence
FROM ohlcv FINAL
ARRAY JOIN {frames:Array(Tuple(UInt8, UInt32))} AS frame
WHERE timeframe = '1m' AND exchange = {exchange:String}
    AND window_start >= toDateTime({earliest:UInt32}, 'UTC')
    AND window_start < toDateTime({end:UInt32}, 'UTC')
    AND start + frame.2 > {begin:UInt32} AND start + frame.2 <= {end:UInt32}
GROUP BY number, frame.2, symbol, start
"""

_COMPARE: Final = """
WITH
    ['open', 'high', 'low', 'close', 'volume', 'quote_volume', 'trade_count', 'buy_volume',
     'buy_quote_volume', 'open_time', 'close_time', 'first_sequence', 'last_sequence', 'closed',
     'version'] AS names,
    [gold.open = sql.open, gold.high = sql.high, gold.low = sql.low, gold.close = sql.close,
     gold.volume = sql.volume, gold.quote_volume = sql.quote_volume,
     gold.trade_count = sql.trade_count, gold.buy_volume = sql.buy_volume,
     gold.buy_quote_volume = sql.buy_quote_volume, gold.open_time = sql.open_time,
     gold.close_time = sql.close_time, gold.first_sequence = sql.first_sequence,
     gold.last_sequence = sql.last_sequence, gold.closed,
     gold.version = 2 * sql.trade_count + 1] AS equal,
    arrayFilter((name, same) -> NOT same, names, equal) AS differing
SELECT count() AS candles,
    groupArrayIf(1000)(
        (
            if(gold.present, gold.number, sql.number),
            if(gold.present, gold.symbol, sql.symbol),
            if(gold.present, gold.start, sql.start),
            multiIf(NOT gold.present, 'missing_in_gold', NOT sql.present, 'missing_in_check',
                'mismatch'),
            if(gold.present AND sql.present, differing, [])
        ),
        notEmpty(differing)
    ) AS wrong
FROM
(
    SELECT *, toUInt8(timeframe) AS number, toUnixTimestamp(window_start) AS start, true AS present
    FROM ohlcv FINAL
    WHERE exchange = {exchange:String}
        AND timeframe IN {names:Array(String)}
        AND window_start >= toDateTime({earliest:UInt32}, 'UTC')
        AND window_start < toDateTime({end:UInt32}, 'UTC')
        AND start + transform(number, {numbers:Array(UInt8)}, {lengths:Array(UInt32)}, 0)
            > {begin:UInt32}
        AND start + transform(number, {numbers:Array(UInt8)}, {lengths:Array(UInt32)}, 0)
            <= {end:UInt32}
) AS gold
FULL JOIN (SELECT *, true AS present FROM (COMPUTED)) AS sql
    ON gold.number = sql.number AND gold.symbol = sql.symbol AND gold.start = sql.start
"""

# The least watermark of an exchange's shards, of the number of shards that was stored last.
_MARKS: Final = """
SELECT exchange, toUnixTimestamp(minIf(reached, shards = latest)) AS mark
FROM
(
    SELECT exchange, shards, max(watermark) AS reached,
        argMax(shards, max(updated_at)) OVER (PARTITION BY exchange) AS latest
    FROM watermarks
    GROUP BY exchange, shards, shard
)
GROUP BY exchange
"""

# Repaired and unrepairable gaps count for a day, others until they are closed.
_GAPS: Final = """
SELECT exchange, toString(gap_state) AS state, count() AS gaps, sum(gap_missing) AS missing
FROM
(
    SELECT exchange, max(state) AS gap_state, min(gaps.missing) AS gap_missing,
        max(updated_at) AS changed
    FROM gaps
    GROUP BY exchange, symbol, first_sequence, last_sequence, numbering
)
WHERE gap_state < 'unrepairable' OR changed > now64(6) - INTERVAL 1 DAY
GROUP BY exchange, gap_state
"""


@dataclass
class _Run:
    """Result of one run, and the spans it covered: exchange, begin and end."""

    candles: Counter[str] = field(default_factory=Counter)
    wrong: dict[Window, Mismatch] = field(default_factory=dict)
    spans: list[tuple[str, int, int]] = field(default_factory=list)

    def covers(self, window: Window) -> bool:
        """Return True if the run covered a window."""
        return any(
            exchange == window.exchange and begin < window.end <= end
            for exchange, begin, end in self.spans
        )


class CrossCheck:
    """Cross-check of recently closed candles, for use by one thread."""

    def __init__(
        self, client: Client, metrics: CrossCheckMetrics, exchanges: Collection[str] | None = None
    ) -> None:
        """Check these exchanges; by default all that the tables hold."""
        self._client = client
        self._metrics = metrics
        self._exchanges = exchanges
        self._done: dict[str, int] = {}
        self._suspects: dict[Window, Mismatch] = {}
        self._runs = 0

    def run_once(self) -> None:
        """Compare the candles that closed since the last run, and those that were wrong then.

        Raises ClickHouseError.
        """
        begin = time.monotonic()
        run = _Run()
        for exchange, mark_s in self._query_own(_MARKS):
            mark = mark_s // 60 * 60
            for earlier, later in _steps(self._run_begin(exchange, mark), mark):
                self._compare(run, exchange, earlier, later)
            self._done[exchange] = max(mark, self._done.get(exchange, 0))
        self._metrics.compared.update(run.candles)
        for exchange, end in self._suspect_minutes(run):
            self._compare(run, exchange, end - 60, end)
        self._update_metrics(run)
        self._metrics.gaps = [tuple(row) for row in self._query_own(_GAPS)]
        self._metrics.seconds.observe(time.monotonic() - begin)
        self._metrics.last_run_at = time.time()
        self._runs += 1

    def _query_own(self, sql: str) -> list[Sequence[Any]]:
        """Return the rows of a query whose first column is a checked exchange."""
        rows = self._client.query(sql).result_rows
        return [row for row in rows if self._exchanges is None or row[0] in self._exchanges]

    def _run_begin(self, exchange: str, mark: int) -> int:
        """Return the time from which this run checks an exchange."""
        done = self._done.get(exchange)
        if done is None:
            return mark - LONG_LOOKBACK_S
        lookback_s = LOOKBACK_S if self._runs % LONG_RUN_EVERY else LONG_LOOKBACK_S
        return max(done - lookback_s, mark - _MAX_LOOKBACK_S)

    def _suspect_minutes(self, run: "_Run") -> list[tuple[str, int]]:
        """Return exchange and end of suspect windows that this run has not covered."""
        minutes = {
            (window.exchange, window.end) for window in self._suspects if not run.covers(window)
        }
        return sorted(minutes, key=lambda key: key[1])[-_MAX_SUSPECT_MINUTES:]

    def _compare(self, run: "_Run", exchange: str, begin: int, end: int) -> None:
        """Compare the windows of an exchange that ended after `begin` and by `end`."""
        longer = [
            number
            for number, length in LENGTHS.items()
            if number > 1 and end // length > begin // length
        ]
        self._query(_FROM_TRADES, run, (exchange, begin, end), [1])
        if longer:
            self._query(_FROM_MINUTES, run, (exchange, begin, end), longer)
        run.spans.append((exchange, begin, end))

    def _query(
        self, computed: str, run: "_Run", span: tuple[str, int, int], numbers: list[int]
    ) -> None:
        exchange, begin, end = span
        lengths = [LENGTHS[number] for number in numbers]
        parameters = {
            "exchange": exchange,
            "begin": begin,
            "end": end,
            "earliest": min(begin // length * length for length in lengths),
            "numbers": numbers,
            "names": [NAMES[number] for number in numbers],
            "lengths": lengths,
            "frames": list(zip(numbers, lengths, strict=True)),
        }
        sql = _COMPARE.replace("COMPUTED", computed) + _LOW_PRIORITY
        ((candles, rows),) = self._client.query(sql, parameters=parameters).result_rows
        for number, symbol, start, problem, fields in rows:
            run.wrong[Window(exchange, number, symbol, start)] = Mismatch(problem, tuple(fields))
        run.candles[exchange] += candles

    def _update_metrics(self, run: "_Run") -> None:
        """Update the metrics. A candle is wrong once two runs in a row find it so.

        A candle that this run has not covered keeps its state.
        """
        wrong_before = self._metrics.wrong
        not_covered = {
            window: mismatch
            for window, mismatch in self._suspects.items()
            if not run.covers(window)
        }
        suspects = {**not_covered, **run.wrong}
        wrong = {
            window: mismatch
            for window, mismatch in suspects.items()
            if window in wrong_before or (window in self._suspects and window not in not_covered)
        }
        for window, mismatch in wrong.items():
            if window not in wrong_before:
                key = (window.exchange, mismatch.problem)
                counts = self._metrics.mismatches
                counts[key] = counts.get(key, 0) + 1
        self._suspects = dict(list(suspects.items())[-_MAX_WRONG:])
        self._metrics.wrong = wrong


def _steps(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the parts of a span, one for each query."""
    while begin < end:
        yield begin, min(begin + _STEP_S, end)
        begin += _STEP_S
