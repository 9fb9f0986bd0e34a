"""Replay of a frame log: each exchange's frames, verbatim, to its clients."""

import asyncio
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from candlewax.core import frame_log
from candlewax.feeds.replay.log_reader import Lines, LogError, blocks
from candlewax.simulator.exchanges.venue import Venue

_CHUNK: Final = 1 << 20
_AT_ONCE: Final = 500
"""Frames sent in one go before other tasks run."""

RecordedFrame = tuple[int, str]
"""Receive time of a frame in nanoseconds, and its text."""


def read_frames(path: Path, exchange: str) -> Iterator[RecordedFrame]:
    """Return the frames of an exchange in the order of the log. Raises LogError."""
    lines = Lines(blocks(path, lambda _: None), _CHUNK, 0)
    while chunk := lines.next_chunk():
        frames = frame_log.read(chunk, str(path), 0).frames
        yield from (
            (recv_ns, frame)
            for name, recv_ns, frame in frames.select("exchange", "recv_ns", "frame").iter_rows()
            if name == exchange
        )
    if lines.error:
        raise lines.error


class Replay:
    """Replay of a log: pace 1 as recorded, 0 as fast as the clients read.

    An exchange starts once a client has subscribed to it.
    """

    def __init__(self, path: Path, pace: float, venues: Mapping[str, Venue]) -> None:
        self._path = path
        self._pace = pace
        self._venues = venues
        self.played = 0

    async def play(self) -> None:
        """Play the log to its end. Raises LogError if it cannot be read."""
        try:
            async with asyncio.TaskGroup() as group:
                for venue in self._venues.values():
                    group.create_task(self._play(venue))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _play(self, venue: Venue) -> None:
        await venue.has_subscriber.wait()
        loop = asyncio.get_running_loop()
        begin, first_ns = loop.time(), None
        frames = read_frames(self._path, venue.exchange)
        for number, (recv_ns, text) in enumerate(frames, 1):
            first_ns = recv_ns if first_ns is None else first_ns
            due = begin + (recv_ns - first_ns) / 1e9 / self._pace if self._pace else begin
            if due > loop.time() or number % _AT_ONCE == 0:
                venue.flush()
                for client in list(venue.clients.values()):
                    await client.drain()
                await asyncio.sleep(max(due - loop.time(), 0))
            venue.play(text)
            self.played += 1
        venue.flush()


__all__ = ["LogError", "RecordedFrame", "Replay", "read_frames"]
