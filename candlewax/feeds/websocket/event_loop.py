"""Event loop thread that runs all websocket connections of a process."""

import asyncio
import threading
from concurrent.futures import Future
from contextlib import suppress

from candlewax.exchanges.protocol.websocket import WebSocketRules
from candlewax.feeds.websocket.connection_keeper import ConnectionKeeper, ExchangeRateLimits
from candlewax.feeds.websocket.pacing import RateLimiter


class EventLoopError(RuntimeError):
    """Unexpected end of the thread that reads the exchanges; `__cause__` is the exception."""


class EventLoopThread:
    """Thread with an event loop that runs the connection keepers of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="exchanges", daemon=True)
        self._loop: Future[asyncio.AbstractEventLoop] = Future()
        self._keepers: dict[ConnectionKeeper, asyncio.Task[None]] = {}
        self._limits: dict[str, ExchangeRateLimits] = {}
        self._should_end = asyncio.Event()
        self._error: BaseException | None = None
        self._users = 0

    def join(self) -> None:
        """Use the thread until `release`; start it with the first user."""
        with self._lock:
            self._users += 1
            if not self._thread.ident:
                self._thread.start()

    def add(self, exchange: str, rules: WebSocketRules, keeper: ConnectionKeeper) -> None:
        """Start to keep a share of markets connected."""
        self._loop.result().call_soon_threadsafe(self._add, exchange, rules, keeper)

    def change(self, keeper: ConnectionKeeper, native_symbols: list[str]) -> None:
        """Let a keeper keep other markets connected; without any it ends."""
        # The loop may have ended meanwhile.
        with suppress(RuntimeError):
            self._loop.result().call_soon_threadsafe(self._change, keeper, native_symbols)

    def _change(self, keeper: ConnectionKeeper, native_symbols: list[str]) -> None:
        if self._should_end.is_set():
            return
        keeper.change(native_symbols)
        if not native_symbols:
            self._keepers.pop(keeper).cancel()

    def _add(self, exchange: str, rules: WebSocketRules, keeper: ConnectionKeeper) -> None:
        if self._should_end.is_set():
            return
        limits = ExchangeRateLimits(
            RateLimiter(rules.connect_every_s), RateLimiter(1 / rules.messages_per_s)
        )
        limits = self._limits.setdefault(exchange, limits)
        self._keepers[keeper] = self._group.create_task(keeper.run(limits))

    def end(self) -> None:
        """Request that all connections be closed, and return at once."""
        with self._lock:
            started = self._thread.ident is not None
        if started and self._thread.is_alive():
            # The loop may have ended meanwhile.
            with suppress(RuntimeError):
                self._loop.result().call_soon_threadsafe(self._end)

    def _end(self) -> None:
        if self._should_end.is_set():
            # A second cancellation would interrupt the closing handshakes.
            return
        self._should_end.set()
        for task in self._keepers.values():
            task.cancel()

    @property
    def ended(self) -> bool:
        """Return True if the thread is over and no more frames follow. Raises EventLoopError."""
        if self.is_over and self._error:
            raise EventLoopError("the thread that reads the exchanges died") from self._error
        return self.is_over

    @property
    def is_over(self) -> bool:
        """Return True if the thread has run and ended, for whatever reason."""
        return self._thread.ident is not None and not self._thread.is_alive()

    def release(self, timeout_s: float) -> None:
        """End the use of the thread; the last user closes all connections and joins the thread."""
        with self._lock:
            self._users -= 1
            is_last = not self._users
        if is_last:
            self.end()
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # noqa: BLE001 - raised again by `ended`
            self._error = error

    async def _main(self) -> None:
        async with asyncio.TaskGroup() as self._group:
            self._loop.set_result(asyncio.get_running_loop())
            await self._should_end.wait()
