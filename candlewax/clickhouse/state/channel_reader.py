"""Stored frames that tell of the channels of a connection."""

import time
from collections.abc import Callable
from typing import Final

from candlewax.clickhouse.client import Database
from candlewax.core.trades.channels import FramePlace

# Frames that are objects tell of channels, or are our own events; trades are arrays. The last frame
# of any kind has the number after which the next one counts.
_EARLIER: Final = """
WITH (received_at, received_ns, source_offset) < (
        fromUnixTimestamp64Micro({received_us:Int64}, 'UTC'), {received_ns:UInt16},
        {offset:UInt64}) AS is_earlier
SELECT toUnixTimestamp64Micro(received_at) AS received_us, frame
FROM bronze_frames FINAL
WHERE exchange = {exchange:String} AND connection = {connection:String}
    AND source = {source:String} AND is_earlier
    AND
    (
        (kind = 'control' AND startsWith(frame, '{'))
        OR (received_at, received_ns, source_offset) IN
        (
            SELECT max((received_at, received_ns, source_offset))
            FROM bronze_frames
            WHERE exchange = {exchange:String} AND connection = {connection:String}
                AND source = {source:String} AND is_earlier
        )
    )
ORDER BY received_at, received_ns, source_offset
"""


class ChannelReader:
    """Reader of the earlier frames of a connection.

    Delivery: the frames that are stored. A connection older than the retention of frames may lack
    the answers to its subscriptions.
    """

    def __init__(self, database: Database, wait: Callable[[float], object] = time.sleep) -> None:
        self._database = database
        self._wait = wait

    def read_earlier(self, exchange: str, place: FramePlace) -> list[tuple[int, str]]:
        """Return the frames of a connection before a place that tell of its channels, and the last.

        Time of receipt in microseconds since 1970, and text, in the order of receipt.
        """
        parameters = {
            "exchange": exchange,
            "connection": place.connection,
            "source": place.source,
            "received_us": place.recv_ns // 1000,
            "received_ns": place.recv_ns % 1000,
            "offset": place.offset,
        }
        rows = self._database.query(_EARLIER, parameters, self._wait)
        return [(received_us, frame) for received_us, frame in rows.iter_rows()]
