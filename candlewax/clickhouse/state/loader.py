"""State of a process without a snapshot, rebuilt from the tables."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

import polars as pl

from candlewax.clickhouse.client import Database
from candlewax.clickhouse.state import queries
from candlewax.clickhouse.state.candle_reader import CandleReader
from candlewax.clickhouse.state.channel_reader import ChannelReader
from candlewax.clickhouse.state.gap_reader import GapReader
from candlewax.clickhouse.state.late_trade_reader import LateTradeReader, with_revisions
from candlewax.clickhouse.state.minute_reader import MinuteReader
from candlewax.clickhouse.state.store_progress import SETTLE_S, StoreProgress
from candlewax.clickhouse.state.trade_reader import TradeReader
from candlewax.core.batch import WINDOW_KEY, Batch
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
from candlewax.core.shards import WHOLE, Shard
from candlewax.core.trades.deduplicator import Deduplicator
from candlewax.core.trades.unnumbered import ID_RETENTION
from candlewax.exchanges import counts_trades

ALL_STORED: Final[dict[str, Any]] = {"whole": True, "places": [""], "ends": [0]}
"""Parameters of the condition by which all stored trades count."""

_DAY: Final = TIMEFRAMES["1d"][1]


class StateLoader:
    """Loader of the state of a shard from the tables, at most one hour of trades at a time.

    With a concurrent writer the initial state is read up to the same offset of each source,
    until `mark_started` is called.
    """

    def __init__(
        self,
        database: Database,
        *,
        has_concurrent_writer: bool = False,
        wait: Callable[[float], object] = time.sleep,
        shard: Shard = WHOLE,
    ) -> None:
        self.gap_reader = GapReader(database, wait, shard)
        self.trade_reader = TradeReader(self._query)
        self.channel_reader = ChannelReader(database, wait)
        self._database = database
        self._is_alone = not has_concurrent_writer
        self._wait = wait
        self._shard = shard
        self._loaders: dict[Shard, StateLoader] = {shard: self}
        self._cuts: dict[str, dict[str, Any]] = {}
        self._progress = StoreProgress(database, wait, shard)
        self._started: set[str] = set()
        self.candle_reader = CandleReader(self._query)
        self.late_trade_reader = LateTradeReader(self._query, queries.CUT)
        self.minute_reader = MinuteReader(self._query, queries.CUT)

    def for_shard(self, shard: Shard) -> "StateLoader":
        """Return the loader of another shard of the same tables, the same one each time."""
        if shard not in self._loaders:
            loader = StateLoader(
                self._database,
                has_concurrent_writer=not self._is_alone,
                wait=self._wait,
                shard=shard,
            )
            self._loaders.setdefault(shard, loader)
        return self._loaders[shard]

    def mark_started(self, exchange: str) -> None:
        """Count all stored trades from now on, also those of a concurrent writer."""
        self._cuts[exchange] = ALL_STORED
        self._started.add(exchange)

    def has_started(self, exchange: str) -> bool:
        """Return True once `mark_started` was called for the exchange."""
        return exchange in self._started

    def has_started_shard(self, batch: Batch) -> bool:
        """Return True once `mark_started` was called for the shard of a batch."""
        return self.for_shard(batch.shard).has_started(batch.exchange)

    def _cut(self, exchange: str) -> dict[str, Any]:
        if exchange not in self._cuts:
            self._cuts[exchange] = ALL_STORED if self._is_alone else self._find_cut(exchange)
        return self._cuts[exchange]

    def _find_cut(self, exchange: str) -> dict[str, Any]:
        """Return the current end of each source, once all trades before it are visible."""
        sources = self._query(queries.SOURCE_ENDS, exchange)
        cut = {**ALL_STORED, "whole": False}
        if sources.height:
            cut |= {"places": sources["place"].to_list(), "ends": sources["end"].to_list()}
        before, count = -1, self._count(exchange, cut)
        while count > before:
            self._wait(SETTLE_S)
            before, count = count, self._count(exchange, cut)
        return cut

    def _count(self, exchange: str, cut: dict[str, Any]) -> int:
        return int(self._query(queries.COUNT, exchange, **cut).item())

    def load_deduplicator(self, exchange: str) -> Deduplicator:
        """Return the deduplicator as if this process had stored the trades itself."""
        deduplicator = Deduplicator()
        buckets = self._query(queries.BUCKETS, exchange, bucket=queries.BUCKET)
        whole = pl.col("trades") == pl.col("last") - pl.col("first") + 1
        runs = buckets.filter(whole).select("symbol", "numbering", "first", "last", "begin", "end")
        for symbol, numbering, *run in runs.iter_rows():
            name = series(symbol, numbering)
            deduplicator.ranges_by_series.setdefault(name, SequenceRanges()).add(SequenceRun(*run))
        times = pl.col("earliest").min(), pl.col("latest").max()
        for symbol, earliest, latest in buckets.group_by("symbol").agg(*times).iter_rows():
            deduplicator.numberings.record_times(symbol, earliest, latest)
        for symbol, *start in self._query(queries.NUMBERINGS, exchange).iter_rows():
            deduplicator.numberings.starts.setdefault(symbol, []).append(Start(*start))
        if not buckets.select(whole.all()).item():
            self._add_trades(
                deduplicator, self._query(queries.NUMBERS, exchange, bucket=queries.BUCKET)
            )
        since = max(0, self.load_watermark(exchange) - ID_RETENTION // timedelta(microseconds=1))
        self._add_trades(deduplicator, self._query(queries.IDS, exchange, since=since))
        deduplicator.ids.since_us = since
        minutes = self.trade_reader.read_contradicted_minutes(exchange)
        deduplicator.add_contradictions(minutes.iter_rows())
        deduplicator.market_outages = self.load_market_outages(exchange)
        deduplicator.discard_changes()
        return deduplicator

    def load_market_outages(self, exchange: str) -> MarketOutages:
        """Return the market outages that go on, or that the number of a later trade may prove."""
        outages = MarketOutages()
        rows = self._query(queries.MARKET_OUTAGES, exchange).rows()
        for symbol, began, since, ended, last_trade in rows:
            if not ended:
                outages.began[symbol], outages.since[symbol] = began, since
            elif ended > last_trade and counts_trades(exchange):
                outages.unproven.setdefault(symbol, []).append((since, ended))
        return outages

    def _add_trades(self, deduplicator: Deduplicator, trades: pl.DataFrame) -> None:
        if trades.height:
            categorical = trades.with_columns(pl.col("symbol").cast(pl.Categorical))
            deduplicator.mark_new(categorical, has_numbering=True)

    def load_watermark(self, exchange: str) -> int:
        """Return the watermark in microseconds since 1970; 0 if nothing is stored."""
        watermark = self._query(queries.WATERMARK, exchange, grace=WATERMARK_DELAY_US)["watermark"][
            0
        ]
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
            queries.STALE,
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
        markets = {"exchange": exchange, **self._shard.parameters()}
        return self._database.query(sql, {**markets, **parameters}, self._wait)
