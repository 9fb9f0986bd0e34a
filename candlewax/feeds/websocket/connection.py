"""One connection to an exchange, from its opening to its end."""

import asyncio
import logging
from dataclasses import dataclass
from typing import Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from candlewax.core.kind_marks import MADE, SIMULATOR_HEADER, refuse_exchange
from candlewax.exchanges.protocol.websocket import Kind, WebSocketRules
from candlewax.feeds.frame_buffer import FrameRecorder, redact_url
from candlewax.feeds.websocket.subscriptions import Subscriptions

MOST_MESSAGE: Final = 16 << 20
"""The longest message that is read, in bytes."""

# What the library says of a connection we say ourselves.
_quiet = logging.getLogger(f"{__name__}.library")
_quiet.setLevel(logging.CRITICAL)


@dataclass(frozen=True)
class ConnectionTimeouts:
    """How long things may take, in seconds."""

    open_s: float = 10
    close_s: float = 2
    answer_s: float = 10
    """For a subscription to be answered."""
    refused_s: float = 5
    """The first wait before a refused subscription is asked for again; each is twice the one
    before, and none longer than `most_s`."""
    ping_s: float = 20
    """Between our pings, and until each is answered."""
    tick_s: float = 0.5
    """Between two looks at a connection."""
    first_s: float = 1
    """The first wait before connecting again, at most; each is twice the one before."""
    most_s: float = 60
    """The longest such wait, but for what the exchange asks for."""
    settled_s: float = 60
    """A connection that lived so long was a good one."""
    jitter_s: float = 600
    """So much earlier than it must a connection is replaced, at most."""
    patience_s: float = 900
    """The longest wait for a quiet market to move."""


class RateLimiter:
    """Lets one pass at a time, so many seconds after the one before."""

    def __init__(self, every_s: float) -> None:
        self._every_s = every_s
        self._next = 0.0

    def pause_for(self, seconds: float) -> None:
        """Let nobody pass for so long."""
        self._next = max(self._next, asyncio.get_running_loop().time() + seconds)

    async def wait(self) -> None:
        """Wait for the turn."""
        now = asyncio.get_running_loop().time()
        turn = max(now, self._next)
        self._next = turn + self._every_s
        if turn > now:
            await asyncio.sleep(turn - now)


