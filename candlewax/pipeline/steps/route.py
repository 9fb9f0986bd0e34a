"""What passes between a process and the topics: which frames a raw topic takes, and
trades as they come from the normalized topic.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from candlewax.core.batch import UNKNOWN_EXCHANGE, Batch
from candlewax.core.frame_log import line_letters
from candlewax.core.frames import FrameBatch, InvalidUtf8Frames, SourceItem, UnreadableLines
from candlewax.core.gaps.gap_state import OUTAGES
from candlewax.core.instruments import Instruments
from candlewax.core.schema import BRONZE, DEAD_LETTERS, TRADES, empty
from candlewax.core.trades.decode import Decoded, reject_frames
from candlewax.core.trades.messages import ParsedMessages, from_json
from candlewax.exchanges import EXCHANGES
from candlewax.kafka.raw_messages import KindCheck
from candlewax.kafka.source import MessageCodec, PartitionMessages
from candlewax.kafka.topics import MAX_MESSAGE_BYTES
from candlewax.pipeline.steps.deduplicate import DecodeStep
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import log_failures

_NO_TRADES: Final = empty({"row": pl.UInt32, **TRADES})


@log_failures
class RouteStep:
    """Parts what a raw topic takes from what none does: `SourceItem` in; (key, item) out, the
    item being frames of one exchange, or a batch of dead letters.
    """

    def __init__(self, instruments: Instruments, wanted: Iterable[str], tally: Counters) -> None:
        self._decode = DecodeStep(instruments, wanted, tally)
        self._wanted = frozenset(wanted)
        self._tally = tally

    def __call__(
        self, item: SourceItem
    ) -> list[tuple[str, FrameBatch | InvalidUtf8Frames | Batch]]:
        if isinstance(item, UnreadableLines) or item.exchange not in EXCHANGES:
            return [(UNKNOWN_EXCHANGE, _letters(decoded)) for _, decoded in self._decode(item)]
        if item.exchange not in self._wanted:
            self._tally.increment(item.frames.height, "skipped", item.exchange)
            return []
        if isinstance(item, InvalidUtf8Frames):
            return [(item.exchange, item)]
        return self._fitting(item)

    def _fitting(
        self, item: FrameBatch
    ) -> list[tuple[str, FrameBatch | InvalidUtf8Frames | Batch]]:
        long = item.frames["frame"].str.len_bytes() > MAX_MESSAGE_BYTES
        if not long.any():
            return [(item.exchange, item)]
        why = f"a message holds at most {MAX_MESSAGE_BYTES} bytes"
        dead = reject_frames(item.exchange, item.frames.filter(long), "too_large", why)
        rest = FrameBatch(item.exchange, item.frames.filter(~long))
        kept = [(item.exchange, rest)] if rest.frames.height else []
        return [(UNKNOWN_EXCHANGE, _letters(dead)), *kept]


def _letters(decoded: Decoded) -> Batch:
    tables = {"bronze_frames": decoded.bronze, "dead_letters": decoded.dead_letters}
    return Batch(decoded.exchange, tables)


@dataclass(frozen=True)
class MessageValues:
    """What messages of one partition hold, in their order, and their offsets."""

    topic: str
    partition: int
    offsets: list[int]
    values: list[bytes]


def values(consumed: PartitionMessages) -> MessageValues:
    """What messages hold; nothing is an empty value."""
    messages = consumed.messages
    found = [message.value() or b"" for message in messages]
    offsets = [message.offset() or 0 for message in messages]
    return MessageValues(consumed.topic, consumed.partition, offsets, found)


def concat(pieces: Sequence[MessageValues]) -> list[MessageValues]:
    """Those of pieces of one partition as one."""
    first = pieces[0]
    offsets = [offset for piece in pieces for offset in piece.offsets]
    found = [value for piece in pieces for value in piece.values]
    return [MessageValues(first.topic, first.partition, offsets, found)]


READING: Final = MessageCodec(values, concat)
"""Messages of the normalized topic into what they hold."""


@log_failures
class ReadTradesStep:
    """Reads messages of the normalized topic: `MessageValues` in; (key, Decoded) out, without
    the frames, which others have stored.
    """

    def __init__(
        self,
        wanted: Iterable[str],
        decode: Callable[[Sequence[bytes]], ParsedMessages] | None = None,
        admit: KindCheck = lambda *_: None,
    ) -> None:
        """`admit` raises if trades are of a kind that is not wanted."""
        self._admit = admit
        self._wanted = frozenset(wanted)
        self._decode = decode or from_json

    def __call__(self, held: MessageValues) -> list[tuple[str, Decoded]]:
        found = self._decode(held.values)
        for kind in found.kinds:
            place = f"partition {held.partition}, offset {held.offsets[0]}"
            self._admit(kind, f"{held.topic}, {place}")
        decoded = []
        if found.faults.height:
            letters = _unread(held, found.faults)
            decoded.append(
                (UNKNOWN_EXCHANGE, Decoded(UNKNOWN_EXCHANGE, empty(BRONZE), _NO_TRADES, letters))
            )
        for exchange, trades in _by_exchange(found.trades):
            if exchange in self._wanted:
                outages = found.outages.filter(exchange=exchange).select(*OUTAGES)
                none = empty(BRONZE), empty(DEAD_LETTERS)
                read = Decoded(exchange, none[0], trades, none[1], outages=outages)
                decoded.append((exchange, read))
        return decoded


def _by_exchange(trades: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    if trades.is_empty() or (trades["exchange"] == trades["exchange"][0]).all():
        return [(trades["exchange"][0], trades)] if trades.height else []
    parts = trades.partition_by("exchange", maintain_order=True)
    return [(part["exchange"][0], part) for part in parts]


def _unread(held: MessageValues, faults: pl.DataFrame) -> pl.DataFrame:
    """Dead letters of messages that hold no trade, by the topic and their offset."""
    lines = [
        (held.offsets[row], reason, detail, held.values[row])
        for row, _, reason, detail in faults.iter_rows()
    ]
    return line_letters(f"{held.topic}:{held.partition}", lines)
