"""Publishing of rows: the same bytes as columns. Without a broker."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Final

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from candlewax.core.gaps.gap_state import NO_GAPS, OUTAGES
from candlewax.core.rows.columns import batch_columns
from candlewax.core.rows.frame_decoder import DecodedRows
from candlewax.core.rows.records import DeadLetter, Frame, Trade
from candlewax.core.rows.row_batch import RowBatch
from candlewax.core.schema import (
    DUMP,
    KIND_DEAD,
    REST,
    SCOPE_FRAME,
    SCOPE_TRADE,
    WEBSOCKET,
)
from candlewax.core.shards import Shard
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.dialect import BUY, SELL
from candlewax.kafka import topics
from candlewax.kafka.avro import Avro
from candlewax.kafka.trade_codec import JsonCodec, TradeCodec
from candlewax.kafka.trade_publisher import TradePublisher
from tests.support.kafka import registry
from tests.support.trade_messages import LATEST, NAMES, TEXTS

TIMES: Final = st.integers(0, LATEST) | st.integers(0, 9)
UNITS: Final = st.integers(1, 10**30 - 1) | st.sampled_from([1, 10**12, 15 * 10**11, 10**18 - 1])

TRADES: Final = st.builds(
    Trade,
    row=st.just(0),
    symbol=NAMES,
    native_symbol=NAMES,
    base=NAMES,
    quote=NAMES,
    trade_id=TEXTS,
    sequence=st.integers(0, 9) | st.integers(0, 2**64 - 1),
    timestamp=TIMES,
    side=st.sampled_from([BUY, SELL]),
    price=UNITS | st.just(0),
    quantity=UNITS,
    quote_volume=st.integers(0, 10**33 - 1) | st.sampled_from([10**18, 1]),
    condition=st.none() | NAMES,
    received_at=TIMES,
    source=TEXTS,
    source_partition=st.integers(0, 2**32 - 1),
    source_offset=st.integers(0, 2**63 - 1),
    source_index=st.integers(0, 2**16 - 1),
    via=st.sampled_from([WEBSOCKET, WEBSOCKET, REST, DUMP]),
    numbering=st.sampled_from([0, 0, 0, 7, 2**32 - 1]),
    vendor=st.dictionaries(NAMES | st.sampled_from(["", "a", "b"]), TEXTS, max_size=3),
)
SPANS: Final = st.tuples(TIMES, st.integers(1, 9)).map(lambda span: (span[0], sum(span)))
FRAMES: Final = [Frame(1_700, "c0", n, text, "raw", 1, n) for n, text in enumerate(["{é", "\0"])]
LETTERS: Final = st.lists(
    st.builds(
        DeadLetter,
        row=st.integers(0, 1),
        source_index=st.integers(0, 9),
        scope=st.sampled_from([SCOPE_FRAME, SCOPE_TRADE]),
        reason=NAMES,
        detail=TEXTS,
    ),
    max_size=2,
)


@st.composite
def batches(draw: st.DrawFn) -> RowBatch:
    """Batches of an exchange with trades, outages and dead letters."""
    exchange = draw(st.sampled_from(sorted(EXCHANGES)))
    decoded = DecodedRows(exchange, FRAMES, [KIND_DEAD] * 2, [0, 0])
    decoded.trades = draw(st.lists(TRADES, max_size=6))
    decoded.dead_letters = draw(LETTERS)
    outages = draw(st.lists(SPANS, max_size=2)) if decoded.trades else []
    # Some end in the very microsecond in which a trade was received.
    ends = [trade.received_at for trade in decoded.trades]
    outages += [(end - 1, end) for end in ends if end and not draw(st.integers(0, 3))]
    known = replace(NO_GAPS, outages=pl.DataFrame(outages, OUTAGES, orient="row"))
    shard = Shard(0, draw(st.sampled_from([1, 1, 2, 64])))
    return RowBatch(exchange, decoded, known, shard=shard)


class RecordingProducer:
    """Producer that keeps messages."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, int, list[tuple[bytes, str]]]] = []

    def send_all(self, topic: str, partition: int, messages: Sequence[dict[str, Any]]) -> None:
        plain = [
            (
                value.encode() if isinstance(value := message["value"], str) else value,
                message["key"],
            )
            for message in messages
        ]
        self.sent.append((topic, partition, plain))

    def retry_while_unavailable(self, action: Any) -> Any:
        return action()


class Broker:
    """Broker with topics of three partitions."""

    def partitions(self, _: str) -> int:
        return 3


def published(batch: RowBatch, codec: TradeCodec | None, kind: str) -> list[list[Any]]:
    """Publish a batch as rows and as columns; return the messages of each."""
    sent = []
    for by_rows in (True, False):
        producer: Any = RecordingProducer()
        broker: Any = Broker()
        publisher = TradePublisher(broker, producer, codec, SimpleNamespace(kind=kind))
        if by_rows:
            publisher.publish_rows(batch)
        else:
            publisher(batch_columns([batch]))
        sent.append(producer.sent)
    return sent


@given(batches(), st.sampled_from(["", "real"]))
def test_rows_and_columns_are_published_as_the_same_bytes(batch: RowBatch, kind: str) -> None:
    """Vendor fields, ways, numberings, conditions, outages and kind included."""
    by_rows, by_columns = published(batch, None, kind)
    assert by_rows == by_columns
    assert [topic for topic, *_ in by_rows] == [topics.NORMALIZED] * bool(batch.trades) + [
        topics.DEAD_LETTERS
    ] * bool(batch.decoded.dead_letters)


@pytest.fixture(scope="module")
def avro() -> Iterator[Avro]:
    """Avro codec with a registry."""
    with registry.serving() as serving:
        yield Avro(serving.url)


@given(batches(), st.sampled_from(["", "real"]))
def test_rows_and_columns_are_published_as_the_same_avro(
    avro: Avro, batch: RowBatch, kind: str
) -> None:
    by_rows, by_columns = published(batch, avro, kind)
    assert by_rows == by_columns


@given(batches())
def test_published_rows_read_back_as_the_same_trades(avro: Avro, batch: RowBatch) -> None:
    """With both codecs; vendor fields are not read."""
    trades = [
        trade._replace(received_at=max(trade.timestamp, trade.received_at), price=trade.price or 1)
        for trade in batch.trades
    ]
    outages = batch.gap_state.outages.rows()
    codecs: list[TradeCodec] = [JsonCodec(), avro]
    for codec in codecs:
        values = codec.encode_rows(batch.exchange, trades, outages, "real", 3)
        read = codec.decode_rows(values)
        assert not read.faults
        assert read.trades.get(batch.exchange, []) == [
            trade._replace(row=row, vendor={}) for row, trade in enumerate(trades)
        ]
        assert sorted(read.outages.get(batch.exchange, [])) == sorted(outages)
        assert read.kinds == ({"real"} if trades else set())
        last = {(batch.exchange, 3): len(trades) - 1}
        assert read.shard_counts == (last if trades else {})
        assert codec.decode(values).shard_counts == read.shard_counts
