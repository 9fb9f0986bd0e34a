"""TradePublisher: trades and dead letters in their topics, on a real broker."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import polars as pl
import pytest

from candlewax.core.batch import Batch
from candlewax.core.gaps.gap_state import NO_GAPS, OUTAGES
from candlewax.core.schema import DEAD_LETTERS, TIME
from candlewax.kafka import topics
from candlewax.kafka.client import BrokerError, KafkaClient
from candlewax.kafka.producer import ReliableProducer
from candlewax.kafka.trade_codec import JsonCodec
from candlewax.kafka.trade_publisher import TradePublisher
from tests.support.kafka import reading
from tests.support.trade_messages import EPOCH, frame, letter, trade


def batch(exchange: str, numbers: range, letters: int = 0) -> Batch:
    """A batch of trades of two symbols."""
    rows = []
    for n in numbers:
        row = trade(exchange=exchange, symbol=f"S{n % 2}/USD", sequence=n, source_offset=n)
        del row["conditions"]
        rows.append({**row, "timestamp": EPOCH, "received_at": EPOCH, "side": 1, "condition": None,
                     "via": 1, "numbering": 0, "price": 1, "quantity": 1,
                     "quote_volume": 1})  # fmt: skip
    dead = [letter(exchange=exchange, source_offset=n) for n in range(letters)]
    tables = {"dead_letters": pl.DataFrame(dead, schema=DEAD_LETTERS)}
    return Batch(exchange, tables, frame(rows) if rows else Batch("", {}).trades)


@pytest.mark.parametrize("partitions", [1, 3])
def test_trades_keep_their_order_within_an_exchange(
    broker: KafkaClient, servers: str, partitions: int
) -> None:
    """Keyed by symbol, with each exchange in one partition."""
    broker.create(topics.required_topics([], 1, partitions))
    outbox = ReliableProducer(broker)
    forward = TradePublisher(broker, outbox)
    for begin in (0, 50):
        for exchange in ("coinbase", "binance"):
            forward(batch(exchange, range(begin, begin + 50)))
    outbox.flush()
    numbers_by_exchange: dict[str, list[Any]] = {}
    for message in reading.read_all(servers, topics.NORMALIZED):
        fields = json.loads(message.value() or b"")
        assert (message.key() or b"").decode() == f"{fields['exchange']}:{fields['symbol']}"
        place = topics.normalized_partition(fields["exchange"], partitions)
        assert message.partition() == place
        numbers_by_exchange.setdefault(fields["exchange"], []).append(fields["sequence"])
    assert numbers_by_exchange == {"coinbase": list(range(100)), "binance": list(range(100))}
    assert reading.ends(servers, topics.DEAD_LETTERS) == [(0, 0)]


def test_first_trade_after_an_outage_carries_it(broker: KafkaClient, servers: str) -> None:
    """In its message; no other trade carries an outage."""
    broker.create(topics.required_topics([], 1, 1))
    made = batch("kraken", range(4))
    at = pl.Series([EPOCH + timedelta(microseconds=10 * n) for n in range(4)], dtype=TIME)
    outages = pl.DataFrame([(1, 5), (8, 20), (11, 19)], OUTAGES, orient="row")
    known = replace(NO_GAPS, outages=outages)
    outbox = ReliableProducer(broker)
    TradePublisher(broker, outbox)(
        replace(made, trades=made.trades.with_columns(received_at=at), gap_state=known)
    )
    outbox.flush()
    trades_ = [json.loads(m.value() or b"") for m in reading.read_all(servers, topics.NORMALIZED)]
    expected = [None, [[1, 5]], [[8, 20], [11, 19]], None]
    assert [fields.get("outages") for fields in trades_] == expected


def test_dead_letters_are_sent_to_their_topic(broker: KafkaClient, servers: str) -> None:
    """In order, keyed by exchange."""
    broker.create(topics.required_topics([], 1, 2))
    outbox = ReliableProducer(broker)
    TradePublisher(broker, outbox)(batch("kraken", range(1), letters=3))
    TradePublisher(broker, outbox)(batch("kraken", range(0)))
    outbox.flush()
    letters = reading.read_all(servers, topics.DEAD_LETTERS)
    assert [json.loads(m.value() or b"")["source_offset"] for m in letters] == [0, 1, 2]
    assert {m.key() for m in letters} == {b"kraken"}


def test_publisher_uses_the_given_encoding(broker: KafkaClient, servers: str) -> None:
    """Any function from trades to bytes."""
    broker.create(topics.required_topics([], 1, 1))
    outbox = ReliableProducer(broker)

    class Zeros(JsonCodec):
        def encode(self, trades: pl.DataFrame) -> list[bytes]:  # type: ignore[override]
            return [b"\0\xff"] * trades.height

    forward = TradePublisher(broker, outbox, Zeros())
    forward(batch("kraken", range(2)))
    outbox.flush()
    assert [m.value() for m in reading.read_all(servers, topics.NORMALIZED)] == [b"\0\xff"] * 2


def test_missing_topic_is_named(broker: KafkaClient) -> None:
    """Before any message is sent."""
    with pytest.raises(BrokerError, match="there is no topic"):
        TradePublisher(broker, ReliableProducer(broker))(batch("kraken", range(1)))
