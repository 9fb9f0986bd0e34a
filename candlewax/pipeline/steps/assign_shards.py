"""Assignment of decoded batches to the shards of their exchange."""

from collections.abc import Sequence
from functools import partial

from candlewax.core.instruments import Instruments
from candlewax.core.rows.columns import decoded_columns
from candlewax.core.rows.frame_decoder import DecodedRows
from candlewax.core.shards import ShardError, ShardPlan
from candlewax.core.trades import sharding
from candlewax.core.trades.decode import DecodedFrames
from candlewax.pipeline.shard_keys import shard_key

Decoded = DecodedFrames | DecodedRows
"""A decoded batch of either form."""


class ShardAssigner:
    """Assigner of decoded batches to shards: (key, Decoded) out.

    A batch of a connection to one shard passes as it is; others are divided by market.
    """

    def __init__(self, plan: ShardPlan) -> None:
        self._plan = plan
        self._counts = plan.counts

    def assign_frames(
        self, decoded: Decoded, instruments: Instruments
    ) -> list[tuple[str, Decoded]]:
        """Assign a batch of frames. Raises ShardError if it is not of this process's shards."""
        exchange, count = decoded.exchange, self._counts.get(decoded.exchange, 1)
        if count == 1:
            return [(exchange, decoded)]
        resolve = partial(_resolve, instruments, exchange)
        assigned = (
            sharding.assign_rows(decoded, count, resolve)
            if isinstance(decoded, DecodedRows)
            else None
        )
        if assigned:
            return self._keep_own([assigned])
        frames = decoded_columns(decoded) if isinstance(decoded, DecodedRows) else decoded
        return self._keep_own(sharding.assign_frames(frames, count, resolve))

    def assign_trades(self, decoded: Decoded) -> list[tuple[str, Decoded]]:
        """Assign a batch of trades without frames. Raises ShardError, as `assign_frames`."""
        exchange, count = decoded.exchange, self._counts.get(decoded.exchange, 1)
        if count == 1:
            return [(exchange, decoded)]
        if isinstance(decoded, DecodedRows):
            return self._keep_own(sharding.divide_rows(decoded, count))
        return self._keep_own(sharding.divide_trades(decoded, count))

    def _keep_own(self, parts: Sequence[Decoded]) -> list[tuple[str, Decoded]]:
        """Return the parts with the keys of their shards. Raises ShardError.

        What belongs to a shard that this process does not read, nobody else may read either.
        """
        for part in parts:
            exchange, shard = part.exchange, part.shard
            if not self._plan.owns(exchange, shard.index):
                raise ShardError(
                    f"{exchange}: frames or trades of shard {shard.index} of {shard.count} came to "
                    "a process that reads other shards; they were sent with other CANDLEWAX_SHARDS."
                    " Let a process read all shards of the exchange until it has read these"
                )
        return [(shard_key(part.exchange, part.shard), part) for part in parts]


def _resolve(instruments: Instruments, exchange: str, native_symbol: str) -> str | None:
    instrument = instruments.resolve(exchange, native_symbol)
    return instrument.symbol if instrument else None
