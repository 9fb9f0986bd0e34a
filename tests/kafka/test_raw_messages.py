"""Messages of a raw topic: rows and columns hold the same frames. Without a broker."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final
from unittest import mock

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from candlewax.core.frames import FrameBatch, InvalidUtf8Frames, SourceItem
from candlewax.core.rows.records import Frame
from candlewax.core.rows.row_batch import SMALL_BATCH_ROWS
from candlewax.core.schema import FRAMES, SOURCE
from candlewax.kafka import raw_messages, topics
from candlewax.kafka.raw_sink import RawFrameProducer
from candlewax.kafka.source import PartitionMessages
from candlewax.pipeline.steps import route
from candlewax.pipeline.steps.route import RouteStep
from candlewax.runtime.counters import Counters
from tests.support.decoding import INSTRUMENTS

TOPIC: Final = topics.raw("kraken")
NOW_MS: Final = 1_800_000_000_000

Headers = Sequence[tuple[str, bytes | None]] | None


class Message:
    """A message as the broker's client gives it."""

    def __init__(
        self, offset: int, key: bytes | None, value: bytes | None, headers: Headers
    ) -> None:
        self._offset = offset
        self._key = key
        self._value = value
        self._headers = headers

    def value(self) -> bytes | None:
        return self._value

    def key(self) -> bytes | None:
        return self._key

    def headers(self) -> Headers:
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        return 1, NOW_MS + self._offset

    def offset(self) -> int:
        return self._offset


NUMBERS = st.sampled_from([b"7", b"007", b"", b"-1", b"+1", b" 1", "\u0663".encode(), None]) | (
    st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, 2**64]).map(lambda number: b"%d" % number)
    | st.sampled_from([19, 20]).map(lambda zeros: b"0" * zeros + b"5")
)
KINDS = st.sampled_from([b"real", b"simulated", b"\xff", None])
PLAIN = st.tuples(st.just(b"7") | NUMBERS, st.just(b"8") | NUMBERS, st.just(b"real") | KINDS).map(
    lambda three: list(zip(("recv_ns", "seq", "kind"), three, strict=True))
)
ODD: Final = st.none() | st.lists(
    st.tuples(st.sampled_from(["recv_ns", "seq", "kind", "more"]), NUMBERS | KINDS), max_size=4
)
CONNECTED: Final = b'{"candlewax":"connected","made":"simulator"}'
VALUES = st.sampled_from([b"{}", b"[1]", "\U0001f56f\0".encode(), b"", b"\xff{}", None, CONNECTED])
KEYS = st.sampled_from([b"c0", b"c1", "é".encode(), b"", b"\xffkey", None])
MESSAGES = st.lists(st.tuples(KEYS, VALUES, PLAIN | ODD), min_size=1, max_size=6)


def consumed(messages: Sequence[tuple[Any, Any, Any]]) -> PartitionMessages:
    """Consecutive messages of a partition, with one offset left out."""
    listed: Any = [
        Message(n + (n > 2), key, value, headers)
        for n, (key, value, headers) in enumerate(messages)
    ]
    return PartitionMessages(TOPIC, 3, listed)


def contents(items: Sequence[SourceItem]) -> list[tuple[Any, ...]]:
    """Return the type, exchange and bytes of items."""
    return [
        (type(item), item.exchange)
        + ((item.values, item.details) if isinstance(item, InvalidUtf8Frames) else ())
        for item in items
        if isinstance(item, FrameBatch | InvalidUtf8Frames)
    ]


def tables(items: Sequence[SourceItem]) -> list[pl.DataFrame]:
    return [item.frames for item in items if isinstance(item, FrameBatch | InvalidUtf8Frames)]


def test_codec_checks_a_kind_until_it_is_admitted() -> None:
    """And again after another one; a kind without a name is checked too."""
    checked: list[str] = []

    def check(kind: str, _: str) -> None:
        checked.append(kind)
        if kind == "strange":
            raise ValueError(kind)

    codec = raw_messages.frame_codec(check)
    for kind in (b"", b"real", b"real", b"strange", b"strange", b"real", b"sample", b"real"):
        headers = [("recv_ns", b"1"), ("seq", b"1"), ("kind", kind)]
        with suppress(ValueError):
            codec.read(consumed([(b"c", b"{}", headers)]))
    assert checked == ["", "real", "strange", "strange", "sample", "real"]


@given(MESSAGES)
def test_rows_and_columns_hold_the_same_frames(
    messages: list[tuple[Any, Any, Any]],
) -> None:
    """For messages with the headers of a frame, with odd ones and without; kinds too."""
    checked: list[set[tuple[str, str]]] = [set(), set()]
    by_rows = raw_messages.read_frames(consumed(messages), lambda *one: checked[0].add(one))
    with mock.patch.object(raw_messages, "SMALL_BATCH_ROWS", -1):
        by_columns = raw_messages.read_frames(consumed(messages), lambda *one: checked[1].add(one))
    assert contents(by_rows) == contents(by_columns)
    for found, expected in zip(tables(by_rows), tables(by_columns), strict=True):
        assert_frame_equal(found, expected)
        assert dict(found.schema) == {**FRAMES, **SOURCE}
    assert checked[0] == checked[1]
    assert [bool(item.rows) for item in by_rows if isinstance(item, FrameBatch)] == [True] * (
        len(by_rows) - any(isinstance(item, InvalidUtf8Frames) for item in by_rows)
    )
    assert not any(item.rows for item in by_columns if isinstance(item, FrameBatch))


