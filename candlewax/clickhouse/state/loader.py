"""State of a process without a snapshot, rebuilt from the tables."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import polars as pl

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.state.candle_reader import CandleReader
from candlewax.clickhouse.state.gap_reader import GapReader
from candlewax.clickhouse.state.late_trade_reader import LateTradeReader, with_revisions
from candlewax.clickhouse.state.minute_reader import MinuteReader
from candlewax.clickhouse.state.store_progress import SETTLE_S, StoreProgress
from candlewax.clickhouse.state.trade_reader import TradeReader
from candlewax.core.batch import WINDOW_KEY
from candlewax.core.candles.certificate import merge_overlapping
from candlewax.core.candles.combine import SECOND, TIMEFRAMES
from candlewax.core.candles.open_candles import (
    ALLOWED_LATENESS_US,
    OUTAGE_RETENTION_US,
    WATERMARK_DELAY_US,
    OpenCandles,
    restore,
)
from candlewax.core.gaps.market_outages import MarketOutages
from candlewax.core.gaps.numberings import Start, series
from candlewax.core.gaps.sequence_ranges import SequenceRanges, SequenceRun
from candlewax.core.trades.deduplicator import Deduplicator
from candlewax.core.trades.unnumbered import ID_RETENTION

_BUCKET: Final = 1024  # sequence numbers grouped in one row

# Condition on the stored trades that count: all, or those before the end of each source.
_CUT: Final = """({whole:Bool} OR source_offset < transform(
        concat(source, ':', toString(source_partition)),
        {places:Array(String)}, {ends:Array(UInt64)}, toUInt64(0)))"""

_SOURCE_ENDS: Final = """
SELECT concat(source, ':', toString(source_partition)) AS place, max(source_offset) + 1 AS end
FROM silver_trades
WHERE exchange = {exchange:String}
GROUP BY place
"""

_COUNT: Final = f"""
SELECT count() AS rows FROM silver_trades WHERE exchange = {{exchange:String}} AND {_CUT}
"""

_BUCKETS: Final = f"""
SELECT symbol, numbering, intDiv(sequence, {{bucket:UInt64}}) AS bucket,
    min(sequence) AS first, max(sequence) AS last, count() AS trades,
    toUnixTimestamp64Micro(argMin(timestamp, sequence)) AS begin,
    toUnixTimestamp64Micro(argMax(timestamp, sequence)) AS end,
    toUnixTimestamp64Micro(min(timestamp)) AS earliest,
    toUnixTimestamp64Micro(max(timestamp)) AS latest
FROM silver_trades FINAL
WHERE exchange = {{exchange:String}} AND {_CUT} AND sequence > 0
GROUP BY symbol, numbering, bucket
ORDER BY symbol, numbering, bucket
"""

_NUMBERS: Final = f"""
SELECT symbol, numbering, sequence, trade_id, timestamp
FROM silver_trades FINAL
WHERE exchange = {{exchange:String}} AND {_CUT} AND sequence > 0
    AND (symbol, numbering, intDiv(sequence, {{bucket:UInt64}})) IN
    (
        SELECT symbol, numbering, intDiv(sequence, {{bucket:UInt64}}) AS bucket
        FROM silver_trades FINAL
        WHERE exchange = {{exchange:String}} AND {_CUT} AND sequence > 0
        GROUP BY symbol, numbering, bucket
        HAVING count() < max(sequence) - min(sequence) + 1
    )
ORDER BY symbol, numbering, sequence
"""

_IDS: Final = f"""
SELECT symbol, numbering, sequence, trade_id, timestamp
FROM silver_trades FINAL
WHERE exchange = {{exchange:String}} AND {_CUT} AND sequence = 0
    AND timestamp >= fromUnixTimestamp64Micro({{since:Int64}}, 'UTC')
ORDER BY timestamp
"""

_NUMBERINGS: Final = """
SELECT symbol, first_sequence, toUnixTimestamp64Micro(stored.began) AS began,
    toUnixTimestamp64Micro(stored.before) AS before, last_sequence, numbering
