"""The simulator: a websocket and REST server that plays the exchanges."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Final, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from candlewax.core.kind_marks import SIMULATOR_HEADER
from candlewax.simulator.connection_faults import troubles
from candlewax.simulator.exchanges.client import Client
from candlewax.simulator.exchanges.published import Books, Published
from candlewax.simulator.exchanges.registry import PATHS, met_at, opened
from candlewax.simulator.exchanges.rest import Answer, Rest, Trouble
from candlewax.simulator.exchanges.venue import Venue
from candlewax.simulator.market.rng import generator
from candlewax.simulator.plan import Plan
from candlewax.simulator.player import Player
from candlewax.simulator.replay import Replay

__all__ = ["Plan", "Published", "Simulator"]

_CLOSE_SECONDS: Final = 2
"""How long a client has to say goodbye."""

_SILENT: Final = logging.getLogger("candlewax.simulator")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
"""The library logs each client that leaves without a word as an error."""


class Simulator:
    """Plays a plan while it is entered.

    `told` hears of every trade when it is published.
    """

    def __init__(
        self,
        plan: Plan,
        host: str = "127.0.0.1",
        port: int = 0,
        told: Callable[[Published], object] | None = None,
    ) -> None:
        self.plan: Final = plan
        self.books: Final = Books(plan.keep, told)
        self.replay: Replay | None = None
        self.asked = 0
        """How many requests REST has answered."""
        self.failing = plan.mischief.fail
        """The chance that REST answers a request with a failure of its own."""
        self._host, self._port = host, port
        self._rng = generator(plan.seed, "rest")
        self._too_soon = 0
        self.lacking = 0
        """How many of the next answers of REST will lack some trades."""
        self._number = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self.venues = opened(self.plan, self.books)
        self._rest = Rest(
            self.venues,
            self._trouble,
            self.plan.manners.retry_after,
            self.plan.mischief.oldest,
        )
        self._begun = asyncio.Event()
        self.player = Player(self.plan, self.venues, self._begun)
        self._ended = asyncio.Event()
        self._server: Server = await serve(
            self._converse,
            self._host,
            self._port,
            process_request=self._answer,
            process_response=_mark,
            compression=None,
            ping_interval=None,
            close_timeout=_CLOSE_SECONDS,
            logger=_SILENT,
        )
        if not self.plan.waiting:
            self.begin()
        self._start(self._play())
        self._start(self._beat())
        for trouble in troubles(self.plan.mischief, self.plan.seed, self.venues):
            self._start(trouble)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for venue in self.venues.values():
            # Who is not heard cannot say goodbye.
            venue.thaw()
        for client in self.connections():
            client.farewell()
            client.flush()
        self._server.close()
        await self._server.wait_closed()

    # Where it is, and what it did.

    @property
    def port(self) -> int:
        """Where it listens."""
        port: int = next(iter(self._server.sockets)).getsockname()[1]
        return port

    def url(self, exchange: str) -> str:
        """The address of an exchange's websocket."""
        return f"ws://{self._authority}{PATHS[exchange]}"

    def rest_url(self, exchange: str) -> str:
        """What the addresses of an exchange's REST begin with."""
        return f"http://{self._authority}/{exchange}"

    @property
    def _authority(self) -> str:
        return f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"

    @property
    def journal(self) -> list[Published]:
        """All that was published, in order."""
        return self.books.journal

    def connections(self, exchange: str | None = None) -> list[Client]:
        """Who is connected, to one exchange or to all."""
        return [client for venue in self._some(exchange) for client in venue.clients.values()]

    def subscribed(self, exchange: str) -> frozenset[str]:
        """The native symbols of an exchange that somebody listens to."""
        return self.venues[exchange].subscribed

    def begin(self) -> None:
        """Play, if the plan was to wait for this; or go on."""
        self._begun.set()

    def pause(self) -> None:
        """Let no trades happen until `begin` is called again. A recording does not wait."""
        self._begun.clear()

    async def ended(self) -> None:
        """Wait until all is played; without an end in the plan that is never."""
        await self._ended.wait()

    @property
    def sent(self) -> int:
        """How many trades were published, or frames of a recording sent."""
        return self.replay.played if self.replay else self.books.count

    async def failed(self, stop: asyncio.Event) -> None:
        """Wait until `stop` is set; raises what ended the playing early."""
        waiting = asyncio.create_task(stop.wait())
        try:
            pending = {waiting, *(task for task in self._tasks if not task.done())}
            while not waiting.done():
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            waiting.cancel()

    # What can be done to the clients.

    async def drop(self, exchange: str | None = None) -> None:
        """Cut all connections at once, without a close frame."""
        for client in self.connections(exchange):
            client.cut()
        # The loop takes them down behind what it does now.
        await asyncio.sleep(0)

    def stall(
        self, exchange: str | None = None, seconds: float = 60, *, entirely: bool = False
    ) -> None:
        """Send no trades for so long, or nothing at all; they are published as skipped."""
        for venue in self._some(exchange):
            (venue.freeze if entirely else venue.stall)(seconds)

    def refuse(self, native: str, *, known: bool = False) -> None:
        """Let no exchange know this symbol, or let them know it again."""
        for venue in self.venues.values():
            (venue.refused.discard if known else venue.refused.add)(native)

    def close_with(
        self, exchange: str | None, code: int, reason: str = ""
    ) -> "asyncio.Future[list[None]]":
        """Close all connections with a code; may be awaited."""
        clients = self.connections(exchange)
        closing = [client.venue.later(client.close(code, reason)) for client in clients]
        return asyncio.gather(*closing)

    def announce_end(self, exchange: str | None = None) -> None:
        """Tell all clients of Binance that their connections will end soon."""
        for client in self.connections(exchange):
            client.farewell()

    def limit(self, requests: int) -> None:
        """Answer so many of the next requests to REST that they come too soon."""
        self._too_soon += requests

    def show(self, trades: int) -> None:
        """Let REST show so many of the newest trades of each market only; 0 is all."""
        self._rest.shown = trades

    def lack(self, answers: int) -> None:
        """Leave three trades out of the middle of so many of the next answers of REST."""
        self.lacking += answers

    # How it works.

    def _some(self, exchange: str | None) -> list[Venue]:
        return list(self.venues.values()) if exchange is None else [self.venues[exchange]]

    def _start(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _play(self) -> None:
        await self._begun.wait()
        if self.plan.recording is None:
            await self.player.play()
        else:
            self.replay = Replay(self.plan.recording, self.plan.pace, self.venues)
            await self.replay.play()
        self._ended.set()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self.plan.manners.beat)
            for venue in self.venues.values():
                venue.beat()

    def _trouble(self) -> Trouble:
        """What is wrong with the next request to REST."""
        self.asked += 1
        if self._too_soon:
            self._too_soon -= 1
            return Trouble.TOO_SOON
        if self.lacking:
            self.lacking -= 1
            return Trouble.LACKING
        mischief = self.plan.mischief
        for chance, trouble in (
            (self.failing, Trouble.FAILED),
            (mischief.limit, Trouble.TOO_SOON),
        ):
            if chance > 0 and self._rng.random() < chance:
                return trouble
        return Trouble.NONE

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        if "Upgrade" in request.headers and met_at(request.path):
            return None
        answer = self._rest.answer(request.path, request.headers)
        if answer is None:
            known = ", ".join(PATHS.values())
            answer = Answer(
                f'{{"error":"nothing here; websockets are at {known}"}}', HTTPStatus.NOT_FOUND
            )
        response = connection.respond(answer.status, answer.text)
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        for name, value in answer.headers.items():
            response.headers[name] = value
        return _mark(connection, request, response)

    async def _converse(self, connection: ServerConnection) -> None:
        path = connection.request.path if connection.request else ""
        venue = self.venues[met_at(path) or ""]
        self._number += 1
        client = venue.welcome(connection, self._number)
        await venue.thawed()
        client.opening()
        client.flush()
        duties = [asyncio.create_task(duty) for duty in client.duties()]
        try:
            async for message in connection:
                await venue.thawed()
                client.hear(message if isinstance(message, str) else message.decode())
                client.flush()
        except (ConnectionClosed, UnicodeDecodeError):
            pass
        finally:
            for duty in duties:
                duty.cancel()
            venue.leave(client)


def _mark(_: ServerConnection, __: Request, response: Response) -> Response:
    """Say in each answer that nothing here is real."""
    response.headers[SIMULATOR_HEADER] = "1"
    return response
