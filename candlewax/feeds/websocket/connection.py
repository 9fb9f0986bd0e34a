"""One websocket connection to an exchange, from opening to close."""

import asyncio
import logging
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from candlewax.core.kind_marks import SIMULATOR_HEADER, SIMULATOR_MARK, wrong_exchange_error
from candlewax.exchanges.protocol.websocket import Kind, Ping, WebSocketRules
from candlewax.feeds.frame_buffer import FrameRecorder, redact_url
from candlewax.feeds.websocket.pacing import ConnectionTimeouts, RateLimiter
from candlewax.feeds.websocket.subscriptions import Subscriptions

MAX_MESSAGE_BYTES: Final = 16 << 20
"""Longest accepted message, in bytes."""

# The recorder logs each event of a connection; the library would log it a second time.
_library_log = logging.getLogger(f"{__name__}.library")
_library_log.setLevel(logging.CRITICAL)


class Connection:
    """Websocket connection that subscribes, records all frames and watches its own health.

    `replace_reason` is set once it should be replaced while it still delivers; `ended` tells
    that it is closed.
    """

    def __init__(
        self,
        rules: WebSocketRules,
        recorder: FrameRecorder,
        native_symbols: list[str],
        timeouts: ConnectionTimeouts,
        stalled_s: float,
    ) -> None:
        self.recorder = recorder
        self.is_ready = False
        """True once every subscription is answered."""
        self.replace_reason = ""
        self.close_reason = ""
        """Reason, if the watchdog closed the connection."""
        self.has_trades = False
        """True once a new trade was received."""
        self.life_s = 0.0
        self._rules = rules
        self._timeouts = timeouts
        self._stalled_s = stalled_s
        self.native_symbols = native_symbols
        self._subscriptions = Subscriptions(
            native_symbols,
            rules.symbols_per_message,
            rejects_whole_message=rules.rejects_whole_message,
            replies_in_order=rules.replies_in_order,
        )
        self._messages = self._heartbeats = 0
        self._answered = asyncio.Event()
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._socket: ClientConnection

    async def open(self, url: str, messages: RateLimiter, longest_s: float | None) -> None:
        """Connect and start the tasks of the connection. Raises what `connect` raises."""
        self._socket = await connect(
            url,
            # Frames are short: decompressing each costs more than the bytes saved.
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            # The reader never waits, so the unbounded queue stays short.
            max_queue=None,
            open_timeout=self._timeouts.open_s,
            close_timeout=self._timeouts.close_s,
            ping_interval=self._timeouts.ping_s,
            ping_timeout=self._timeouts.ping_s,
            logger=_library_log,
        )
        self._opened_at = asyncio.get_running_loop().time()
        is_simulated = self._is_simulated()
        if self._rules.is_simulated not in (None, is_simulated):
            await self._socket.close()
            raise wrong_exchange_error(redact_url(url), is_simulated=is_simulated)
        marker = SIMULATOR_MARK if is_simulated else None
        self.recorder.record_event(
            "connected",
            warn=False,
            url=redact_url(url),
            instruments=self.native_symbols,
            made=marker,
        )
        self._task = asyncio.create_task(self._run(messages, longest_s))
        self._task.add_done_callback(lambda _: self._changed.set())

    def _is_simulated(self) -> bool:
        response = self._socket.response
        return response is not None and SIMULATOR_HEADER in response.headers

    @property
    def ended(self) -> bool:
        """Return True if the connection is closed. Raises what a task of ours raised."""
        if self._task is None or not self._task.done():
            return False
        self._task.result()
        return True

    async def wait_for_change(self) -> None:
        """Wait until the connection becomes ready, due for replacement, or closed."""
        await self._changed.wait()
        self._changed.clear()

    async def close(self) -> None:
        """Close the connection and wait for its end. Until then frames are still recorded."""
        if self._task is not None:
            await self._socket.close()
            await self._task

    async def _run(self, messages: RateLimiter, longest_s: float | None) -> None:
        async with asyncio.TaskGroup() as group:
            others = [
                group.create_task(self._subscribe(messages)),
                group.create_task(self._watch(longest_s)),
            ]
            if ping := self._rules.ping:
                others.append(group.create_task(self._send_pings(ping, messages)))
            await self._read()
            for task in others:
                task.cancel()

    async def _read(self) -> None:
        recv, receive = self._socket.recv, self.recorder.receive
        is_trade = self._rules.is_trade
        try:
            while True:
                frame = receive(await recv(decode=False))
                self._messages += 1
                if is_trade(frame):
                    self.has_trades = True
                else:
                    self._handle_control(frame)
        except ConnectionClosed as error:
            self._record_end(error)

    def _handle_control(self, frame: str) -> None:
        control = self._rules.parse_control(frame)
        if control.kind is Kind.HEARTBEAT:
            self._heartbeats += 1
        elif control.kind is Kind.SHUTDOWN:
            self.replace("the exchange announced a shutdown")
        elif control.kind in (Kind.ACK, Kind.REFUSAL):
            refused = self._subscriptions.apply_answer(control)
            # A market that stays refused is reported once, not at each retry.
            already_refused = set(control.native_symbols) <= self._subscriptions.refused.keys()
            is_repeat = self.is_ready or (bool(control.native_symbols) and already_refused)
            if control.kind is Kind.REFUSAL and (refused or not is_repeat):
                symbols = refused or list(control.native_symbols)
                self.recorder.record_event("refused", instruments=symbols, reason=control.reason)
            self._answered.set()

    def _record_end(self, error: ConnectionClosed) -> None:
        self.life_s = asyncio.get_running_loop().time() - self._opened_at
        close = error.rcvd or error.sent
        reason = close.reason if close else str(error.__cause__ or "connection lost")
        code = close.code if close else 1006
        closed_by = "us" if error.sent and not error.rcvd_then_sent else "exchange"
        after_s = round(self.life_s, 3)
        self.recorder.report_dropped()
        self.recorder.record_event(
            "disconnected",
            warn=closed_by != "us" or bool(self.close_reason),
            code=code,
            reason=reason,
            by=closed_by,
            why=self.close_reason or None,
            after_s=after_s,
        )

    def replace(self, reason: str) -> None:
        """Mark the connection for replacement while it still delivers, if it is not yet."""
        if not self.replace_reason:
            self.replace_reason = reason
            self._changed.set()

    async def _subscribe(self, messages: RateLimiter) -> None:
        try:
            for message in self._rules.opening_messages:
                await messages.wait()
                await self._socket.send(message)
            await self._send_subscriptions(messages)
            self.is_ready = True
            self.recorder.record_event(
                "subscribed", warn=False, instruments=self._subscriptions.subscribed
            )
            self._changed.set()
            await self._retry_refused(messages)
        except ConnectionClosed:
            return

    async def _send_subscriptions(self, messages: RateLimiter) -> None:
        """Send all outstanding subscriptions and wait until each is answered."""
        loop = asyncio.get_running_loop()
        while not self._subscriptions.is_done:
            while request := self._subscriptions.next_request():
                await messages.wait()
                await self._socket.send(self._rules.subscribe(*request))
                self._subscriptions.set_deadline(request[1], loop.time() + self._timeouts.answer_s)
            await self._answered.wait()
            self._answered.clear()

    async def _retry_refused(self, messages: RateLimiter) -> None:
        """Send refused subscriptions again, with growing waits, until none is refused."""
        wait_s = self._timeouts.refused_s
        while self._subscriptions.refused:
            await asyncio.sleep(wait_s)
            self._subscriptions.retry_refused()
            await self._send_subscriptions(messages)
            wait_s = min(2 * wait_s, self._timeouts.max_backoff_s)
            if recovered := self._subscriptions.take_recovered():
                self.recorder.record_event("subscribed", warn=False, instruments=recovered)
                wait_s = self._timeouts.refused_s

    async def _send_pings(self, ping: Ping, messages: RateLimiter) -> None:
        """Send the pings that the exchange expects, answered by a frame like any other."""
        try:
            while True:
                await asyncio.sleep(ping.every_s)
                await messages.wait()
                await self._socket.send(ping.message)
        except ConnectionClosed:
            return

    async def _watch(self, longest_s: float | None) -> None:
        """Close the connection if it is unanswered, silent or stalled; mark it if it is too old."""
        loop, timeouts, rules = asyncio.get_running_loop(), self._timeouts, self._rules
        messages = heartbeats = 0
        last_message_at = last_data_at = last_tick = self._opened_at
        while True:
            await asyncio.sleep(timeouts.tick_s)
            now = loop.time()
            is_loop_late, last_tick = now - last_tick > 2 * timeouts.tick_s + 1, now
            if self._messages != messages or is_loop_late:
                last_message_at = now
            if self._messages - self._heartbeats != messages - heartbeats or is_loop_late:
                last_data_at = now
            messages, heartbeats = self._messages, self._heartbeats
            self.recorder.report_dropped()
            self._subscriptions.expire_retries(now)
            if self._subscriptions.is_done:
                self._answered.set()
            if overdue := self._subscriptions.overdue(now):
                await self._give_up("unanswered", timeouts.answer_s, overdue)
            elif rules.dead_after_s is not None and now - last_message_at > rules.dead_after_s:
                await self._give_up("silent", rules.dead_after_s)
            elif now - last_data_at > self._stalled_s:
                await self._give_up("stalled", self._stalled_s)
            elif longest_s is not None and now - self._opened_at > longest_s:
                self.replace("the connection is as old as it may be")

    async def _give_up(
        self, reason: str, limit_s: float, instruments: list[str] | None = None
    ) -> None:
        self.close_reason = reason
        self.recorder.record_event(reason, limit_s=limit_s, instruments=instruments)
        await self._socket.close()
