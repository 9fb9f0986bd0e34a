"""What the tables already hold: where a process without a memory of its own begins."""

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
from candlewax.clickhouse.state.store_progress import SETTLE, StoreProgress
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
from candlewax.core.trades.unnumbered import KEPT

_BUCKET: Final = 1024
"""How many numbers are looked at together."""

# Which trades count as stored: all, or those that lie before the cut.
_CUT: Final = """({whole:Bool} OR source_offset < transform(
        concat(source, ':', toString(source_partition)),
        {places:Array(String)}, {ends:Array(UInt64)}, toUInt64(0)))"""

_PLACES: Final = """
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

# Candles that are not what silver and the watermark say: a process that stopped
# between storing trades and storing their candles leaves such.
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

WHOLE: Final[dict[str, Any]] = {"whole": True, "places": [""], "ends": [0]}
"""All that is stored counts."""

_DAY: Final = TIMEFRAMES["1d"][1]


class StateLoader:
    """Reads what is stored of an exchange, never more than an hour's trades at once.

    Where another process stores `meanwhile`, all that a process begins with is read
    as of one moment: up to the same place of each source, until it has `begun`.
    """

    def __init__(
        self,
        database: Database,
        *,
        meanwhile: bool = False,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self.unseen = GapReader(database, wait)
        self.trades = TradeReader(self._query)
        self._database = database
        self._meanwhile = meanwhile
        self._wait = wait
        self._cuts: dict[str, dict[str, Any]] = {}
        self._reached = StoreProgress(database, wait)
        self._begun: set[str] = set()
        self.stored = CandleReader(self._query)
        self.latecomers = LateTradeReader(self._query, _CUT)
        self.minutes = MinuteReader(self._query, _CUT)

    def mark_started(self, exchange: str) -> None:
        """From now on all that is stored counts."""
        self._cuts[exchange] = WHOLE
        self._begun.add(exchange)

    def has_started(self, exchange: str) -> bool:
        """Whether all that is stored counts."""
        return exchange in self._begun

    def _cut(self, exchange: str) -> dict[str, Any]:
        if exchange not in self._cuts:
            self._cuts[exchange] = self._new_cut(exchange) if self._meanwhile else WHOLE
        return self._cuts[exchange]

    def _new_cut(self, exchange: str) -> dict[str, Any]:
        """Where each source ends now, once all before is visible."""
        found = self._database.query(_PLACES, {"exchange": exchange})
        cut = {**WHOLE, "whole": False}
        if found.height:
            cut |= {"places": found["place"].to_list(), "ends": found["end"].to_list()}
        before, count = -1, self._count(exchange, cut)
        while count > before:
            self._wait(SETTLE)
            before, count = count, self._count(exchange, cut)
        return cut

    def _count(self, exchange: str, cut: dict[str, Any]) -> int:
        return int(self._database.query(_COUNT, {"exchange": exchange, **cut}).item())

    def ledger(self, exchange: str) -> Deduplicator:
        """The stored trades, as a process that stored them itself would know them."""
        ledger = Deduplicator()
        buckets = self._query(_BUCKETS, exchange, bucket=_BUCKET)
        whole = pl.col("trades") == pl.col("last") - pl.col("first") + 1
        ends = buckets.filter(whole).select("symbol", "numbering", "first", "last", "begin", "end")
        for symbol, numbering, *run in ends.iter_rows():
            name = series(symbol, numbering)
            ledger.numbered.setdefault(name, SequenceRanges()).add(SequenceRun(*run))
        times = pl.col("earliest").min(), pl.col("latest").max()
        for symbol, earliest, latest in buckets.group_by("symbol").agg(*times).iter_rows():
            ledger.numberings.see(symbol, earliest, latest)
        for symbol, *start in self._query(_NUMBERINGS, exchange).iter_rows():
            ledger.numberings.starts.setdefault(symbol, []).append(Start(*start))
        if not buckets.select(whole.all()).item():
            self._admit(ledger, self._query(_NUMBERS, exchange, bucket=_BUCKET))
        since = max(0, self.watermark(exchange) - KEPT // timedelta(microseconds=1))
        self._admit(ledger, self._query(_IDS, exchange, since=since))
        ledger.add_contradictions(self.trades.contradicted(exchange).iter_rows())
        ledger.market_outages = self.market_outages(exchange)
        ledger.begin()
        return ledger

    def market_outages(self, exchange: str) -> MarketOutages:
        """Return the outages of single markets that go on, or that no later trade proves."""
        found = MarketOutages()
        for symbol, began, since, ended, heard in self._query(_MARKET_OUTAGES, exchange).rows():
            if not ended:
                found.began[symbol], found.since[symbol] = began, since
            elif ended > heard:
                found.unproven.setdefault(symbol, []).append((since, ended))
        return found

    def _admit(self, ledger: Deduplicator, trades: pl.DataFrame) -> None:
        if trades.height:
            named = trades.with_columns(pl.col("symbol").cast(pl.Categorical))
            ledger.mark_new(named, decided=True)

    def watermark(self, exchange: str) -> int:
        """By when candles are closed, in microseconds since 1970; 0 if nothing is
        stored.
        """
        found = self._query(_WATERMARK, exchange, grace=WATERMARK_DELAY_US)["watermark"][0]
        return max(0, found or 0)

    def book(self, exchange: str) -> OpenCandles:
        """The candles that can still change, and the watermark.

        How many trades came late is told by the order in which they came.
        """
        watermark = self.watermark(exchange)
        oldest = max(0, watermark - ALLOWED_LATENESS_US) // _DAY * _DAY
        seeded = restore(self.minutes.between(exchange, oldest, watermark + _DAY), watermark)
        candles = with_revisions(seeded.candles, self.latecomers.late(exchange, oldest))
        outages = self.unseen.outages(exchange, max(0, watermark - OUTAGE_RETENTION_US))
        ended = self.stored.ended(exchange)
        return replace(seeded, candles=candles, outages=merge_overlapping(outages), ended=ended)

    def stale(self, exchange: str, watermark: int) -> pl.DataFrame:
        """WINDOW_KEY of the stored candles that are not what the stored trades say."""
        frame = self._query(
            _STALE,
            exchange,
            watermark=watermark,
            numbers=[number for number, _ in TIMEFRAMES.values()],
            lengths=[length // SECOND for _, length in TIMEFRAMES.values()],
        )
        return frame.cast(WINDOW_KEY)  # type: ignore[arg-type]  # names to types

    def wait_for(self, exchange: str, late: pl.DataFrame) -> None:
        """Return when these trades (TRADES) are stored, where another process does that."""
        if self._meanwhile:
            self._reached.wait_for(exchange, late)

    def _query(self, sql: str, exchange: str, **parameters: Any) -> pl.DataFrame:  # noqa: ANN401
        # What is computed anew later counts all that is stored, and says so.
        if "{whole:Bool}" in sql and "whole" not in parameters:
            parameters |= self._cut(exchange)
        return self._database.query(sql, {"exchange": exchange, **parameters}, self._wait)
