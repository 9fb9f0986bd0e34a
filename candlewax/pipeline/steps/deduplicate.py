"""Bytewax step from decoded trades to those received for the first time."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from typing import Final, cast

import polars as pl
from bytewax.operators import StatefulBatchLogic

from candlewax.clickhouse.state.loader import StateLoader
from candlewax.core.batch import Batch
from candlewax.core.candles import open_candles
from candlewax.core.candles.combine import MINUTE
from candlewax.core.gaps.gap_state import NO_GAPS, GapState
from candlewax.core.gaps.market_outages import MARKET_OUTAGES
from candlewax.core.gaps.numberings import Numberings, Opening
from candlewax.core.rows.candles import batch_watermark
from candlewax.core.rows.columns import decoded_columns, outage_columns
from candlewax.core.rows.deduplicate import mark_stored, pass_new
from candlewax.core.rows.frame_decoder import DecodedRows
from candlewax.core.rows.row_batch import AnyBatch, RowBatch
from candlewax.core.schema import NUMBERINGS, drop_column, empty
from candlewax.core.shards import WHOLE, Shard
from candlewax.core.snapshots import Snapshot, load_deduplicator, save_deduplicator
from candlewax.core.trades.admission import Admission
from candlewax.core.trades.contradictions import ContradictionFinder, remove_contradictions
from candlewax.core.trades.decode import DecodedFrames
from candlewax.core.trades.deduplicator import Deduplicator
from candlewax.core.trades.identity import CONTRADICTIONS, contradicted_moments, contradiction_rows
from candlewax.core.trades.unnumbered import drop_stored
from candlewax.pipeline.steps.assign_shards import Decoded
from candlewax.pipeline.steps.batch_counts import count_batch
from candlewax.pipeline.steps.gap_reporter import GapReporter
from candlewax.pipeline.steps.market_outage_reporter import MarketOutageReporter
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import log_failures

_log: Final = logging.getLogger(__name__)

_time: Final = attrgetter("timestamp")


@log_failures
class DeduplicateStep(StatefulBatchLogic[Decoded, AnyBatch, Snapshot | None]):
    """Step that passes each trade of a shard on once; keyed by shard.

    Without state for a shard it loads the deduplicator from the tables. With `stores` the process
    stores frames, trades and what they show. No market that `is_subscribed` denies is refused.
    """

    def __init__(
        self,
        state_loader: StateLoader,
        counters: Counters,
        snapshot: Snapshot | None,
        *,
        stores: bool = True,
        is_subscribed: Callable[[str, str], bool] = lambda *_: True,
    ) -> None:
        self._state_loader = state_loader
        self._counters = counters
        self._deduplicator = load_deduplicator(snapshot) if snapshot else None
        self._stores = stores
        is_resumed = snapshot is not None
        self._gap_reporter = GapReporter(state_loader, counters, is_resumed=is_resumed)
        self._outage_reporter = MarketOutageReporter(counters, is_subscribed)
        self._finder: ContradictionFinder | None = None
        self._last_read_minute = 0
        self._shard = WHOLE

    def on_batch(
        self, values: list[DecodedFrames | DecodedRows]
    ) -> tuple[Iterable[AnyBatch], bool]:
        self._use_shard(values[0].shard)
        batches = [
            self._deduplicate_rows(value)
            if isinstance(value, DecodedRows)
            else self._deduplicate(value)
            for value in values
        ]
        return batches, StatefulBatchLogic.RETAIN

    def _use_shard(self, shard: Shard) -> None:
        """Read state of this shard from now on; all batches of a key are of the same one."""
        if shard is not self._shard:
            self._shard = shard
            self._state_loader = self._state_loader.for_shard(shard)
            self._gap_reporter.use_shard(shard)

    def _deduplicate_rows(self, decoded: DecodedRows) -> AnyBatch:
        """As `_deduplicate`; a batch that says more than new trades goes on as columns."""
        deduplicator, exchange = self._deduplicator, decoded.exchange
        if deduplicator is None:
            return self._deduplicate(decoded_columns(decoded))
        if not self._stores:
            return self._deduplicate_stored(deduplicator, decoded)
        if self._gap_reporter.has_rows:
            return self._deduplicate(decoded_columns(decoded))
        result = pass_new(deduplicator, self._contradiction_finder(exchange), decoded)
        if not isinstance(result, RowBatch):
            return self._deduplicate(decoded_columns(decoded), result)
        self._counters.increment_all(decoded.totals())
        return result

    def _deduplicate_stored(self, deduplicator: Deduplicator, decoded: DecodedRows) -> AnyBatch:
        """As `_deduplicate_rows`, of trades that another process stores."""
        admission = mark_stored(deduplicator, decoded)
        if admission:
            return self._deduplicate(decoded_columns(decoded), admission)
        exchange, trades = decoded.exchange, decoded.trades
        minute = max(map(_time, trades)) // MINUTE
        if minute > self._last_read_minute:
            self._read_contradictions(deduplicator, exchange, minute)
        deduplicator.expire(batch_watermark(trades))
        gap_state = deduplicator.gap_state({}, outage_columns(decoded.outages))
        batch = RowBatch(exchange, decoded, gap_state, stores_trades=False, shard=decoded.shard)
        self._counters.increment_all(decoded.totals())
        return batch

    def _deduplicate(self, decoded: DecodedFrames, admission: Admission | None = None) -> Batch:
        trades = decoded.trades
        needs_state = trades.height or decoded.events or decoded.subscriptions
        if self._deduplicator is None and needs_state:
            self._deduplicator = self._state_loader.load_deduplicator(decoded.exchange)
        if self._deduplicator and self._stores:
            self._gap_reporter.restore(decoded.exchange, self._deduplicator)
        contradictions, opened = empty(CONTRADICTIONS), empty(NUMBERINGS)
        numberings = self._deduplicator.numberings if self._deduplicator else Numberings()
        latest = dict(numberings.latest) if decoded.subscriptions else {}
        if self._deduplicator and trades.height:
            admission = admission or self._deduplicator.mark_new(
                trades, has_numbering=not self._stores
            )
            if self._stores:
                read_ids = partial(self._state_loader.trade_reader.read_ids, decoded.exchange)
                is_new = drop_stored(trades, admission.is_new, self._deduplicator.ids, read_ids)
                admission = replace(admission, is_new=is_new)
            fresh = admission.is_new
            if self._stores:
                decoded, contradictions = self._compare(self._deduplicator, decoded, admission)
                if admission.numbering is not None:
                    trades = trades.with_columns(numbering=admission.numbering)
            else:
                minute = cast(int, trades["timestamp"].to_physical().max()) // MINUTE
                if minute > self._last_read_minute:
                    self._read_contradictions(self._deduplicator, decoded.exchange, minute)
            opened = self._report_opened(decoded.exchange, admission.openings)
            trades = trades if fresh.all() else trades.filter(fresh)
            self._deduplicator.expire(open_candles.batch_watermark(decoded.trades))
        count_batch(self._counters, decoded, trades.height, contradictions.height)
        market_outages = empty(MARKET_OUTAGES)
        if self._deduplicator and self._stores:
            market_outages = self._outage_reporter.rows_for(self._deduplicator, decoded, latest)
        tables, gap_state = self._gap_tables(decoded, trades)
        trades = drop_column(trades, "row")
        tables["dead_letters"] = decoded.dead_letters
        if self._stores:
            rare = {
                "contradictions": contradictions,
                "numberings": opened,
                "market_outages": market_outages,
            }
            tables |= {"bronze_frames": decoded.bronze, "silver_trades": trades}
            tables |= {name: rows for name, rows in rare.items() if rows.height}
        return Batch(
            decoded.exchange,
            tables,
            trades,
            decoded.trades.height,
            gap_state=gap_state,
            shard=decoded.shard,
        )

    def _compare(
        self, deduplicator: Deduplicator, decoded: DecodedFrames, admission: Admission
    ) -> tuple[DecodedFrames, pl.DataFrame]:
        """Count duplicates in their frames, and turn CONTRADICTIONS into dead letters."""
        exchange, trades = decoded.exchange, decoded.trades
        finder = self._contradiction_finder(exchange)
        result = finder.find(trades, admission, deduplicator.ranges_by_series)
        if admission.is_new.all():
            return decoded, empty(CONTRADICTIONS)
        self._report_uncompared(exchange, result.uncompared_count)
        contradicting, is_duplicate = result.contradictions, ~admission.is_new
        bronze, dead_letters = decoded.bronze, decoded.dead_letters
        rows = empty(CONTRADICTIONS)
        if contradicting.height:
            rows = contradiction_rows(exchange, contradicting, trades)
            deduplicator.add_contradictions(contradicted_moments(rows))
            withdrawn = remove_contradictions(bronze, trades, contradicting)
            bronze = withdrawn.bronze
            dead_letters = pl.concat([dead_letters, withdrawn.dead_letters])
            is_duplicate = is_duplicate.scatter(contradicting["place"], False)
            _log.warning(
                "%s: %d trades contradict known ones: same number, other content; the first: %s",
                exchange,
                rows.height,
                withdrawn.dead_letters["detail"][0],
            )
        bronze = _with_duplicates(bronze, trades["row"].filter(is_duplicate))
        return replace(decoded, bronze=bronze, dead_letters=dead_letters), rows

    def _contradiction_finder(self, exchange: str) -> ContradictionFinder:
        if self._finder is None:
            self._finder = ContradictionFinder(exchange, self._state_loader.trade_reader)
        return self._finder

    def _report_uncompared(self, exchange: str, count: int) -> None:
        if count:
            self._counters.increment(count, "uncompared", exchange)
            _log.warning(
                "%s: %d trades have known numbers whose stored trades have expired; by their times "
                "they count as duplicates",
                exchange,
                count,
            )

    def _read_contradictions(self, deduplicator: Deduplicator, exchange: str, minute: int) -> None:
        """Read contradictions and market outages from the tables, once a minute of market time.

        The process that stores trades finds them; the normalized topic does not carry them.
        """
        self._last_read_minute = minute
        minutes = self._state_loader.trade_reader.read_contradicted_minutes(exchange)
        deduplicator.add_contradictions(minutes.iter_rows())
        outages = self._state_loader.load_market_outages(exchange)
        previous = deduplicator.market_outages
        deduplicator.add_spans(set(previous.time_ranges()) ^ set(outages.time_ranges()))
        deduplicator.market_outages = outages

    def _report_opened(self, exchange: str, opened: Sequence[tuple[str, Opening]]) -> pl.DataFrame:
        """Log and count numberings that opened. Return NUMBERINGS."""
        for symbol, (numbering, start) in opened:
            self._counters.increment(1, "numberings", exchange)
            _log.warning(
                "%s: the numbers of %s restart at %d: numbering %d opens%s",
                exchange,
                symbol,
                start.first,
                numbering,
                "" if numbering == start.numbering else " for earlier trades",
            )
        if not opened:
            return empty(NUMBERINGS)
        rows = [
            (exchange, symbol, start.numbering, start.first, start.began, start.before, start.last)
            for symbol, (_, start) in opened
        ]
        times = {"began": pl.Int64, "before": pl.Int64}
        return pl.DataFrame(rows, {**NUMBERINGS, **times}, orient="row").cast(NUMBERINGS)  # type: ignore[arg-type]  # names to types

    def _gap_tables(
        self, decoded: DecodedFrames, trades: pl.DataFrame
    ) -> tuple[dict[str, pl.DataFrame], GapState]:
        """Return rows of `gaps` and `outages`, and the gap state, after new trades are marked."""
        deduplicator = self._deduplicator
        if deduplicator is None:
            return {}, NO_GAPS
        changes = deduplicator.take_changes()
        if not self._stores:
            return {}, deduplicator.gap_state(changes, decoded.outages)
        tables = self._gap_reporter.rows_for(deduplicator, changes, decoded, trades)
        outages = deduplicator.connections.take_confirmed(trades)
        return tables, deduplicator.gap_state(changes, outages)

    def snapshot(self) -> Snapshot | None:
        return save_deduplicator(self._deduplicator) if self._deduplicator else None


def _with_duplicates(bronze: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    if rows.is_empty():
        return bronze
    counts = rows.value_counts()
    duplicates = bronze["duplicates"].scatter(counts["row"], counts["count"].cast(pl.UInt16))
    return bronze.with_columns(duplicates=duplicates)