class Connection:
    """A connection: reads it, subscribes, and watches over it.

    `due` tells why it is to be replaced while it still delivers, `ended` that it is over.
    """

    def __init__(
        self,
        live: WebSocketRules,
        line: FrameRecorder,
        natives: list[str],
        pace: ConnectionTimeouts,
        stalled_s: float,
    ) -> None:
        self.line = line
        self.ready = False
        """Whether every subscription is answered."""
        self.due = ""
        self.why = ""
        """What was wrong, if we ended it."""
        self.moved = False
        """Whether it brought any new trade."""
        self.life_s = 0.0
        self._live = live
        self._pace = pace
        self._stalled_s = stalled_s
        self._natives = natives
        self._requests = Subscriptions(natives, live.chunk, whole=live.whole, in_turn=live.in_turn)
        self._messages = self._beats = 0
        self._more = asyncio.Event()
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._socket: ClientConnection

    async def open(self, url: str, messages: RateLimiter, longest_s: float | None) -> None:
        """Connect, and begin. Raises what `connect` raises."""
        self._socket = await connect(
            url,
            # Frames are short: unpacking each costs more than the bytes saved.
            compression=None,
            max_size=MOST_MESSAGE,
            # The reader never waits, so nothing piles up before it.
            max_queue=None,
            open_timeout=self._pace.open_s,
            close_timeout=self._pace.close_s,
            ping_interval=self._pace.ping_s,
            ping_timeout=self._pace.ping_s,
            logger=_quiet,
        )
        self._began = asyncio.get_running_loop().time()
        simulated = self._is_simulated()
        if self._live.is_simulated not in (None, simulated):
            await self._socket.close()
            raise refuse_exchange(redact_url(url), is_simulated=simulated)
        made = MADE if simulated else None
        self.line.event(
            "connected", warn=False, url=redact_url(url), instruments=self._natives, made=made
        )
        self._task = asyncio.create_task(self._run(messages, longest_s))
        self._task.add_done_callback(lambda _: self._news.set())

    def _is_simulated(self) -> bool:
        response = self._socket.response
        return response is not None and SIMULATOR_HEADER in response.headers

    @property
    def ended(self) -> bool:
        """Whether it is over; raises if that is a mistake of ours."""
        if self._task is None or not self._task.done():
            return False
        self._task.result()
        return True

    async def wait_for_change(self) -> None:
        """Wait until it is ready, due or over, or is so anew."""
        await self._news.wait()
        self._news.clear()

    async def close(self) -> None:
        """Say goodbye and wait for the end; what comes until then is still received."""
        if self._task is not None:
            await self._socket.close()
            await self._task

    async def _run(self, messages: RateLimiter, longest_s: float | None) -> None:
        async with asyncio.TaskGroup() as group:
            others = [
                group.create_task(self._subscribe(messages)),
                group.create_task(self._watch(longest_s)),
            ]
            await self._read()
            for task in others:
                task.cancel()

    async def _read(self) -> None:
        recv, receive = self._socket.recv, self.line.receive
        is_trade = self._live.is_trade
        try:
            while True:
                frame = receive(await recv(decode=False))
                self._messages += 1
                if is_trade(frame):
                    self.moved = True
                else:
                    self._hear(frame)
        except ConnectionClosed as closed:
            self._end(closed)

    def _hear(self, frame: str) -> None:
        heard = self._live.hear(frame)
        if heard.kind is Kind.HEARTBEAT:
            self._beats += 1
        elif heard.kind is Kind.SHUTDOWN:
            self._replace("the exchange announced a shutdown")
        elif heard.kind in (Kind.ACK, Kind.REFUSAL):
            refused = self._requests.hear(heard)
            # What is refused again and again is told once.
            known = set(heard.instruments) <= self._requests.refused.keys()
            again = self.ready or (bool(heard.instruments) and known)
            if heard.kind is Kind.REFUSAL and (refused or not again):
                named = refused or list(heard.instruments)
                self.line.event("refused", instruments=named, reason=heard.reason)
            self._more.set()

    def _end(self, closed: ConnectionClosed) -> None:
        self.life_s = asyncio.get_running_loop().time() - self._began
        close = closed.rcvd or closed.sent
        reason = close.reason if close else str(closed.__cause__ or "connection lost")
        code = close.code if close else 1006
        by = "us" if closed.sent and not closed.rcvd_then_sent else "exchange"
        after_s = round(self.life_s, 3)
        self.line.report_dropped()
        self.line.event(
            "disconnected",
            warn=by != "us" or bool(self.why),
            code=code,
            reason=reason,
            by=by,
            why=self.why or None,
            after_s=after_s,
        )

    def _replace(self, why: str) -> None:
        if not self.due:
            self.due = why
            self._news.set()

    async def _subscribe(self, messages: RateLimiter) -> None:
        try:
            for message in self._live.opening:
                await messages.wait()
                await self._socket.send(message)
            await self._ask(messages)
            self.ready = True
            self.line.event("subscribed", warn=False, instruments=self._requests.subscribed)
            self._news.set()
            await self._ask_again(messages)
        except ConnectionClosed:
            return

    async def _ask(self, messages: RateLimiter) -> None:
        """Ask for all that is to be asked for, until all is answered."""
        loop = asyncio.get_running_loop()
        while not self._requests.done:
            while following := self._requests.send():
                await messages.wait()
                await self._socket.send(self._live.subscribe(*following))
                self._requests.sent(following[1], loop.time() + self._pace.answer_s)
            await self._more.wait()
            self._more.clear()

    async def _ask_again(self, messages: RateLimiter) -> None:
        """Ask for what was refused again and again, as long as anything is."""
        wait_s = self._pace.refused_s
        while self._requests.refused:
            await asyncio.sleep(wait_s)
            self._requests.ask_again()
            await self._ask(messages)
            wait_s = min(2 * wait_s, self._pace.most_s)
            if recovered := self._requests.take_recovered():
                self.line.event("subscribed", warn=False, instruments=recovered)
                wait_s = self._pace.refused_s

    async def _watch(self, longest_s: float | None) -> None:
        """Look at the connection again and again; end it if it is dead or stalled."""
        loop, pace, live = asyncio.get_running_loop(), self._pace, self._live
        messages = beats = 0
        any_at = good_at = checked = self._began
        while True:
            await asyncio.sleep(pace.tick_s)
            now = loop.time()
            late, checked = now - checked > 2 * pace.tick_s + 1, now
            if self._messages != messages or late:
                any_at = now
            if self._messages - self._beats != messages - beats or late:
                good_at = now
            messages, beats = self._messages, self._beats
            self.line.report_dropped()
            self._requests.expire_retries(now)
            if self._requests.done:
                self._more.set()
            if overdue := self._requests.overdue(now):
                await self._give_up("unanswered", pace.answer_s, overdue)
            elif live.silent_s is not None and now - any_at > live.silent_s:
                await self._give_up("silent", live.silent_s)
            elif now - good_at > self._stalled_s:
                await self._give_up("stalled", self._stalled_s)
            elif longest_s is not None and now - self._began > longest_s:
                self._replace("the connection is as old as it may be")

    async def _give_up(
        self, why: str, limit_s: float, instruments: list[str] | None = None
    ) -> None:
        self.why = why
        self.line.event(why, limit_s=limit_s, instruments=instruments)
        await self._socket.close()