FROM numberings AS stored FINAL
WHERE exchange = {exchange:String}
ORDER BY symbol, began
"""

_MARKET_OUTAGES: Final = """
SELECT symbol, began, since, ended, heard
FROM
(
    SELECT symbol, toUnixTimestamp64Micro(stored.began) AS began,
        toUnixTimestamp64Micro(min(stored.since)) AS since,
        toUnixTimestamp64Micro(max(stored.ended)) AS ended
    FROM market_outages AS stored
    WHERE exchange = {exchange:String}
    GROUP BY symbol, stored.began
) AS outages
LEFT JOIN
(
    SELECT symbol, toUnixTimestamp64Micro(max(received_at)) AS heard
    FROM silver_trades
    WHERE exchange = {exchange:String} AND via = 'websocket'
        AND symbol IN (SELECT symbol FROM market_outages WHERE exchange = {exchange:String})
    GROUP BY symbol
) AS trades USING (symbol)
ORDER BY symbol, began
"""

_WATERMARK: Final = f"""
SELECT greatest(
    (SELECT max(toUnixTimestamp64Micro(watermark))
     FROM watermarks WHERE exchange = {{exchange:String}}),
    (SELECT max(toUnixTimestamp64Micro(timestamp))
     FROM silver_trades WHERE exchange = {{exchange:String}} AND {_CUT}) - {{grace:Int64}}
) AS watermark
"""

# Candles that do not match the stored trades and the watermark, left by a process that stopped
# between storing trades and storing their candles.
_STALE: Final = """
WITH minutes AS
(
    SELECT symbol, toStartOfMinute(timestamp) AS minute, count() AS trades
    FROM silver_trades FINAL
    WHERE exchange = {exchange:String} AND empty(conditions)
    GROUP BY symbol, minute
),
expected AS
(
    SELECT timeframe, symbol,
        fromUnixTimestamp(intDiv(toUnixTimestamp(minute), length) * length) AS window_start,
        2 * sum(trades) + (
            (toInt64(toUnixTimestamp(window_start)) + any(length)) * 1000000 <= {watermark:Int64}
        ) AS version
    FROM minutes
    ARRAY JOIN {numbers:Array(Int8)} AS timeframe, {lengths:Array(UInt32)} AS length
    GROUP BY timeframe, symbol, window_start
)
SELECT expected.timeframe AS timeframe, expected.symbol AS symbol,
    toDateTime64(expected.window_start, 6, 'UTC') AS window_start
