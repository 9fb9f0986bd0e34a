"""The steps between a feed and the tables, as Bytewax runs them."""

from collections.abc import Iterable

import polars as pl
from bytewax.operators import StatefulBatchLogic

from candlewax import candles
from candlewax.batch import WINDOWS, Batch
from candlewax.candles import Book
from candlewax.connectors.history import History
from candlewax.connectors.recordings import Feed, Unread
from candlewax.decode import Decoded, decode, reject
from candlewax.exchanges import EXCHANGES
from candlewax.gold import ohlcv, watermarks
from candlewax.instruments import Instruments
from candlewax.ledger import Ledger
from candlewax.schema import BRONZE, TRADES, empty
from candlewax.tally import Tally

NOWHERE = ""
"""The key of what belongs to no known exchange."""


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
            none = empty({"row": pl.UInt32, **TRADES})
            return [(NOWHERE, Decoded(NOWHERE, empty(BRONZE), none, received.letters))]
        exchange, frames = received.exchange, received.frames
        if exchange not in EXCHANGES:
            known = f"expected one of {', '.join(EXCHANGES)}, got {exchange[:100]!r}"
            return [(NOWHERE, reject(exchange, frames, "unknown_exchange", known))]
        if exchange not in self._wanted:
            self._tally.add(frames.height, "skipped", exchange)
            return []
        return [(exchange, decode(EXCHANGES[exchange], frames, self._instruments))]


class Deduplicate(StatefulBatchLogic[Decoded, Batch, Ledger | None]):
    """Lets each trade of an exchange through once; keyed by exchange.

    A process that has no state for an exchange takes what the tables hold for
    seen.
    """

    def __init__(self, history: History, tally: Tally, resumed: Ledger | None) -> None:
        self._history = history
        self._tally = tally
        self._ledger = resumed

    def on_batch(self, values: list[Decoded]) -> tuple[Iterable[Batch], bool]:
        return [self._admit(value) for value in values], StatefulBatchLogic.RETAIN

    def _admit(self, decoded: Decoded) -> Batch:
        bronze, trades = decoded.bronze, decoded.trades
        if trades.height:
            if self._ledger is None:
                self._ledger = self._history.ledger(decoded.exchange)
            fresh = self._ledger.admit(trades)
            if not fresh.all():
                bronze = _with_duplicates(bronze, trades["row"].filter(~fresh))
                trades = trades.filter(fresh)
            self._ledger.forget(candles.watermark(decoded.trades))
        self._count(decoded, bronze, trades.height)
        tables = {
            "bronze_frames": bronze,
            "silver_trades": trades.drop("row"),
            "dead_letters": decoded.dead_letters,
        }
        return Batch(decoded.exchange, tables)

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


class Candles(StatefulBatchLogic[Batch, Batch, Book | None]):
    """Adds to each batch the candles its trades change; keyed by exchange.

    A process that has no state for an exchange begins with the candles that the
    stored trades make, and mends those that a process before it left behind.
    """

    def __init__(self, history: History, tally: Tally, resumed: Book | None) -> None:
        self._history = history
        self._tally = tally
        self._book = resumed

    def on_batch(self, values: list[Batch]) -> tuple[Iterable[Batch], bool]:
        return [self._add(value) for value in values], StatefulBatchLogic.RETAIN

    def _add(self, batch: Batch) -> Batch:
        exchange, trades = batch.exchange, batch.tables["silver_trades"]
        stale = pl.DataFrame(schema=WINDOWS)
        if self._book is None:
            if not batch.tables["bronze_frames"]["trades"].sum():
                return batch
            self._book = self._history.book(exchange)
            stale = self._history.stale(exchange, self._book.watermark)
        before = self._book.watermark
        update = candles.update(self._book, trades, candles.watermark(trades))
        self._book = update.book
        now = update.book.watermark
        late = update.late.select(*WINDOWS).cast(WINDOWS)  # type: ignore[arg-type]  # names to types
        self._tally.add(late.height, "recomputed", exchange)
        self._tally.add(_out_of_order(trades, before), "out_of_order", exchange)
        tables = {**batch.tables, "ohlcv": ohlcv(exchange, update.changed, now)}
        if now > before or stale.height:
            tables["watermarks"] = watermarks(exchange, now)
        return Batch(exchange, tables, pl.concat([stale, late]), now)

    def snapshot(self) -> Book | None:
        return self._book


def _out_of_order(trades: pl.DataFrame, watermark: int) -> int:
    """How many trades are older than one that came before them."""
    time = pl.col("timestamp").cast(pl.Int64)
    latest = time.cum_max().clip(lower_bound=watermark + candles.GRACE)
    return int(trades.select((time < latest).sum()).item())
