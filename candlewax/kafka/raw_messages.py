"""Messages of the raw topics into frames."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import polars as pl
from confluent_kafka import Message
from polars.exceptions import PolarsError

from candlewax.core.frames import FrameBatch, InvalidUtf8Frames, SourceItem
from candlewax.core.kind_marks import SIMULATED, is_made
from candlewax.core.schema import FRAMES, SOURCE
from candlewax.exchanges import EXCHANGES
from candlewax.kafka import topics
from candlewax.kafka.source import MessageCodec, PartitionMessages
from candlewax.runtime import metrics

RECV_NS: Final = "recv_ns"
SEQ: Final = "seq"
KIND: Final = "kind"
"""Headers beside a frame: when it was received, its number in its connection, and whether it is
of the sample, of the simulator or of a real market.
"""

_EXCHANGE: Final = {topics.raw(exchange): exchange for exchange in EXCHANGES}

_COLUMNS: Final = {**FRAMES, **SOURCE}

_SAME: Final = pl.Series("source_partition", [0], pl.UInt32)

Admit = Callable[[str, str], None]
"""Is told the kind of what comes, and where it lies; raises if it is not wanted."""


def reading(admit: Admit) -> MessageCodec[list[SourceItem], SourceItem]:
    """Return what makes frames of messages of raw topics, if they are of a kind that is wanted."""
    return MessageCodec(partial(read, admit=admit), join)


def read(consumed: PartitionMessages, admit: Admit = lambda *_: None) -> list[SourceItem]:
    """The frames of messages of a raw topic; FRAMES with SOURCE.

    A message without the headers of a frame was received when the broker says. Without the
    header of its kind it was sent before that was known, or by others: it is taken to be of the
    kind that the database holds.
    """
    exchange = _EXCHANGE[consumed.topic]
    # The broker has it from us: when the frame was received.
    metrics.received(exchange, consumed.messages[-1].timestamp()[1] / 1000)
    whole, kinds = _whole(consumed)
    for kind in kinds:
        place = f"partition {consumed.partition}, offset {consumed.messages[0].offset()}"
        admit(kind.decode(errors="backslashreplace"), f"{consumed.topic}, {place}")
    if whole is not None:
        return [FrameBatch(exchange, whole)]
    rows = [_row(consumed, message) for message in consumed.messages]
    texts, garbled = [], []
    for row, message in zip(rows, consumed.messages, strict=True):
        value = message.value() or b""
        try:
            texts.append((*row[:3], value.decode(), *row[3:]))
        except UnicodeDecodeError as error:
            garbled.append((row, value, str(error)))
    found: list[SourceItem] = []
    if texts:
        found.append(FrameBatch(exchange, _frame(texts)))
    if garbled:
        escaped = [
            (*row[:3], value.decode(errors="backslashreplace"), *row[3:])
            for row, value, _ in garbled
        ]
        raws, whys = [value for _, value, _ in garbled], [why for *_, why in garbled]
        found.append(InvalidUtf8Frames(exchange, _frame(escaped), raws, whys))
    return found


def join(pieces: Sequence[list[SourceItem]]) -> list[SourceItem]:
    """What was read of one topic in pieces, together where it can be."""
    feeds = [feed for piece in pieces for feed in piece]
    whole = [feed for feed in feeds if isinstance(feed, FrameBatch)]
    if len(whole) < len(feeds) or len(whole) <= 1:
        return feeds
    return [FrameBatch(whole[0].exchange, pl.concat(feed.frames for feed in whole))]


def _whole(consumed: PartitionMessages) -> tuple[pl.DataFrame | None, set[bytes]]:
    """All messages column by column, None if one is not as we send them; and their kinds."""
    messages: Sequence[Any] = consumed.messages
    try:
        times, places, kinds = _headers(messages)
    except (TypeError, ValueError):
        return None, kinds_of(messages)
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
            _SAME.new_from_index(0, len(messages)) + consumed.partition,
            _offsets(messages),
        ]
        return pl.DataFrame(columns), kinds
    except (TypeError, ValueError, PolarsError):
        return None, kinds


def _headers(messages: Sequence[Any]) -> tuple[list[bytes], list[bytes], set[bytes]]:
    """The values of the headers that we send, and the kinds among them. Raises ValueError where
    there are others, TypeError where there are none.
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


def kinds_of(messages: Sequence[Any]) -> set[bytes]:
    """Return the kinds of messages of which some may not tell theirs. One that holds our own event
    of a connection to the simulator was sent before messages told their kind.
    """
    kinds: set[bytes] = set()
    for message in messages:
        told = dict(message.headers() or ()).get(KIND)
        if isinstance(told, bytes):
            kinds.add(told)
        elif is_made(message.value() or b""):
            kinds.add(SIMULATED.encode())
    return kinds


def _numbers(name: str, texts: Sequence[bytes]) -> pl.Series | None:
    """What the texts count; None if one is no plain number. Raises PolarsError where one is
    none at all, TypeError where one is absent.
    """
    if not b"".join(texts).isdigit():
        return None
    return pl.Series(name, texts, pl.Binary, strict=True).cast(pl.String).cast(_COLUMNS[name])


def _texts(name: str, values: Sequence[bytes]) -> pl.Series:
    """Raises PolarsError where one is no UTF-8, TypeError where one is absent."""
    found = pl.Series(name, values, pl.Binary, strict=True).cast(pl.String)
    if found.null_count():
        raise TypeError(f"a message without {name}")
    return found


def _offsets(messages: Sequence[Any]) -> pl.Series:
    first, last = messages[0].offset(), messages[-1].offset()
    if last - first == len(messages) - 1:  # they only grow, so none lies between others
        return pl.int_range(first, last + 1, eager=True, dtype=pl.UInt64).alias("source_offset")
    return pl.Series("source_offset", [message.offset() for message in messages], pl.UInt64)


def _frame(rows: Sequence[tuple[object, ...]]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=_COLUMNS, orient="row")


def _row(consumed: PartitionMessages, message: Message) -> tuple[int, str, int, str, int, int]:
    offset = message.offset() or 0
    headers = dict(message.headers() or ())
    recv_ns = _number(headers.get(RECV_NS), 2**63)
    if recv_ns is None:
        recv_ns = max(0, message.timestamp()[1]) * 1_000_000
    seq = _number(headers.get(SEQ), 2**64)
    connection = (message.key() or b"").decode(errors="backslashreplace")
    place = (consumed.topic, consumed.partition, offset)
    return (recv_ns, connection, offset if seq is None else seq, *place)


def _number(text: object, limit: int) -> int | None:
    if isinstance(text, bytes) and text.isdigit() and len(text) <= 20 and int(text) < limit:
        return int(text)
    return None