FROM expected
LEFT JOIN
(
    SELECT toInt8(timeframe) AS timeframe, symbol, window_start, version
    FROM ohlcv FINAL
    WHERE exchange = {exchange:String}
) AS stored USING (timeframe, symbol, window_start)
WHERE stored.version != expected.version
"""

ALL_STORED: Final[dict[str, Any]] = {"whole": True, "places": [""], "ends": [0]}
"""Parameters of the condition by which all stored trades count."""

_DAY: Final = TIMEFRAMES["1d"][1]


class StateLoader:
    """Loader of an exchange's state from the tables, at most one hour of trades at a time.

    With a concurrent writer the initial state is read up to the same offset of each source,
    until `mark_started` is called.
    """

    def __init__(
        self,
        database: Database,
        *,
        has_concurrent_writer: bool = False,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self.gap_reader = GapReader(database, wait)
        self.trade_reader = TradeReader(self._query)
        self._database = database
        self._is_alone = not has_concurrent_writer
        self._wait = wait
        self._cuts: dict[str, dict[str, Any]] = {}
        self._progress = StoreProgress(database, wait)
        self._started: set[str] = set()
        self.candle_reader = CandleReader(self._query)
        self.late_trade_reader = LateTradeReader(self._query, _CUT)
        self.minute_reader = MinuteReader(self._query, _CUT)

    def mark_started(self, exchange: str) -> None:
        """Count all stored trades from now on, also those of a concurrent writer."""
        self._cuts[exchange] = ALL_STORED
        self._started.add(exchange)

    def has_started(self, exchange: str) -> bool:
        """Return True once `mark_started` was called for the exchange."""
        return exchange in self._started

    def _cut(self, exchange: str) -> dict[str, Any]:
        if exchange not in self._cuts:
            self._cuts[exchange] = ALL_STORED if self._is_alone else self._find_cut(exchange)
        return self._cuts[exchange]

    def _find_cut(self, exchange: str) -> dict[str, Any]:
        """Return the current end of each source, once all trades before it are visible."""
        sources = self._database.query(_SOURCE_ENDS, {"exchange": exchange})
        cut = {**ALL_STORED, "whole": False}
        if sources.height:
            cut |= {"places": sources["place"].to_list(), "ends": sources["end"].to_list()}
        before, count = -1, self._count(exchange, cut)
        while count > before:
            self._wait(SETTLE_S)
            before, count = count, self._count(exchange, cut)
        return cut

    def _count(self, exchange: str, cut: dict[str, Any]) -> int:
        return int(self._database.query(_COUNT, {"exchange": exchange, **cut}).item())

    def load_deduplicator(self, exchange: str) -> Deduplicator:
        """Return the deduplicator as if this process had stored the trades itself."""
        deduplicator = Deduplicator()
        buckets = self._query(_BUCKETS, exchange, bucket=_BUCKET)
        whole = pl.col("trades") == pl.col("last") - pl.col("first") + 1
        runs = buckets.filter(whole).select("symbol", "numbering", "first", "last", "begin", "end")
        for symbol, numbering, *run in runs.iter_rows():
            name = series(symbol, numbering)
            deduplicator.ranges_by_series.setdefault(name, SequenceRanges()).add(SequenceRun(*run))
        times = pl.col("earliest").min(), pl.col("latest").max()
        for symbol, earliest, latest in buckets.group_by("symbol").agg(*times).iter_rows():
            deduplicator.numberings.record_times(symbol, earliest, latest)
        for symbol, *start in self._query(_NUMBERINGS, exchange).iter_rows():
            deduplicator.numberings.starts.setdefault(symbol, []).append(Start(*start))
        if not buckets.select(whole.all()).item():
            self._add_trades(deduplicator, self._query(_NUMBERS, exchange, bucket=_BUCKET))
        since = max(0, self.load_watermark(exchange) - ID_RETENTION // timedelta(microseconds=1))
        self._add_trades(deduplicator, self._query(_IDS, exchange, since=since))
        minutes = self.trade_reader.read_contradicted_minutes(exchange)
        deduplicator.add_contradictions(minutes.iter_rows())
        deduplicator.market_outages = self.load_market_outages(exchange)
        deduplicator.discard_changes()
        return deduplicator

    def load_market_outages(self, exchange: str) -> MarketOutages:
        """Return the market outages that go on, or that no later live trade proves."""
        outages = MarketOutages()
        rows = self._query(_MARKET_OUTAGES, exchange).rows()
        for symbol, began, since, ended, last_trade in rows:
            if not ended:
                outages.began[symbol], outages.since[symbol] = began, since
            elif ended > last_trade:
                outages.unproven.setdefault(symbol, []).append((since, ended))
        return outages

    def _add_trades(self, deduplicator: Deduplicator, trades: pl.DataFrame) -> None:
        if trades.height:
            categorical = trades.with_columns(pl.col("symbol").cast(pl.Categorical))
            deduplicator.mark_new(categorical, has_numbering=True)

    def load_watermark(self, exchange: str) -> int:
        """Return the watermark in microseconds since 1970; 0 if nothing is stored."""
        watermark = self._query(_WATERMARK, exchange, grace=WATERMARK_DELAY_US)["watermark"][0]
        return max(0, watermark or 0)

    def load_open_candles(self, exchange: str) -> OpenCandles:
        """Return the open candles, with revisions that follow from the order of receipt."""
        watermark = self.load_watermark(exchange)
        oldest = max(0, watermark - ALLOWED_LATENESS_US) // _DAY * _DAY
        minutes = self.minute_reader.build_candles(exchange, oldest, watermark + _DAY)
        restored = restore(minutes, watermark)
        late_counts = self.late_trade_reader.count_late_trades(exchange, oldest)
        candles = with_revisions(restored.candles, late_counts)
        outages = self.gap_reader.read_outages(exchange, max(0, watermark - OUTAGE_RETENTION_US))
        ended = self.candle_reader.read_feed_ends(exchange)
        return replace(
            restored, candles=candles, outages=merge_overlapping(outages), feed_ends=ended
        )

    def find_stale_windows(self, exchange: str, watermark: int) -> pl.DataFrame:
        """Return WINDOW_KEY of the stored candles that do not match the stored trades."""
        windows = self._query(
            _STALE,
            exchange,
            watermark=watermark,
            numbers=[number for number, _ in TIMEFRAMES.values()],
            lengths=[length // SECOND for _, length in TIMEFRAMES.values()],
        )
        return windows.cast(WINDOW_KEY)  # type: ignore[arg-type]  # names to types

    def wait_until_stored(self, exchange: str, late: pl.DataFrame) -> None:
        """Return when the concurrent writer, if any, has stored these trades (TRADES)."""
        if not self._is_alone:
            self._progress.wait_until_stored(exchange, late)

    def _query(self, sql: str, exchange: str, **parameters: Any) -> pl.DataFrame:  # noqa: ANN401
        # Recomputed candles count all stored trades: their query passes the parameters itself.
        if "{whole:Bool}" in sql and "whole" not in parameters:
            parameters |= self._cut(exchange)
        return self._database.query(sql, {"exchange": exchange, **parameters}, self._wait)
