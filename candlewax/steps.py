"""The steps between a feed and the tables, as Bytewax runs them."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

import polars as pl
from bytewax.operators import StatefulBatchLogic

from candlewax import book, candles
from candlewax.batch import NOWHERE, WINDOWS, Batch
from candlewax.book import Book, Update
from candlewax.certificate import all_spans, spans_of
from candlewax.connectors.history import History
from candlewax.decode import Decoded, decode, not_utf8, reject
from candlewax.exchanges import EXCHANGES
from candlewax.feed import Feed, Garbled, Unread
from candlewax.gaps import NOTHING, Knowledge
from candlewax.gold import changes, watermarks
from candlewax.instruments import Instruments
from candlewax.ledger import Ledger
from candlewax.schema import BRONZE, TRADES, empty
from candlewax.tally import Tally
from candlewax.telling import tells
from candlewax.watch import Watch

_NO_TRADES: Final = empty({"row": pl.UInt32, **TRADES})
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@tells
class Decoder:
    """Reads what a feed emits: `Received` or `Unread` in, (key, Decoded) out, the key
    being the exchange.
    """

    def __init__(self, instruments: Instruments, wanted: Iterable[str], tally: Tally) -> None:
        self._instruments = instruments
        self._wanted = frozenset(wanted)
        self._tally = tally

    def __call__(self, received: Feed) -> list[tuple[str, Decoded]]:
        if isinstance(received, Unread):
            return [(NOWHERE, Decoded(NOWHERE, empty(BRONZE), _NO_TRADES, received.letters))]
        exchange, frames = received.exchange, received.frames
        if isinstance(received, Garbled):
            return [(exchange, not_utf8(exchange, frames, received.values, received.details))]
        if exchange not in EXCHANGES:
            known = f"expected one of {', '.join(EXCHANGES)}, got {exchange[:100]!r}"
            return [(NOWHERE, reject(exchange, frames, "unknown_exchange", known))]
        if exchange not in self._wanted:
            self._tally.add(frames.height, "skipped", exchange)
            return []
        return [(exchange, decode(EXCHANGES[exchange], frames, self._instruments))]


@tells
class Deduplicate(StatefulBatchLogic[Decoded, Batch, Ledger | None]):
    """Lets each trade of an exchange through once; keyed by exchange.

    A process that has no state for an exchange takes what the tables hold for
    seen. `stores` tells whether it is the one that stores frames and trades; that one
    also tells which trades are missing, and when no connection was alive.
    """

    def __init__(
        self, history: History, tally: Tally, resumed: Ledger | None, *, stores: bool = True
    ) -> None:
        self._history = history
        self._tally = tally
        self._ledger = resumed
        self._stores = stores
        self._watch = Watch(history.unseen, tally, resumed=resumed is not None)

    def on_batch(self, values: list[Decoded]) -> tuple[Iterable[Batch], bool]:
        return [self._admit(value) for value in values], StatefulBatchLogic.RETAIN

    def _admit(self, decoded: Decoded) -> Batch:
        bronze, trades = decoded.bronze, decoded.trades
        if self._ledger is None and (trades.height or decoded.events):
            self._ledger = self._history.ledger(decoded.exchange)
        if self._ledger and self._stores:
            self._watch.begin(decoded.exchange, self._ledger)
        if self._ledger and trades.height:
            fresh = self._ledger.admit(trades)
            if not fresh.all():
                if self._stores:
                    bronze = _with_duplicates(bronze, trades["row"].filter(~fresh))
                trades = trades.filter(fresh)
            self._ledger.forget(book.watermark(decoded.trades))
        self._count(decoded, bronze, trades.height)
        tables, known = self._unseen(decoded, trades)
        trades = trades.drop("row")
        tables["dead_letters"] = decoded.dead_letters
        if self._stores:
            tables |= {"bronze_frames": bronze, "silver_trades": trades}
        return Batch(decoded.exchange, tables, trades, decoded.trades.height, known=known)

    def _unseen(
        self, decoded: Decoded, trades: pl.DataFrame
    ) -> tuple[dict[str, pl.DataFrame], Knowledge]:
        """Rows of tables about what was not seen, and what is known of it, once these
        trades are admitted.
        """
        ledger = self._ledger
        if ledger is None:
            return {}, NOTHING
        changes = ledger.changes()
        if not self._stores:
            return {}, ledger.knowledge(changes, decoded.outages)
        tables = self._watch.follow(ledger, changes, decoded, trades)
        return tables, ledger.knowledge(changes, ledger.connections.release(trades))

    def _count(self, decoded: Decoded, bronze: pl.DataFrame, trades: int) -> None:
        exchange = decoded.exchange
        for kind, frames in bronze["kind"].value_counts().iter_rows():
            self._tally.add(frames, "frames", exchange, str(kind))
        self._tally.add(trades, "trades", exchange)
        self._tally.add(decoded.trades.height - trades, "duplicates", exchange)
        letters = decoded.dead_letters.group_by("scope", "reason").len()
        for scope, reason, count in letters.iter_rows():
            self._tally.add(count, "dead_letters", exchange, str(scope), reason)

    def snapshot(self) -> Ledger | None:
        return self._ledger.copy() if self._ledger else None


def _with_duplicates(bronze: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    counts = rows.value_counts()
    duplicates = bronze["duplicates"].scatter(counts["row"], counts["count"].cast(pl.UInt16))
    return bronze.with_columns(duplicates=duplicates)


QUIET: Final = 10 * candles.SECOND
"""How long all of an exchange is silent, in microseconds, before the wall clock closes
its candles."""

FRESH: Final = 60 * candles.SECOND
"""A feed is live if its trades were received so little time ago, in microseconds."""


def wall_clock() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


@tells
class Candles(StatefulBatchLogic[Batch, Batch, Book | None]):
    """Adds to each batch the candles its trades change; keyed by exchange.

    A process that has no state for an exchange begins with the candles that the
    stored trades make, and mends those that a process before it left behind. Where
    frames are `live`, the wall clock closes the candles of an exchange that has
    fallen silent; what a candle holds never depends on it.
    """

    def __init__(
        self,
        history: History,
        tally: Tally,
        resumed: Book | None,
        *,
        live: bool = False,
        now: Callable[[], int] = wall_clock,
    ) -> None:
        self._history = history
        self._tally = tally
        self._book = resumed
        self._live = live
        self._now = now
        self._exchange = ""
        self._known = NOTHING
        self._came: int | None = None

    def on_batch(self, values: list[Batch]) -> tuple[Iterable[Batch], bool]:
        return [self._add(value) for value in values], StatefulBatchLogic.RETAIN

    def _add(self, batch: Batch) -> Batch:
        exchange, trades, known = batch.exchange, batch.trades, batch.known
        if not (batch.read or known.changed.height or known.outages.height):
            return batch
        stale, begins = pl.DataFrame(schema=WINDOWS), self._book is None
        if self._book is None:
            self._book = self._history.book(exchange)
            stale = self._history.stale(exchange, self._book.watermark)
            self._history.begun(exchange)
        if self._live:
            self._came = self._arrival(exchange, trades)
        before = self._book.watermark
        update = book.update(self._book, trades, book.watermark(trades), known=known)
        self._book = update.book
        late = update.late.select(*WINDOWS).cast(WINDOWS)  # type: ignore[arg-type]  # names to types
        self._tally.add(late.height, "recomputed", exchange)
        self._tally.add(update.out_of_order, "out_of_order", exchange)
        oldest = before - book.LATENESS
        return replace(
            batch,
            tables={**batch.tables, **self._gold(exchange, update, before, stale, known)},
            stale=pl.concat([stale, late]),
            late=_older(trades, oldest) if late.height else empty(TRADES),
            watermark=update.book.watermark,
            spans=_reaching(update, known, oldest, begins=begins),
            evidence=update.book.evidence(known),
            begins=begins,
        )

    def _gold(
        self,
        exchange: str,
        update: Update,
        before: int,
        stale: pl.DataFrame,
        known: Knowledge,
    ) -> dict[str, pl.DataFrame]:
        """Rows of the tables of candles. Every window ends on a whole minute, so the
        watermark tells something new once a minute.
        """
        now = update.book.watermark
        tables = {"ohlcv": changes(exchange, update, known, self._known)}
        self._known = known
        minute = candles.TIMEFRAMES["1m"][1]
        if now // minute > before // minute or stale.height:
            tables["watermarks"] = watermarks(exchange, now)
        return tables

    def _arrival(self, exchange: str, trades: pl.DataFrame) -> int | None:
        """When the exchange was last heard of, if it is heard of as it speaks."""
        self._exchange = exchange
        latest = trades.select(pl.col("received_at").max().cast(pl.Int64)).item()
        now = self._now()
        if latest is None:
            return self._came
        return now if now - latest < FRESH else None

    def notify_at(self) -> datetime | None:
        if self._came is None or self._book is None:
            return None
        minute = candles.TIMEFRAMES["1m"][1]
        end = (max(self._book.watermark, self._came) // minute + 1) * minute
        return _EPOCH + timedelta(microseconds=max(end, self._came) + QUIET)

    def on_notify(self) -> tuple[Iterable[Batch], bool]:
        if self._came is None or self._book is None or self._now() - self._came < QUIET:
            return [], StatefulBatchLogic.RETAIN
        before = self._book.watermark
        update = book.update(self._book, empty(TRADES), self._now() - QUIET)
        if update.changed.height and self._history.unseen.is_down(
            self._exchange, self._came - FRESH
        ):
            update = replace(update, book=book.ending(update, before))
        self._book = update.book
        tables = self._gold(self._exchange, update, before, empty(WINDOWS), self._known)
        evidence = update.book.evidence(self._known)
        batch = Batch(self._exchange, tables, watermark=update.book.watermark, evidence=evidence)
        return [batch], StatefulBatchLogic.RETAIN

    def snapshot(self) -> Book | None:
        return self._book


def _older(trades: pl.DataFrame, time_us: int) -> pl.DataFrame:
    """The trades (TRADES) before a time."""
    return trades.filter(pl.col("timestamp").cast(pl.Int64) < time_us).select(*TRADES)


def _reaching(update: Update, known: Knowledge, oldest: int, *, begins: bool) -> pl.DataFrame:
    """The SPANS that reach candles whose windows ended by a time; for a process that
    begins, all in which something is missing.
    """
    if begins:
        return pl.concat([update.spans, all_spans(known), spans_of(update.book.outages)])
    spans = update.spans
    return spans.filter(pl.col("before") < oldest) if spans.height else spans
