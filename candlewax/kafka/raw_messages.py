"""Frames from messages of the raw topics."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import polars as pl
from confluent_kafka import Message
from polars.exceptions import PolarsError

from candlewax.core.frames import FrameBatch, InvalidUtf8Frames, SourceItem
from candlewax.core.kind_marks import SIMULATED, is_from_simulator
from candlewax.core.rows.columns import frame_columns
from candlewax.core.rows.records import Frame
from candlewax.core.rows.row_batch import SMALL_BATCH_ROWS
from candlewax.core.schema import FRAMES, SOURCE
from candlewax.exchanges import EXCHANGES
from candlewax.kafka import topics
from candlewax.kafka.source import MessageCodec, PartitionMessages
from candlewax.runtime import metrics

RECV_NS: Final = "recv_ns"
SEQ: Final = "seq"
KIND: Final = "kind"
"""Headers of a frame: its time of receipt, its number in its connection, and its kind of data."""

_EXCHANGE: Final = {topics.raw(exchange): exchange for exchange in EXCHANGES}

_COLUMNS: Final = {**FRAMES, **SOURCE}

_MOST_DIGITS: Final = 20
"""Digits of a number in a header; one of more is none."""

_ZERO: Final = pl.Series("source_partition", [0], pl.UInt32)

KindCheck = Callable[[str, str], None]
"""Check of the kind of data of messages and their place; raises if the kind must not be read."""


def frame_codec(check_kind: KindCheck) -> MessageCodec[list[SourceItem], SourceItem]:
    """Return the codec of raw topics; it passes kinds of messages to `check_kind`.

    A kind that was admitted is passed again only after another one.
    """
    admitted: str | None = None

    def check_change(kind: str, place: str) -> None:
        nonlocal admitted
        if kind != admitted:
            check_kind(kind, place)
            admitted = kind

    return MessageCodec(partial(read_frames, check_kind=check_change), join_frames)


def read_frames(
    consumed: PartitionMessages, check_kind: KindCheck = lambda *_: None
) -> list[SourceItem]:
    """Return the frames of messages of a raw topic: of a few as rows, else FRAMES with SOURCE.

    If a message lacks the headers of a frame, its broker timestamp is the time of receipt. If it
    lacks the header of its kind, an older version or another program sent it: it counts as of the
    kind that the database holds.
    """
    exchange = _EXCHANGE[consumed.topic]
    if len(consumed.messages) <= SMALL_BATCH_ROWS:
        frames, kinds = None, read_kinds(consumed.messages)
    else:
        frames, kinds = _read_columns(consumed)
    for kind in kinds:
        place = f"partition {consumed.partition}, offset {consumed.messages[0].offset()}"
        check_kind(kind.decode(errors="backslashreplace"), f"{consumed.topic}, {place}")
    items: list[SourceItem] = (
        _read_each(consumed) if frames is None else [FrameBatch(exchange, frames)]
    )
    # RawFrameProducer sets the message timestamp to the time of receipt.
    metrics.set_last_received(exchange, consumed.messages[-1].timestamp()[1] / 1000)
    return items


def _read_each(consumed: PartitionMessages) -> list[SourceItem]:
    """Return the frames of messages, read one by one."""
    exchange = _EXCHANGE[consumed.topic]
    texts: list[Frame] = []
    invalid: list[Frame] = []
    values: list[bytes] = []
    details: list[str] = []
    for message in consumed.messages:
        value = message.value() or b""
        try:
            texts.append(_frame_row(consumed, message, value.decode()))
        except UnicodeDecodeError as error:
            escaped = value.decode(errors="backslashreplace")
            invalid.append(_frame_row(consumed, message, escaped))
            values.append(value)
            details.append(str(error))
    items: list[SourceItem] = []
    if texts:
        items.append(_batch(exchange, texts))
    if invalid:
        items.append(InvalidUtf8Frames(exchange, frame_columns(invalid), values, details))
    return items


def join_frames(pieces: Sequence[list[SourceItem]]) -> list[SourceItem]:
    """Return the items of one topic; if all are FrameBatches, as a single one."""
    items = [item for piece in pieces for item in piece]
    batches = [item for item in items if isinstance(item, FrameBatch)]
    if len(batches) < len(items) or len(batches) <= 1:
        return items
    exchange = batches[0].exchange
    if all(batch.rows for batch in batches):
        return [_batch(exchange, [row for batch in batches for row in batch.rows])]
    return [FrameBatch(exchange, pl.concat(batch.frames for batch in batches))]


def _batch(exchange: str, rows: Sequence[Frame]) -> FrameBatch:
    """Return frames as a batch: of rows if they are few, else of columns."""
    if len(rows) <= SMALL_BATCH_ROWS:
        return FrameBatch(exchange, rows=rows)
    return FrameBatch(exchange, frame_columns(rows))


def _read_columns(consumed: PartitionMessages) -> tuple[pl.DataFrame | None, set[bytes]]:
    """Return the frames, read column by column, and the kinds of the messages.

    The frames are None if a message is not as RawFrameProducer sends it.
    """
    messages: Sequence[Any] = consumed.messages
    try:
        times, places, kinds = _headers(messages)
    except (TypeError, ValueError):
        return None, read_kinds(messages)
    try:
        recv_ns, seq = _numbers("recv_ns", times), _numbers("seq", places)
        if recv_ns is None or seq is None:
            return None, kinds
        columns = [
            recv_ns,
            _texts("connection", [message.key() for message in messages]),
            seq,
            _texts("frame", [message.value() for message in messages]),
            pl.Series("source", [consumed.topic]).new_from_index(0, len(messages)),
            _ZERO.new_from_index(0, len(messages)) + consumed.partition,
            _offsets(messages),
        ]
        return pl.DataFrame(columns), kinds
    except (TypeError, ValueError, PolarsError):
        return None, kinds


def _headers(messages: Sequence[Any]) -> tuple[list[bytes], list[bytes], set[bytes]]:
    """Return the times of receipt, the numbers and the kinds in the headers.

    Raises ValueError if a message has other headers, TypeError if it has none.
    """
    times: list[bytes] = []
    places: list[bytes] = []
    kinds: set[bytes] = set()
    for message in messages:
        (first, time_), (second, place), (third, kind) = message.headers()
        if first != RECV_NS or second != SEQ or third != KIND:
            raise ValueError(first, second, third)
        times.append(time_)
        places.append(place)
        kinds.add(kind)
    if None in kinds:
        raise ValueError(KIND)
    return times, places, kinds


def read_kinds(messages: Sequence[Any]) -> set[bytes]:
    """Return the kinds of messages, some of which may lack the header.

    A message without it is simulated if it holds our event of a connection to the simulator.
    """
    kinds: set[bytes] = set()
    for message in messages:
        kind = dict(message.headers() or ()).get(KIND)
        if isinstance(kind, bytes):
            kinds.add(kind)
        elif is_from_simulator(message.value() or b""):
            kinds.add(SIMULATED.encode())
    return kinds


def _numbers(name: str, texts: Sequence[bytes]) -> pl.Series | None:
    """Return the texts as numbers; None if one holds anything but digits, or too many.

    Raises PolarsError if one is empty or too large, TypeError if one is absent.
    """
    if not b"".join(texts).isdigit() or max(map(len, texts)) > _MOST_DIGITS:
        return None
    return pl.Series(name, texts, pl.Binary, strict=True).cast(pl.String).cast(_COLUMNS[name])


def _texts(name: str, values: Sequence[bytes]) -> pl.Series:
    """Return values as text. Raises PolarsError for invalid UTF-8, TypeError for an absent one."""
    texts = pl.Series(name, values, pl.Binary, strict=True).cast(pl.String)
    if texts.null_count():
        raise TypeError(f"a message without {name}")
    return texts


def _offsets(messages: Sequence[Any]) -> pl.Series:
    first, last = messages[0].offset(), messages[-1].offset()
    if last - first == len(messages) - 1:  # offsets grow, so there is no gap between them
        return pl.int_range(first, last + 1, eager=True, dtype=pl.UInt64).alias("source_offset")
    return pl.Series("source_offset", [message.offset() for message in messages], pl.UInt64)


def _frame_row(consumed: PartitionMessages, message: Message, text: str) -> Frame:
    offset = message.offset() or 0
    headers = dict(message.headers() or ())
    recv_ns = _number(headers.get(RECV_NS), 2**63)
    if recv_ns is None:
        recv_ns = max(0, message.timestamp()[1]) * 1_000_000
    seq = _number(headers.get(SEQ), 2**64)
    connection = (message.key() or b"").decode(errors="backslashreplace")
    place = (consumed.topic, consumed.partition, offset)
    return Frame(recv_ns, connection, offset if seq is None else seq, text, *place)


def _number(text: object, limit: int) -> int | None:
    if not isinstance(text, bytes) or not text.isdigit() or len(text) > _MOST_DIGITS:
        return None
    number = int(text)
    return number if number < limit else None
