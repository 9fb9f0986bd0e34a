"""Messages of the normalized topic: their values as the source emits them, and their keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from candlewax.kafka.source import MessageCodec, PartitionMessages


@dataclass(frozen=True)
class MessageValues:
    """Values and offsets of messages of one partition, in order."""

    topic: str
    partition: int
    offsets: list[int]
    values: list[bytes]


def values(source_messages: PartitionMessages) -> MessageValues:
    """Return the values of messages; a message without a value has an empty one."""
    messages = source_messages.messages
    contents = [message.value() or b"" for message in messages]
    offsets = [message.offset() or 0 for message in messages]
    return MessageValues(source_messages.topic, source_messages.partition, offsets, contents)


def concat(pieces: Sequence[MessageValues]) -> list[MessageValues]:
    """Concatenate values of one partition."""
    first = pieces[0]
    offsets = [offset for piece in pieces for offset in piece.offsets]
    contents = [value for piece in pieces for value in piece.values]
    return [MessageValues(first.topic, first.partition, offsets, contents)]


READING: Final = MessageCodec(values, concat)
"""Codec of messages of the normalized topic."""


def message_key(exchange: str, symbol: str) -> str:
    """Return the key of a trade's message."""
    return f"{exchange}:{symbol}"
