"""Trades to the normalized topic, and dead letters to theirs."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import polars as pl

from candlewax.core.batch import Batch
from candlewax.core.schema import SCOPE_FRAME, SCOPE_LINE, SCOPE_TRADE
from candlewax.core.trades import messages as normalized
from candlewax.kafka import topics
from candlewax.kafka.client import KafkaClient
from candlewax.kafka.producer import ReliableProducer

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SCOPES: Final = {SCOPE_LINE: "line", SCOPE_FRAME: "frame", SCOPE_TRADE: "trade"}


class Encoder(Protocol):
    """Makes the values of messages of trades (TRADES with vendor columns, TOLD, KIND)."""

    def __call__(self, trades: pl.DataFrame, /) -> list[Any]: ...


class TradePublisher:
    """Sends what a batch holds on, for others to read."""

    def __init__(
        self,
        broker: KafkaClient,
        outbox: ReliableProducer,
        encode: Encoder | None = None,
        kind: Callable[[], str] = lambda: "",
    ) -> None:
        """`kind` gives the kind of the trades, empty if it is not known."""
        self._kind = kind
        self._outbox = outbox
        self._encode = encode or normalized.to_json
        self._partitions: Callable[[], int] = lambda: outbox.retry_while_unavailable(
            lambda: broker.partitions(topics.NORMALIZED)
        )
        self._count = 0

    def __call__(self, batch: Batch) -> None:
        """Hand a batch over; the outbox knows when it has arrived."""
        if batch.trades.height:
            trades = _telling(batch.trades, batch.gap_state.outages)
            if kind := self._kind():
                trades = trades.with_columns(pl.lit(kind).alias(normalized.KIND))
            self._trades(batch.exchange, trades)
        self.letters(batch.tables["dead_letters"])

    def _trades(self, exchange: str, trades: pl.DataFrame) -> None:
        self._count = self._count or self._partitions()
        symbols = trades["symbol"].cast(pl.String).to_list()
        messages = [
            {"value": value, "key": normalized.key(exchange, symbol)}
            for value, symbol in zip(self._encode(trades), symbols, strict=True)
        ]
        partition = topics.normalized_partition(exchange, self._count)
        self._outbox.send_all(topics.NORMALIZED, partition, messages)

    def letters(self, letters: pl.DataFrame) -> None:
        """Hand dead letters (DEAD_LETTERS) over."""
        messages = [
            {"value": dead_letter(letter), "key": letter["exchange"]}
            for letter in letters.iter_rows(named=True)
        ]
        if messages:
            self._outbox.send_all(topics.DEAD_LETTERS, 0, messages)


def _telling(trades: pl.DataFrame, outages: pl.DataFrame) -> pl.DataFrame:
    """Trades of which each tells of the outages after which it came first."""
    if outages.is_empty():
        return trades
    received = trades["received_at"].cast(pl.Int64)
    told: list[list[list[int]] | None] = [None] * trades.height
    for began, ended in outages.iter_rows():
        place = (received >= ended).arg_max() or 0
        told[place] = [*(told[place] or []), [began, ended]]
    return trades.with_columns(pl.Series(normalized.TOLD, told, normalized.TOLD_TYPE))


def dead_letter(letter: dict[str, Any]) -> str:
    """The message of a dead letter: JSON, the frame as text, or in base 64 where it is
    none.
    """
    frame: bytes = letter["frame"]
    try:
        held = {"frame": frame.decode()}
    except UnicodeDecodeError:
        held = {"frame_base64": base64.b64encode(frame).decode()}
    received: datetime | None = letter["received_at"]
    rest = {
        "received_at": received and (received - _EPOCH) // timedelta(microseconds=1),
        "scope": _SCOPES[letter["scope"]],
    }
    return json.dumps({**letter, **rest, "frame": None, **held}, ensure_ascii=False)
