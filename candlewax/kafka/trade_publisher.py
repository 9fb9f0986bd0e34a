"""Publisher of trades to the normalized topic, and of dead letters to theirs."""

import base64
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import polars as pl

from candlewax.core.batch import Batch
from candlewax.core.rows.columns import dead_letter_columns
from candlewax.core.rows.row_batch import RowBatch
from candlewax.core.schema import SCOPE_FRAME, SCOPE_LINE, SCOPE_TRADE
from candlewax.core.shards import Shard
from candlewax.core.trades import messages as normalized
from candlewax.kafka import topics
from candlewax.kafka.client import KafkaClient
from candlewax.kafka.producer import ReliableProducer
from candlewax.kafka.trade_codec import JsonCodec, TradeCodec
from candlewax.kafka.trade_messages import message_key

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SCOPES: Final = {SCOPE_LINE: "line", SCOPE_FRAME: "frame", SCOPE_TRADE: "trade"}


class KnownKind(Protocol):
    """The kind of data in a database, which its first data decides."""

    kind: str


class TradePublisher:
    """Publisher of the new trades and the dead letters of batches."""

    def __init__(
        self,
        broker: KafkaClient,
        producer: ReliableProducer,
        codec: TradeCodec | None = None,
        known: KnownKind | None = None,
    ) -> None:
        """`known` holds the kind of data of the trades, empty if unknown."""
        self._known = known
        self._producer = producer
        self._codec = codec or JsonCodec()
        self._fetch_partitions: Callable[[], int] = lambda: producer.retry_while_unavailable(
            lambda: broker.partitions(topics.NORMALIZED)
        )
        self._partition_count = 0

    def __call__(self, batch: Batch) -> None:
        """Hand a batch to the producer, whose `flush` returns when it is delivered."""
        if batch.trades.height:
            trades = _add_outages(batch.trades, batch.gap_state.outages)
            if self._known and self._known.kind:
                trades = trades.with_columns(pl.lit(self._known.kind).alias(normalized.KIND_COLUMN))
            shards = pl.lit(batch.shard.count, pl.UInt16).alias(normalized.SHARDS_COLUMN)
            self._send_trades(batch.exchange, trades.with_columns(shards), batch.shard)
        self.send_dead_letters(batch.tables["dead_letters"])

    def publish_rows(self, batch: RowBatch) -> None:
        """As a call with the same batch of columns."""
        exchange, trades = batch.exchange, batch.decoded.trades
        if trades:
            outages = batch.gap_state.outages
            listed = outages.rows() if outages.height else ()
            kind = self._known.kind if self._known else ""
            shards = batch.shard.count
            values = self._codec.encode_rows(exchange, trades, listed, kind, shards)
            symbols = [trade.symbol for trade in trades]
            self._send_values(exchange, values, symbols, batch.shard)
        if batch.decoded.dead_letters:
            self.send_dead_letters(dead_letter_columns(exchange, [batch.decoded]))

    def _send_trades(self, exchange: str, trades: pl.DataFrame, shard: Shard) -> None:
        symbols = trades["symbol"].cast(pl.String).to_list()
        self._send_values(exchange, self._codec.encode(trades), symbols, shard)

    def _send_values(
        self, exchange: str, values: Sequence[Any], symbols: Sequence[str], shard: Shard
    ) -> None:
        self._partition_count = self._partition_count or self._fetch_partitions()
        messages = [
            {"value": value, "key": message_key(exchange, symbol)}
            for value, symbol in zip(values, symbols, strict=True)
        ]
        partition = topics.normalized_partition(exchange, self._partition_count, shard)
        self._producer.send_all(topics.NORMALIZED, partition, messages)

    def send_dead_letters(self, letters: pl.DataFrame) -> None:
        """Hand dead letters (DEAD_LETTERS) to the producer."""
        messages = [
            {"value": encode_dead_letter(letter), "key": letter["exchange"]}
            for letter in letters.iter_rows(named=True)
        ]
        if messages:
            self._producer.send_all(topics.DEAD_LETTERS, 0, messages)


def _add_outages(trades: pl.DataFrame, outages: pl.DataFrame) -> pl.DataFrame:
    """Return trades with each outage added to the first trade received after it."""
    if outages.is_empty():
        return trades
    received = trades["received_at"].cast(pl.Int64)
    values: list[list[list[int]] | None] = [None] * trades.height
    for began, ended in outages.iter_rows():
        row = (received >= ended).arg_max() or 0
        values[row] = [*(values[row] or []), [began, ended]]
    column = pl.Series(normalized.OUTAGES_COLUMN, values, normalized.OUTAGES_COLUMN_TYPE)
    return trades.with_columns(column)


def encode_dead_letter(letter: dict[str, Any]) -> str:
    """Return a dead letter as JSON, its frame as text, or as base 64 if it is no UTF-8."""
    frame: bytes = letter["frame"]
    try:
        content = {"frame": frame.decode()}
    except UnicodeDecodeError:
        content = {"frame_base64": base64.b64encode(frame).decode()}
    received: datetime | None = letter["received_at"]
    changed = {
        "received_at": received and (received - _EPOCH) // timedelta(microseconds=1),
        "scope": _SCOPES[letter["scope"]],
    }
    return json.dumps({**letter, **changed, "frame": None, **content}, ensure_ascii=False)
