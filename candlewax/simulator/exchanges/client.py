"""The exchange's end of one connection."""

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
"""The first byte of a text message that is whole."""


def now_us() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def framed(text: str) -> bytes:
    """A text as a websocket message from a server, uncompressed (RFC 6455, 5.2)."""
    data = text.encode()
    size = len(data)
    if size < 126:
        return bytes((_TEXT, size)) + data
    if size < 1 << 16:
        return bytes((_TEXT, 126)) + size.to_bytes(2, "big") + data
    return bytes((_TEXT, 127)) + size.to_bytes(8, "big") + data


class Client(ABC):
    """Who listens to an exchange. Messages are gathered and written many at once.

    `form` names the way this client wants its trades: what is said to one of a form
    may be said to all.
    """

    form: int = 0

    def __init__(self, venue: "Venue", connection: ServerConnection, number: int) -> None:
        self.venue = venue
        self.number = number
        self.native: set[str] = set()
        """The markets it is told of."""
        self.pongs = 0
        """How many of our pings it has answered."""
        self._connection = connection
        self._unsent: list[bytes] = []

    @property
    def path(self) -> str:
        """What it asked for when it came."""
        request = self._connection.request
        return request.path if request else ""

    def opening(self) -> None:  # noqa: B027 - some say nothing
        """What is said before the client says anything."""

    @abstractmethod
    def hear(self, message: str) -> None:
        """Follow a message of the client."""

    def beat(self) -> None:  # noqa: B027 - some give none
        """Give a sign of life, if it is time."""

    def duties(self) -> Iterable[Coroutine[None, None, None]]:
        """What goes on beside while the connection lives."""
        return ()

    def farewell(self) -> None:  # noqa: B027 - some leave without
        """What is said some time before the exchange ends the connection."""

    @property
    def open(self) -> bool:
        """Whether it can still be told anything."""
        return self._connection.state is State.OPEN

    @property
    def waiting(self) -> int:
        """How many bytes the client has not taken yet."""
        return self._connection.transport.get_write_buffer_size()

    def say(self, text: str) -> None:
        """Send something soon, behind all that was said before."""
        self._unsent.append(framed(text))

    def tell(self, text: str) -> None:
        """Send trades soon."""
        self.say(text)

    def flush(self) -> None:
        """Write what is to be sent; drop a client that takes too little."""
        if not self._unsent:
            return
        data = b"".join(self._unsent)
        self._unsent.clear()
        if self.open:
            # The library would write each message on its own, ten times as slow.
            self._connection.transport.write(data)
            if self.waiting > self.venue.manners.unsent:
                self.cut()

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written."""
        if self.open:
            await self._connection.drain()

    def cut(self) -> None:
        """End the connection without a word."""
        self._connection.transport.abort()

    async def close(self, code: int, reason: str = "") -> None:
        """End the connection as the protocol wants it."""
        self.flush()
        await self._connection.close(code, reason)

    def listen(self, *, listening: bool) -> None:
        """Read what the client sends, also its pings, or leave it unread."""
        transport = self._connection.transport
        if listening:
            transport.resume_reading()
        else:
            transport.pause_reading()

    async def ping(self, every: float, within: float) -> None:
        """Ping the client, and drop it when it leaves a ping unanswered."""
        try:
            while True:
                await asyncio.sleep(every)
                await self.venue.thawed()
                pong = await self._connection.ping()
                async with asyncio.timeout(within):
                    await pong
                self.pongs += 1
        except TimeoutError:
            self.cut()
        except ConnectionClosed:
            pass
