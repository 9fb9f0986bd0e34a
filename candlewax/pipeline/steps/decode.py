"""Bytewax step from frames to native trades in unified terms."""

import logging
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Final

import polars as pl
from polars.exceptions import PanicException

from candlewax.clickhouse.state.channel_reader import ChannelReader
from candlewax.core.batch import UNKNOWN_EXCHANGE
from candlewax.core.frames import FrameBatch, InvalidUtf8Frames, SourceItem, UnreadableLines
from candlewax.core.gaps.market_outages import SubscriptionEvent
from candlewax.core.instruments import Instruments
from candlewax.core.rows import frame_decoder as rows
from candlewax.core.rows.columns import frame_rows
from candlewax.core.rows.records import Frame
from candlewax.core.rows.row_batch import SMALL_BATCH_CHARACTERS, SMALL_BATCH_ROWS
from candlewax.core.schema import BRONZE, TRADES, empty
from candlewax.core.shards import WHOLE_EXCHANGES, ShardPlan
from candlewax.core.trades.channels import (
    PLACE_COLUMNS,
    ChannelTracker,
    FramePlace,
    no_earlier_frames,
)
from candlewax.core.trades.decode import DecodedFrames, decode, reject_frames, reject_invalid_utf8
from candlewax.exchanges import EXCHANGES
from candlewax.pipeline.steps.assign_shards import Decoded, ShardAssigner
from candlewax.pipeline.steps.unknown_conditions import UnknownConditions
from candlewax.runtime.counters import Counters
from candlewax.runtime.errors import log_failures

_NO_TRADES: Final = empty({"row": pl.UInt32, **TRADES})

_log: Final = logging.getLogger(__name__)


@log_failures
class DecodeStep:
    """Step that decodes frames: `SourceItem` in, (key of a shard, Decoded) out."""

    def __init__(
        self,
        instruments: Instruments,
        exchanges: Iterable[str],
        counters: Counters,
        shard_plan: ShardPlan = WHOLE_EXCHANGES,
        channel_reader: ChannelReader | None = None,
    ) -> None:
        """Create from settings.

        `channel_reader` reads stored frames of connections that began before the process; without
        it their trades cannot be read if the exchange's frames name no market.
        """
        self._trackers = {
            exchange: ChannelTracker(
                rules,
                partial(channel_reader.read_earlier, exchange)
                if channel_reader
                else no_earlier_frames,
            )
            for exchange in exchanges
            if exchange in EXCHANGES and (rules := EXCHANGES[exchange].channels)
        }
        self._instruments = instruments
        self._assigner = ShardAssigner(shard_plan)
        self._exchanges = frozenset(exchanges)
        self._counters = counters
        self._unknown_conditions = UnknownConditions(counters)

    def __call__(self, received: SourceItem) -> list[tuple[str, Decoded]]:
        if isinstance(received, UnreadableLines):
            dead_letters = received.dead_letters
            decoded = DecodedFrames(UNKNOWN_EXCHANGE, empty(BRONZE), _NO_TRADES, dead_letters)
            return [(UNKNOWN_EXCHANGE, decoded)]
        exchange = received.exchange
        if isinstance(received, InvalidUtf8Frames):
            decoded = reject_invalid_utf8(
                exchange, received.frames, received.values, received.details
            )
            return self._assigner.assign_frames(decoded, self._instruments)
        if exchange not in EXCHANGES:
            detail = f"expected one of {', '.join(EXCHANGES)}, got {exchange[:100]!r}"
            rejected = reject_frames(exchange, received.frames, "unknown_exchange", detail)
            return [(UNKNOWN_EXCHANGE, rejected)]
        if exchange not in self._exchanges:
            self._counters.increment(received.count, "skipped", exchange)
            return []
        if received.processed is not None:
            self._add_processed(exchange, received.processed)
        small = _small_rows(received)
        if small:
            return self._decode_rows(exchange, received, small)
        return self._decode_columns(exchange, received.frames)

    def _add_processed(self, exchange: str, frames: pl.DataFrame) -> None:
        if tracker := self._trackers.get(exchange):
            rows = frames.select(*PLACE_COLUMNS, "frame").iter_rows()
            tracker.add_processed((FramePlace(*place), text) for *place, text in rows)

    def _decode_rows(
        self, exchange: str, received: FrameBatch, small: Sequence[Frame]
    ) -> list[tuple[str, Decoded]]:
        tracker = self._trackers.get(exchange)
        saved = tracker.save() if tracker else None
        try:
            decoded = rows.decode(EXCHANGES[exchange], small, self._instruments, tracker)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - logged there, and kept as a dead letter
            if tracker and saved is not None:
                tracker.reset(saved)
            return self._decode_columns(exchange, received.frames)
        if decoded.subscriptions:
            self._report_lost(exchange, decoded.subscriptions)
        if conditions := decoded.conditions:
            self._unknown_conditions.count(EXCHANGES[exchange], pl.Series(conditions))
        return self._assigner.assign_frames(decoded, self._instruments)

    def _decode_columns(self, exchange: str, frames: pl.DataFrame) -> list[tuple[str, Decoded]]:
        results = self._read(exchange, frames)
        for decoded in results:
            self._report_lost(exchange, decoded.subscriptions)
            self._unknown_conditions.count(EXCHANGES[exchange], decoded.trades["condition"])
        return [
            assigned
            for decoded in results
            for assigned in self._assigner.assign_frames(decoded, self._instruments)
        ]

    def _report_lost(self, exchange: str, events: Sequence[SubscriptionEvent]) -> None:
        """Log and count frames that a connection lacks."""
        for event in events:
            if event.lost:
                self._counters.increment(event.lost, "missing_frames", exchange)
                _log.warning(
                    "%s: %d frames of a connection are missing, by their numbers; its markets: %s",
                    exchange,
                    event.lost,
                    ", ".join(event.symbols),
                )

    def _read(
        self, exchange: str, frames: pl.DataFrame, *, is_retry: bool = False
    ) -> list[DecodedFrames]:
        """Decode frames in their order. Frames on which the decoder fails become dead letters.

        Otherwise one such frame would end the pipeline at each start.
        """
        tracker = self._trackers.get(exchange)
        saved = tracker.save() if tracker else None
        try:
            return [decode(EXCHANGES[exchange], frames, self._instruments, tracker)]
        except MemoryError:
            raise
        except (Exception, PanicException) as error:  # noqa: BLE001 - logged, and kept as a dead letter
            if tracker and saved is not None:
                tracker.reset(saved)
            if not is_retry:
                _log.exception("%s: decoding failed; such frames become dead letters", exchange)
            if frames.height <= 1:
                detail = f"{type(error).__name__}: {error}"[:1000]
                return [reject_frames(exchange, frames, "decoder_failed", detail)]
            half = frames.height // 2
            parts = frames[:half], frames[half:]
            retried = (self._read(exchange, part, is_retry=True) for part in parts)
            return [decoded for results in retried for decoded in results]


def _small_rows(received: FrameBatch) -> Sequence[Frame]:
    """Return the frames as rows if they are few and short, else none."""
    frames = received.rows
    if not frames and received.count <= SMALL_BATCH_ROWS:
        frames = frame_rows(received.frames)
    is_short = sum(len(frame.text) for frame in frames) <= SMALL_BATCH_CHARACTERS
    return frames if is_short else ()
