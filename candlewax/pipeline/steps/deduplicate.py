"""The steps from frames to trades, as Bytewax runs them."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final, cast

import polars as pl
from bytewax.operators import StatefulBatchLogic
from polars.exceptions import PanicException

from candlewax.clickhouse.state.loader import StateLoader
from candlewax.core.batch import UNKNOWN_EXCHANGE, Batch
from candlewax.core.candles import open_candles
from candlewax.core.candles.combine import MINUTE
from candlewax.core.frames import InvalidUtf8Frames, SourceItem, UnreadableLines
from candlewax.core.gaps.gap_state import NO_GAPS, GapState
from candlewax.core.gaps.market_outages import FOREVER, MARKET_OUTAGES, outage_rows
from candlewax.core.gaps.numberings import Opening
from candlewax.core.instruments import Instruments
from candlewax.core.schema import BRONZE, NUMBERINGS, TRADES, empty, without
from candlewax.core.snapshots import Snapshot, load_deduplicator, save_deduplicator
from candlewax.core.trades.admission import Admission
from candlewax.core.trades.contradictions import ContradictionFinder, withdraw
from candlewax.core.trades.decode import Decoded, decode, reject_frames, reject_invalid_utf8
from candlewax.core.trades.deduplicator import Deduplicator
from candlewax.core.trades.identity import CONTRADICTIONS, contradiction_rows, moments
from candlewax.core.trades.small_batch import SMALL_BATCH_ROWS
from candlewax.exchanges import EXCHANGES
from candlewax.pipeline.steps.gap_reporter import GapReporter
from candlewax.pipeline.steps.unknown_conditions import UnknownConditions
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import log_failures

_NO_TRADES: Final = empty({"row": pl.UInt32, **TRADES})

_log: Final = logging.getLogger(__name__)


@log_failures
class DecodeStep:
    """Reads what a feed emits: `FrameBatch` or `UnreadableLines` in, (key, Decoded) out, the key
    being the exchange.
    """

    def __init__(self, instruments: Instruments, wanted: Iterable[str], tally: Counters) -> None:
        self._instruments = instruments
        self._wanted = frozenset(wanted)
        self._tally = tally
        self._unknown = UnknownConditions(tally)

    def __call__(self, received: SourceItem) -> list[tuple[str, Decoded]]:
        if isinstance(received, UnreadableLines):
            return [
                (
                    UNKNOWN_EXCHANGE,
                    Decoded(UNKNOWN_EXCHANGE, empty(BRONZE), _NO_TRADES, received.letters),
                )
            ]
        exchange, frames = received.exchange, received.frames
        if isinstance(received, InvalidUtf8Frames):
            return [
                (exchange, reject_invalid_utf8(exchange, frames, received.values, received.details))
            ]
        if exchange not in EXCHANGES:
            known = f"expected one of {', '.join(EXCHANGES)}, got {exchange[:100]!r}"
            return [(UNKNOWN_EXCHANGE, reject_frames(exchange, frames, "unknown_exchange", known))]
        if exchange not in self._wanted:
            self._tally.increment(frames.height, "skipped", exchange)
            return []
        found = self._read(exchange, frames)
        for read in found:
            self._unknown.count(EXCHANGES[exchange], read.trades["condition"])
        return [(exchange, read) for read in found]

    def _read(self, exchange: str, frames: pl.DataFrame, *, again: bool = False) -> list[Decoded]:
        """Read frames. Where reading itself fails, those it fails on are dead letters and the
        others are read, in their order: no frame ends the pipeline, again at each start.
        """
        try:
            return [decode(EXCHANGES[exchange], frames, self._instruments)]
        except MemoryError:
            raise
        except (Exception, PanicException) as error:  # noqa: BLE001 - told, and kept
            if not again:
                _log.exception("%s: reading frames failed; those to blame are kept", exchange)
            if frames.height <= 1:
                why = f"{type(error).__name__}: {error}"[:1000]
                return [reject_frames(exchange, frames, "decoder_failed", why)]
            half = frames.height // 2
            parts = frames[:half], frames[half:]
            return [read for part in parts for read in self._read(exchange, part, again=True)]


@log_failures
class DeduplicateStep(StatefulBatchLogic[Decoded, Batch, Snapshot | None]):
    """Lets each trade of an exchange through once; keyed by exchange.

    A process that has no state for an exchange takes what the tables hold for
    seen. `stores` tells whether it is the one that stores frames and trades; that one
    also tells which trades are missing, and when no connection was alive.
    """

    def __init__(
        self,
        history: StateLoader,
        tally: Counters,
        resumed: Snapshot | None,
        *,
        stores: bool = True,
    ) -> None:
        self._history = history
        self._tally = tally
        self._ledger = load_deduplicator(resumed) if resumed else None
        self._stores = stores
        self._watch = GapReporter(history.gap_reader, tally, resumed=resumed is not None)
        self._finder: ContradictionFinder | None = None
        self._asked = 0

    def on_batch(self, values: list[Decoded]) -> tuple[Iterable[Batch], bool]:
        return [self._admit(value) for value in values], StatefulBatchLogic.RETAIN

    def _admit(self, decoded: Decoded) -> Batch:
        trades = decoded.trades
        if self._ledger is None and (trades.height or decoded.events or decoded.subscriptions):
            self._ledger = self._history.load_deduplicator(decoded.exchange)
        if self._ledger and self._stores:
            self._watch.restore(decoded.exchange, self._ledger)
        contradicted, opened = empty(CONTRADICTIONS), empty(NUMBERINGS)
        if self._ledger and trades.height:
            admission = self._ledger.mark_new(trades, decided=not self._stores)
            fresh = admission.fresh
            if self._stores:
                decoded, contradicted = self._compare(self._ledger, decoded, admission)
                if admission.numbering is not None:
                    trades = trades.with_columns(numbering=admission.numbering)
            else:
                self._ask_for_contradictions(self._ledger, decoded)
            opened = self._tell_opened(decoded.exchange, admission.opened)
            trades = trades if fresh.all() else trades.filter(fresh)
            self._ledger.expire(open_candles.batch_watermark(decoded.trades))
        self._count(decoded, trades.height, contradicted.height)
        unsubscribed = self._follow_subscriptions(decoded)
        tables, known = self._unseen(decoded, trades)
        trades = without(trades, "row")
        tables["dead_letters"] = decoded.dead_letters
        if self._stores:
            tables |= {"bronze_frames": decoded.bronze, "silver_trades": trades}
            if contradicted.height:
                tables["contradictions"] = contradicted
            if opened.height:
                tables["numberings"] = opened
            if unsubscribed.height:
                tables["market_outages"] = unsubscribed
        return Batch(decoded.exchange, tables, trades, decoded.trades.height, gap_state=known)

    def _compare(
        self, ledger: Deduplicator, decoded: Decoded, admission: Admission
    ) -> tuple[Decoded, pl.DataFrame]:
        """Tell repeats of equal trades, which are counted with their frames, from
        CONTRADICTIONS, which become dead letters.
        """
        exchange, trades = decoded.exchange, decoded.trades
        if self._finder is None:
            self._finder = ContradictionFinder(exchange, self._history.trade_reader)
        judged = self._finder.find(trades, admission, ledger.numbered)
        if admission.fresh.all():
            return decoded, empty(CONTRADICTIONS)
        self._tell_uncompared(exchange, judged.uncompared)
        found, repeated = judged.contradictions, ~admission.fresh
        bronze, dead_letters = decoded.bronze, decoded.dead_letters
        rows = empty(CONTRADICTIONS)
        if found.height:
            rows = contradiction_rows(exchange, found, trades)
            ledger.add_contradictions(moments(rows))
            withdrawn = withdraw(bronze, trades, found)
            bronze = withdrawn.bronze
            dead_letters = pl.concat([dead_letters, withdrawn.dead_letters])
            repeated = repeated.scatter(found["place"], False)
            _log.warning(
                "%s: %d trades came under known numbers with other content; the first: %s",
                exchange,
                rows.height,
                withdrawn.dead_letters["detail"][0],
            )
        bronze = _with_duplicates(bronze, trades["row"].filter(repeated))
        return replace(decoded, bronze=bronze, dead_letters=dead_letters), rows

    def _tell_uncompared(self, exchange: str, count: int) -> None:
        if count:
            self._tally.increment(count, "uncompared", exchange)
            _log.warning(
                "%s: %d trades came under numbers of which nothing is stored any more; by their "
                "times they are repeats",
                exchange,
                count,
            )

    def _ask_for_contradictions(self, ledger: Deduplicator, decoded: Decoded) -> None:
        """Learn from the tables what the process that stores found, once a minute of the
        exchange's time: no message tells of a trade that is not let through.
        """
        minute = cast(int, decoded.trades["timestamp"].to_physical().max()) // MINUTE
        if minute > self._asked:
            self._asked = minute
            found = self._history.trade_reader.read_contradicted_minutes(decoded.exchange)
            ledger.add_contradictions(found.iter_rows())
            outages = self._history.load_market_outages(decoded.exchange)
            ledger.add_spans(set(ledger.market_outages.time_ranges()) ^ set(outages.time_ranges()))
            ledger.market_outages = outages

    def _follow_subscriptions(self, decoded: Decoded) -> pl.DataFrame:
        """Follow what frames say of single markets' subscriptions, and which trades came since;
        gives MARKET_OUTAGES that began or ended.
        """
        ledger = self._ledger
        if ledger is None or not self._stores:
            return empty(MARKET_OUTAGES)
        latest = ledger.numberings.latest
        changed = ledger.market_outages.apply_events(decoded.bronze, decoded.subscriptions, latest)
        proven = ledger.market_outages.take_proven(decoded.trades)
        ledger.add_spans((one.symbol, one.since, (one.ended or FOREVER) - 1) for one in changed)
        ledger.add_spans((symbol, since, ended - 1) for symbol, since, ended in proven)
        self._tally.set_gauge(len(ledger.market_outages.began), "refused_markets", decoded.exchange)
        return outage_rows(decoded.exchange, changed)

    def _tell_opened(self, exchange: str, opened: Sequence[tuple[str, Opening]]) -> pl.DataFrame:
        """Log and count numberings that opened; gives NUMBERINGS."""
        for symbol, (numbering, start) in opened:
            self._tally.increment(1, "numberings", exchange)
            _log.warning(
                "%s: the numbers of %s begin anew with %d: numbering %d opens%s",
                exchange,
                symbol,
                start.first,
                numbering,
                "" if numbering == start.numbering else " for the trades of before",
            )
        if not opened:
            return empty(NUMBERINGS)
        rows = [
            (exchange, symbol, start.numbering, start.first, start.began, start.before, start.last)
            for symbol, (_, start) in opened
        ]
        times = {"began": pl.Int64, "before": pl.Int64}
        return pl.DataFrame(rows, {**NUMBERINGS, **times}, orient="row").cast(NUMBERINGS)  # type: ignore[arg-type]  # names to types

    def _unseen(
        self, decoded: Decoded, trades: pl.DataFrame
    ) -> tuple[dict[str, pl.DataFrame], GapState]:
        """Rows of tables about what was not seen, and what is known of it, once these
        trades are admitted.
        """
        ledger = self._ledger
        if ledger is None:
            return {}, NO_GAPS
        changes = ledger.changes()
        if not self._stores:
            return {}, ledger.gap_state(changes, decoded.outages)
        tables = self._watch.rows_for(ledger, changes, decoded, trades)
        return tables, ledger.gap_state(changes, ledger.connections.take_confirmed(trades))

    def _count(self, decoded: Decoded, trades: int, contradictions: int) -> None:
        exchange = decoded.exchange
        for kind, frames in _counts(decoded.bronze["kind"]):
            self._tally.increment(frames, "frames", exchange, str(kind))
        self._tally.increment(trades, "trades", exchange)
        self._tally.increment(contradictions, "contradictions", exchange)
        repeats = decoded.trades.height - trades - contradictions
        self._tally.increment(repeats, "duplicates", exchange)
        if decoded.dead_letters.is_empty():
            return
        letters = decoded.dead_letters.group_by("scope", "reason").len()
        for scope, reason, count in letters.iter_rows():
            self._tally.increment(count, "dead_letters", exchange, str(scope), reason)

    def snapshot(self) -> Snapshot | None:
        return save_deduplicator(self._ledger) if self._ledger else None


def _counts(values: pl.Series) -> Iterable[tuple[Any, int]]:
    """How often each value occurs."""
    if values.len() <= SMALL_BATCH_ROWS:
        return Counter(values.to_list()).items()
    return values.value_counts().iter_rows()


def _with_duplicates(bronze: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    if rows.is_empty():
        return bronze
    counts = rows.value_counts()
    duplicates = bronze["duplicates"].scatter(counts["row"], counts["count"].cast(pl.UInt16))
    return bronze.with_columns(duplicates=duplicates)
