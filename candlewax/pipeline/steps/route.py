"""Steps at the topics: routing to raw topics, and reading of the normalized topic."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import polars as pl

from candlewax.core.batch import UNKNOWN_EXCHANGE, Batch
from candlewax.core.frame_log import line_dead_letters
from candlewax.core.frames import FrameBatch, InvalidUtf8Frames, SourceItem, UnreadableLines
from candlewax.core.gaps.gap_state import OUTAGES
from candlewax.core.instruments import Instruments
from candlewax.core.rows.frame_decoder import DecodedRows
from candlewax.core.rows.records import Frame
from candlewax.core.rows.row_batch import SMALL_BATCH_ROWS
from candlewax.core.schema import BRONZE, DEAD_LETTERS, TRADES, empty
from candlewax.core.shards import WHOLE_EXCHANGES, ShardPlan
from candlewax.core.trades.decode import DecodedFrames, reject_frames
from candlewax.core.trades.messages import ShardCounts
from candlewax.exchanges import EXCHANGES
from candlewax.kafka.raw_messages import KindCheck
from candlewax.kafka.topics import MAX_MESSAGE_BYTES
from candlewax.kafka.trade_codec import JsonCodec, TradeCodec
from candlewax.kafka.trade_messages import MessageValues
from candlewax.pipeline.steps.assign_shards import Decoded, ShardAssigner
from candlewax.pipeline.steps.decode import DecodeStep
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import log_failures

_NO_TRADES: Final = empty({"row": pl.UInt32, **TRADES})


@log_failures
class RouteStep:
    """Step that separates frames for raw topics from dead letters.

    `SourceItem` in, (key, item) out; an item is frames of one exchange or a batch of dead letters.
    """

    def __init__(
        self,
        instruments: Instruments,
        exchanges: Iterable[str],
        counters: Counters,
        key_of: Callable[[str, str], str] | None = None,
    ) -> None:
        """`key_of` returns the key of the frames of an exchange's connection; None if it is the
        exchange.
        """
        self._key_of = key_of
        self._decode = DecodeStep(instruments, exchanges, counters)
        self._exchanges = frozenset(exchanges)
        self._counters = counters

    def __call__(
        self, item: SourceItem
    ) -> list[tuple[str, FrameBatch | InvalidUtf8Frames | Batch]]:
        if isinstance(item, UnreadableLines) or item.exchange not in EXCHANGES:
            return [
                (UNKNOWN_EXCHANGE, _dead_letter_batch(decoded))
                for _, decoded in self._decode(item)
                if isinstance(decoded, DecodedFrames)
            ]
        if item.exchange not in self._exchanges:
            count = item.count if isinstance(item, FrameBatch) else item.frames.height
            self._counters.increment(count, "skipped", item.exchange)
            return []
        if isinstance(item, InvalidUtf8Frames):
            name = item.frames["connection"][0]
            return [(self._key_of(item.exchange, name) if self._key_of else item.exchange, item)]
        return self._split_by_size(item)

    def _split_by_size(
        self, item: FrameBatch
    ) -> list[tuple[str, FrameBatch | InvalidUtf8Frames | Batch]]:
        large, rest = _split_rows(item) if item.rows else _split_columns(item)
        if large is None:
            return self._split_by_key(item)
        detail = f"a message holds at most {MAX_MESSAGE_BYTES} bytes"
        rejected = reject_frames(item.exchange, large.frames, "too_large", detail)
        remaining = self._split_by_key(rest) if rest.count else []
        return [(UNKNOWN_EXCHANGE, _dead_letter_batch(rejected)), *remaining]

    def _split_by_key(
        self, item: FrameBatch
    ) -> list[tuple[str, FrameBatch | InvalidUtf8Frames | Batch]]:
        """Return the frames by key; all of a connection have the same one, so their order stays."""
        exchange, key_of = item.exchange, self._key_of
        if not key_of:
            return [(exchange, item)]
        if item.rows:
            rows: dict[str, list[Frame]] = {}
            for row in item.rows:
                rows.setdefault(key_of(exchange, row.connection), []).append(row)
            return [(key, FrameBatch(exchange, rows=own)) for key, own in rows.items()]
        names = item.frames["connection"].unique(maintain_order=True)
        keys = {name: key_of(exchange, name) for name in names}
        if len(set(keys.values())) == 1:
            return [(keys[names[0]], item)]
        key_of_frame = item.frames["connection"].replace_strict(keys, return_dtype=pl.String)
        return [
            (key, FrameBatch(exchange, item.frames.filter(key_of_frame == key)))
            for key in dict.fromkeys(keys.values())
        ]


def _split_rows(item: FrameBatch) -> tuple[FrameBatch | None, FrameBatch]:
    """Return the frames that are too large for a message, None if none is, and the others."""
    large = [row for row in item.rows if len(row.text.encode()) > MAX_MESSAGE_BYTES]
    if not large:
        return None, item
    rest = [row for row in item.rows if len(row.text.encode()) <= MAX_MESSAGE_BYTES]
    return FrameBatch(item.exchange, rows=large), FrameBatch(item.exchange, rows=rest)


def _split_columns(item: FrameBatch) -> tuple[FrameBatch | None, FrameBatch]:
    """As `_split_rows`, of a batch of columns."""
    is_large = item.frames["frame"].str.len_bytes() > MAX_MESSAGE_BYTES
    if not is_large.any():
        return None, item
    large, rest = item.frames.filter(is_large), item.frames.filter(~is_large)
    return FrameBatch(item.exchange, large), FrameBatch(item.exchange, rest)


def _dead_letter_batch(decoded: DecodedFrames) -> Batch:
    tables = {"bronze_frames": decoded.bronze, "dead_letters": decoded.dead_letters}
    return Batch(decoded.exchange, tables)


@log_failures
class ReadTradesStep:
    """Step that reads messages of the normalized topic: `MessageValues` in, (key, Decoded) out.

    Few messages are read as rows. The output has no frames, as `silver` has stored them.
    """

    def __init__(
        self,
        exchanges: Iterable[str],
        codec: TradeCodec | None = None,
        admit: KindCheck = lambda *_: None,
        shard_plan: ShardPlan = WHOLE_EXCHANGES,
        check_shards: Callable[[MessageValues, ShardCounts], None] = lambda *_: None,
    ) -> None:
        """`admit` raises if trades are of another kind of data than the database.

        `check_shards` raises for messages that this process must not read.
        """
        self._admit = admit
        self._check_shards = check_shards
        self._exchanges = frozenset(exchanges)
        self._codec = codec or JsonCodec()
        self._assigner = ShardAssigner(shard_plan)

    def __call__(self, message_values: MessageValues) -> list[tuple[str, Decoded]]:
        if len(message_values.values) <= SMALL_BATCH_ROWS:
            return self._read_rows(message_values)
        parsed = self._codec.decode(message_values.values)
        self._check_kinds(message_values, parsed.kinds)
        self._check_shards(message_values, parsed.shard_counts)
        decoded = _unreadable(message_values, parsed.faults.rows())
        for exchange, trades in _by_exchange(parsed.trades):
            if exchange in self._exchanges:
                outages = parsed.outages.filter(exchange=exchange).select(*OUTAGES)
                none = empty(BRONZE), empty(DEAD_LETTERS)
                read = DecodedFrames(exchange, none[0], trades, none[1], outages=outages)
                decoded += self._assigner.assign_trades(read)
        return decoded

    def _read_rows(self, message_values: MessageValues) -> list[tuple[str, Decoded]]:
        parsed = self._codec.decode_rows(message_values.values)
        self._check_kinds(message_values, parsed.kinds)
        self._check_shards(message_values, parsed.shard_counts)
        decoded = _unreadable(message_values, parsed.faults)
        for exchange, trades in parsed.trades.items():
            if exchange in self._exchanges:
                outages = parsed.outages.get(exchange, ())
                read = DecodedRows(exchange, (), trades=trades, outages=outages)
                decoded += self._assigner.assign_trades(read)
        return decoded

    def _check_kinds(self, message_values: MessageValues, kinds: Iterable[str]) -> None:
        for kind in kinds:
            place = f"partition {message_values.partition}, offset {message_values.offsets[0]}"
            self._admit(kind, f"{message_values.topic}, {place}")


def _by_exchange(trades: pl.DataFrame) -> list[tuple[str, pl.DataFrame]]:
    if trades.is_empty() or (trades["exchange"] == trades["exchange"][0]).all():
        return [(trades["exchange"][0], trades)] if trades.height else []
    parts = trades.partition_by("exchange", maintain_order=True)
    return [(part["exchange"][0], part) for part in parts]


def _unreadable(
    message_values: MessageValues, faults: Sequence[tuple[int, int, str, str]]
) -> list[tuple[str, Decoded]]:
    """Return dead letters of messages without a readable trade, by topic and offset, if any."""
    if not faults:
        return []
    lines = [
        (message_values.offsets[row], reason, detail, message_values.values[row])
        for row, _, reason, detail in faults
    ]
    letters = line_dead_letters(f"{message_values.topic}:{message_values.partition}", lines)
    decoded = DecodedFrames(UNKNOWN_EXCHANGE, empty(BRONZE), _NO_TRADES, letters)
    return [(UNKNOWN_EXCHANGE, decoded)]
