"""The thread that runs all connections of a process."""

import asyncio
import threading
from concurrent.futures import Future
from contextlib import suppress

from candlewax.exchanges.protocol.websocket import WebSocketRules
from candlewax.feeds.websocket.connection import RateLimiter
from candlewax.feeds.websocket.shard import ExchangeRateLimits, Shard


class EventLoopError(RuntimeError):
    """The thread that reads the exchanges ended by a mistake of ours; its cause is set."""


class EventLoopThread:
    """Runs shards in an event loop of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="exchanges", daemon=True)
        self._begun: Future[asyncio.AbstractEventLoop] = Future()
        self._shards: set[asyncio.Task[None]] = set()
        self._gates: dict[str, ExchangeRateLimits] = {}
        self._ending = asyncio.Event()
        self._error: BaseException | None = None
        self._users = 0

    def add(self, exchange: str, live: WebSocketRules, shard: Shard) -> None:
        """Keep a shard connected from now on."""
        with self._lock:
            self._users += 1
            if not self._thread.ident:
                self._thread.start()
        loop = self._begun.result()
        loop.call_soon_threadsafe(self._add, exchange, live, shard)

    def _add(self, exchange: str, live: WebSocketRules, shard: Shard) -> None:
        if self._ending.is_set():
            return
        gates = ExchangeRateLimits(
            RateLimiter(live.connect_every_s), RateLimiter(1 / live.messages_s)
        )
        gates = self._gates.setdefault(exchange, gates)
        self._shards.add(self._group.create_task(shard.run(gates)))

    def end(self) -> None:
        """Have all connections closed; returns at once."""
        with self._lock:
            started = self._thread.ident is not None
        if started and self._thread.is_alive():
            # It may end by itself meanwhile.
            with suppress(RuntimeError):
                self._begun.result().call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self._ending.is_set():
            # Whoever says goodbye is not to be disturbed.
            return
        self._ending.set()
        for task in self._shards:
            task.cancel()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come. Raises EventLoopError."""
        if self._thread.ident is None or self._thread.is_alive():
            return False
        if self._error:
            raise EventLoopError("the thread that reads the exchanges died") from self._error
        return True

    def leave(self, timeout_s: float) -> None:
        """One shard less is wanted; the last one ends all and waits for it."""
        with self._lock:
            self._users -= 1
            last = not self._users
        if last:
            self.end()
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - raised again where it is noticed
            self._error = error

    async def _main(self) -> None:
        async with asyncio.TaskGroup() as self._group:
            self._begun.set_result(asyncio.get_running_loop())
            await self._ending.wait()