@given(MESSAGES, st.integers(0, 6))
def test_joined_chunks_equal_one_chunk(messages: list[tuple[Any, Any, Any]], cut: int) -> None:
    """Rows stay rows."""
    whole = consumed(messages)
    pieces = [
        replace(whole, messages=part)
        for part in (whole.messages[:cut], whole.messages[cut:])
        if part
    ]
    joined = raw_messages.join_frames([raw_messages.read_frames(piece) for piece in pieces])
    at_once = raw_messages.read_frames(whole)
    if all(isinstance(item, FrameBatch) for item in joined):
        assert [item.rows for item in joined if isinstance(item, FrameBatch)] == [
            item.rows for item in at_once if isinstance(item, FrameBatch)
        ]
    offsets = [place for table in tables(joined) for place in table["source_offset"]]
    assert sorted(offsets) == [message.offset() for message in whole.messages]


OURS: Final = [("recv_ns", b"7"), ("seq", b"8"), ("kind", b"real")]


@pytest.mark.parametrize("count", [SMALL_BATCH_ROWS, SMALL_BATCH_ROWS + 1])
def test_more_messages_than_a_small_batch_become_columns(count: int) -> None:
    """In one chunk or two, also if one message lacks headers."""
    for last in (OURS, OURS[:1]):
        whole = consumed([(b"c", b"{}", OURS)] * (count - 1) + [(b"c", b"{}", last)])
        parts = [replace(whole, messages=part) for part in (whole.messages[:9], whole.messages[9:])]
        for pieces in ([whole], parts):
            (found,) = raw_messages.join_frames([raw_messages.read_frames(one) for one in pieces])
            assert isinstance(found, FrameBatch)
            assert found.count == count
            assert bool(found.rows) == (count <= SMALL_BATCH_ROWS)


class RecordingProducer:
    """Producer that keeps messages."""

    def __init__(self) -> None:
        self.sent: list[tuple[object, ...]] = []

    def send(self, *message: object) -> None:
        self.sent.append(message)

    def poll(self) -> None:
        """Do nothing: no delivery failed."""

    def retry_while_unavailable(self, action: Any) -> Any:
        return action()

    def count_undelivered(self) -> int:
        return 0


class Broker:
    """Broker with topics of three partitions."""

    def partitions(self, _: str) -> int:
        return 3

    def extend_retention(self, *_: object) -> None:
        """Kept as long as checked for."""


TEXTS = st.sampled_from(["", "{}", "\u00e9" * 5, "\u00e9" * 6, "0123456789", "0123456789a"])
ROWS = st.lists(
    st.tuples(
        st.integers(NOW_MS * 10**6, 2 * NOW_MS * 10**6),
        st.sampled_from("abc"),
        st.integers(0, 2**64 - 1),
        TEXTS,
    ),
    min_size=1,
    max_size=5,
)


@given(ROWS)
def test_rows_and_columns_are_sent_as_the_same_messages(
    rows: list[tuple[int, str, int, str]],
) -> None:
    """Frames that are too large become the same dead letters."""
    columns = FrameBatch("kraken", pl.DataFrame(rows, FRAMES, orient="row"))
    frames = [Frame(*row, row[1], 0, row[2]) for row in rows]
    sent: list[list[tuple[object, ...]]] = []
    letters: list[pl.DataFrame] = []
    for batch in (FrameBatch("kraken", rows=frames), columns):
        kept, counters = RecordingProducer(), Counters()
        broker: Any = Broker()
        reliable: Any = kept
        producer = RawFrameProducer(broker, reliable, counters, lambda: NOW_MS / 1000, "real")
        with mock.patch.object(route, "MAX_MESSAGE_BYTES", 10):
            routed = RouteStep(INSTRUMENTS, ["kraken"], Counters())(batch)
        for _, item in routed:
            if isinstance(item, FrameBatch):
                assert bool(item.rows) == bool(batch.rows)
                producer.send(item)
            elif not isinstance(item, InvalidUtf8Frames):
                letters.append(item.tables["dead_letters"])
        sent.append(kept.sent)
        assert counters.total("frames", "kraken") == len(kept.sent)
    assert sent[0] == sent[1]
    assert len(letters) % 2 == 0
    for found, expected in zip(letters[::2], letters[1::2], strict=True):
        assert_frame_equal(found, expected)


def test_rows_of_other_exchanges_are_counted_as_skipped() -> None:
    counters = Counters()
    batch = FrameBatch("binance", rows=[Frame(1, "c", 2, "x", "c", 0, 2)] * 3)
    assert RouteStep(INSTRUMENTS, ["kraken"], counters)(batch) == []
    assert counters.total("skipped", "binance") == 3
