"""Exchange's side of one websocket connection."""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable
from typing import TYPE_CHECKING, Final

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

if TYPE_CHECKING:
    from candlewax.simulator.exchanges.venue import Venue

_TEXT: Final = 0x81
"""First byte of an unfragmented text message."""


def now_us() -> int:
    """Return the microseconds since 1970."""
    return time.time_ns() // 1000


def frame_text(text: str) -> bytes:
    """Return a text as an uncompressed websocket message of a server (RFC 6455, 5.2)."""
    data = text.encode()
    size = len(data)
    if size < 126:
        return bytes((_TEXT, size)) + data
    if size < 1 << 16:
        return bytes((_TEXT, 126)) + size.to_bytes(2, "big") + data
    return bytes((_TEXT, 127)) + size.to_bytes(8, "big") + data


class Client(ABC):
    """Connection of one client. Messages are gathered and written together.

    `form` is the format of its trades: clients of one form get the same text.
    """

    form: int = 0

    def __init__(self, venue: "Venue", connection: ServerConnection, number: int) -> None:
        self.venue = venue
        self.number = number
        self.native_symbols: set[str] = set()
        """Native symbols of the subscribed markets."""
        self.pongs = 0
        """Answered pings."""
        self._connection = connection
        self._unsent: list[bytes] = []

    @property
    def path(self) -> str:
        """Return the path that the client requested."""
        request = self._connection.request
        return request.path if request else ""

    def send_greeting(self) -> None:  # noqa: B027 - optional
        """Send the first message of the exchange, if it has one."""

    @abstractmethod
    def handle_message(self, message: str) -> None:
        """Handle a message of the client."""

    def send_heartbeat(self) -> None:  # noqa: B027 - optional
        """Send a heartbeat if it is due."""

    def background_tasks(self) -> Iterable[Coroutine[None, None, None]]:
        """Return tasks that run as long as the connection."""
        return ()

    def announce_close(self) -> None:  # noqa: B027 - optional
        """Announce that the exchange will end the connection."""

    @property
    def is_open(self) -> bool:
        """Return whether the connection is open."""
        return self._connection.state is State.OPEN

    @property
    def unread_bytes(self) -> int:
        """Return how many bytes the client has not read yet."""
        return self._connection.transport.get_write_buffer_size()

    def send(self, text: str) -> None:
        """Queue a message."""
        self._unsent.append(frame_text(text))

    def send_trades(self, text: str) -> None:
        """Queue a message of trades."""
        self.send(text)

    def flush(self) -> None:
        """Write queued messages; drop a client that reads too little."""
        if not self._unsent:
            return
        data = b"".join(self._unsent)
        self._unsent.clear()
        if self.is_open:
            # websockets would write each message by itself, ten times slower.
            self._connection.transport.write(data)
            if self.unread_bytes > self.venue.limits.unsent:
                self.cut()

    async def drain(self) -> None:
        """Wait until the client has read most of what was written."""
        if self.is_open:
            await self._connection.drain()

    def cut(self) -> None:
        """End the connection without a close frame."""
        self._connection.transport.abort()

    async def close(self, code: int, reason: str = "") -> None:
        """End the connection with a close frame."""
        self.flush()
        await self._connection.close(code, reason)

    def set_reading(self, *, is_reading: bool) -> None:
        """Read what the client sends, including pings, or leave it unread."""
        transport = self._connection.transport
        if is_reading:
            transport.resume_reading()
        else:
            transport.pause_reading()

    async def ping(self, every_s: float, within_s: float) -> None:
        """Ping the client, and drop it if a ping stays unanswered."""
        try:
            while True:
                await asyncio.sleep(every_s)
                await self.venue.wait_until_thawed()
                pong = await self._connection.ping()
                async with asyncio.timeout(within_s):
                    await pong
                self.pongs += 1
        except TimeoutError:
            self.cut()
        except ConnectionClosed:
            pass
