"""Exchanges to talk to on the loopback, and a reader of what a source makes of them."""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from dataclasses import replace
from typing import Any, Self, TypeVar

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from candlewax.core.frames import EVENT, FrameBatch, InvalidUtf8Frames
from candlewax.core.schema import FRAMES
from candlewax.exchanges import EXCHANGES
from candlewax.exchanges.protocol.websocket import WebSocketRules
from candlewax.feeds.websocket.pacing import ConnectionTimeouts
from candlewax.feeds.websocket.source import WebSocketSource
from candlewax.runtime.counters import Counters

T = TypeVar("T")

PATIENCE_S = 60
"""How long anything may take before a test fails."""

QUICK = ConnectionTimeouts(
    first_backoff_s=0.01,
    max_backoff_s=0.05,
    tick_s=0.02,
    answer_s=30,
    jitter_s=0,
    close_s=1,
    refused_s=0.01,
)
"""Nobody waits long; answers may take their time."""


def quick(exchange: str, **changes: Any) -> dict[str, WebSocketRules]:
    """The rules of an exchange without their pauses."""
    eager = {
        "messages_per_s": 1000.0,
        "connect_every_s": 0.0,
        "dead_after_s": None,
        "stalled_after_s": 1e9,
    }
    return {exchange: replace(EXCHANGES[exchange].live, **{**eager, "max_age_s": None, **changes})}


@contextmanager
def running(entered: AbstractAsyncContextManager[T]) -> Iterator[tuple[T, Callable[..., Any]]]:
    """Something asynchronous, entered in a thread; with it, what runs a coroutine there."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, loop).result(PATIENCE_S)

    async def enter() -> T:
        return await entered.__aenter__()

    async def leave() -> None:
        await entered.__aexit__(None, None, None)

    try:
        something = run(enter())
        try:
            yield something, run
        finally:
            run(leave())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE_S)
        loop.close()


Talk = Callable[[ServerConnection, int], Awaitable[None]]
"""What a server says on a connection, given its number counted from 0."""


class Exchange:
    """A server that says what a test tells it to."""

    def __init__(
        self, talk: Talk, answer: Callable[[int, ServerConnection], Response | None] | None = None
    ) -> None:
        self._talk = talk
        self._answer = answer
        self.count = 0
        self.asked = 0
        self.heard: list[str] = []

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._converse, "127.0.0.1", 0, process_request=self._respond, close_timeout=1
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    def _respond(self, connection: ServerConnection, _: Request) -> Response | None:
        number, self.asked = self.asked, self.asked + 1
        return self._answer(number, connection) if self._answer else None

    async def _converse(self, connection: ServerConnection) -> None:
        number, self.count = self.count, self.count + 1
        with suppress(ConnectionClosed):
            await self._talk(connection, number)

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/stream"


async def acknowledge(connection: ServerConnection) -> dict[str, Any]:
    """Answer a subscription of Binance; gives it."""
    request: dict[str, Any] = json.loads(await connection.recv())
    await connection.send(f'{{"result":null,"id":{request["id"]}}}')
    return request


def trade(number: int, symbol: str = "BTCUSDT") -> str:
    """A trade of Binance in its envelope."""
    return (
        f'{{"stream":"{symbol.lower()}@trade","data":{{"e":"trade","E":1672515782136,'
        f'"s":"{symbol}","t":{number},"p":"16500.12000000","q":"0.00100000",'
        '"T":1672515782136,"m":true,"M":true}}'
    )


Row = tuple[int, str, int, str]
"""recv_ns, connection, seq, frame."""


class Reader:
    """Takes what all parts of a source emit, as a worker would."""

    def __init__(
        self,
        plan: Mapping[str, Sequence[str]],
        urls: Mapping[str, str],
        lives: Mapping[str, WebSocketRules],
        pace: ConnectionTimeouts = QUICK,
        **options: Any,
    ) -> None:
        self.tally = Counters()
        self.stop = False
        self.source = WebSocketSource(
            plan, urls, self.tally, lambda: self.stop, rules=lives, timeouts=pace, **options
        )
        self.parts = [self.source.build_part("feed", p, None) for p in self.source.list_parts()]
        self.rows: list[Row] = []
        self.garbled: list[InvalidUtf8Frames] = []
        self._ended: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for part in self.parts:
            part.close()

    def take(self) -> None:
        """One batch of each part."""
        for place, part in enumerate(self.parts):
            if place in self._ended:
                continue
            try:
                items = list(part.next_batch())
            except StopIteration:
                self._ended.add(place)
                continue
            for item in items:
                if isinstance(item, FrameBatch):
                    self.rows += item.frames.select(*FRAMES).iter_rows()
                elif isinstance(item, InvalidUtf8Frames):
                    self.garbled.append(item)

    def until(self, done: Callable[[], object]) -> None:
        """Take until something is so."""
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            assert time.monotonic() < deadline, [frame[:300] for *_, frame in self.rows[-20:]]
            self.take()
            time.sleep(0.005)

    def finish(self) -> None:
        """Stop, and take all that is left."""
        self.stop = True
        self.until(lambda: len(self._ended) == len(self.parts))

    @property
    def frames(self) -> list[str]:
        """What was received from the exchange."""
        return [frame for *_, frame in self.rows if not frame.startswith(f'{{"{EVENT}"')]

    def events(self, kind: str) -> list[dict[str, Any]]:
        """What happened of this kind."""
        own = [frame for *_, frame in self.rows if frame.startswith(f'{{"{EVENT}"')]
        return [event for event in map(json.loads, own) if event[EVENT] == kind]

    def numbers(self) -> dict[str, list[int]]:
        """The numbers of each connection, in the order they came."""
        found: dict[str, list[int]] = {}
        for _, connection, seq, _ in self.rows:
            found.setdefault(connection, []).append(seq)
        return found


def ids(reader: Reader) -> dict[str, list[int]]:
    """The trades that came on each connection."""
    found: dict[str, list[int]] = {}
    for _, connection, _, frame in reader.rows:
        data = json.loads(frame).get("data")
        if data and "t" in data:
            found.setdefault(connection, []).append(data["t"])
    return found
