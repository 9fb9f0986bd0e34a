"""Websocket and REST server that plays the exchanges."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Final, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from candlewax.core.kind_marks import SIMULATOR_HEADER
from candlewax.simulator.connection_faults import fault_tasks
from candlewax.simulator.exchanges.client import Client
from candlewax.simulator.exchanges.published import Published, PublishedTrades
from candlewax.simulator.exchanges.registry import PATHS, exchange_at, open_venues
from candlewax.simulator.exchanges.rest import Rest, RestFault
from candlewax.simulator.exchanges.rest_request import Answer
from candlewax.simulator.exchanges.venue import Venue
from candlewax.simulator.market.rng import generator
from candlewax.simulator.plan import Plan
from candlewax.simulator.player import Player
from candlewax.simulator.replay import Replay

__all__ = ["Plan", "Published", "Simulator"]

_CLOSE_SECONDS: Final = 2
"""Seconds a client has to answer a close frame."""

_SILENT: Final = logging.getLogger("candlewax.simulator")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
"""Silent logger: websockets logs each client that leaves without a close frame as an error."""


class Simulator:
    """Server that plays a plan as an async context manager.

    `on_trade` is called with every trade when it is published.
    """

    def __init__(
        self,
        plan: Plan,
        host: str = "127.0.0.1",
        port: int = 0,
        on_trade: Callable[[Published], object] | None = None,
    ) -> None:
        self.plan: Final = plan
        self.published: Final = PublishedTrades(plan.keep, on_trade)
        self.replay: Replay | None = None
        self.rest_requests = 0
        """REST requests answered so far."""
        self.fail_rate = plan.fault_rates.fail
        """Probability that a REST request is answered with status 503."""
        self._host, self._port = host, port
        self._rng = generator(plan.seed, "rest")
        self._limited_requests = 0
        self.incomplete_answers = 0
        """Next REST answers that will lack some trades."""
        self._client_count = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self.venues = open_venues(self.plan, self.published)
        limits, rates = self.plan.limits, self.plan.fault_rates
        self._rest = Rest(self.venues, self._next_fault, limits.retry_after, rates.oldest)
        self._may_play = asyncio.Event()
        self.player = Player(self.plan, self.venues, self._may_play)
        self._has_ended = asyncio.Event()
        self._server: Server = await serve(
            self._serve_client,
            self._host,
            self._port,
            process_request=self._answer,
            process_response=_mark_simulated,
            compression=None,
            ping_interval=None,
            close_timeout=_CLOSE_SECONDS,
            logger=_SILENT,
        )
        if not self.plan.starts_paused:
            self.begin()
        self._start(self._play())
        self._start(self._send_heartbeats())
        for fault in fault_tasks(self.plan.fault_rates, self.plan.seed, self.venues):
            self._start(fault)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for venue in self.venues.values():
            # A frozen connection cannot be closed.
            venue.thaw()
        for client in self.connections():
            client.announce_close()
            client.flush()
        self._server.close()
        await self._server.wait_closed()

    # Addresses and statistics.

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        port: int = next(iter(self._server.sockets)).getsockname()[1]
        return port

    def url(self, exchange: str) -> str:
        """Return the websocket address of an exchange."""
        return f"ws://{self._authority}{PATHS[exchange]}"

    def rest_url(self, exchange: str) -> str:
        """Return the base address of an exchange's REST."""
        return f"http://{self._authority}/{exchange}"

    @property
    def rest_log(self) -> list[tuple[float, str, str]]:
        """Return monotonic time, exchange and target of the last REST requests."""
        return list(self._rest.log)

    @property
    def _authority(self) -> str:
        return f"[{self._host}]:{self.port}" if ":" in self._host else f"{self._host}:{self.port}"

    @property
    def journal(self) -> list[Published]:
        """Return all published trades in order."""
        return self.published.journal

    def connections(self, exchange: str | None = None) -> list[Client]:
        """Return the clients of one exchange or of all."""
        return [client for venue in self._venues_of(exchange) for client in venue.clients.values()]

    def subscribed(self, exchange: str) -> frozenset[str]:
        """Return the native symbols of an exchange with a subscriber."""
        return self.venues[exchange].subscribed

    def begin(self) -> None:
        """Start or resume playing."""
        self._may_play.set()

    def pause(self) -> None:
        """Make no trades until `begin` is called. A recording does not pause."""
        self._may_play.clear()

    async def ended(self) -> None:
        """Wait until everything is played; forever if the plan has no end."""
        await self._has_ended.wait()

    @property
    def sent(self) -> int:
        """Return how many trades were published, or frames of a recording sent."""
        return self.replay.played if self.replay else self.published.count

    async def failed(self, stop: asyncio.Event) -> None:
        """Wait until `stop` is set, or raise the error that ended the playing."""
        stopping = asyncio.create_task(stop.wait())
        try:
            pending = {stopping, *(task for task in self._tasks if not task.done())}
            while not stopping.done():
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            stopping.cancel()

    # Faults on request.

    async def drop(self, exchange: str | None = None) -> None:
        """Cut all connections without a close frame."""
        for client in self.connections(exchange):
            client.cut()
        # Let the event loop close them.
        await asyncio.sleep(0)

    def stall(
        self, exchange: str | None = None, seconds: float = 60, *, is_complete: bool = False
    ) -> None:
        """Send no trades for some seconds, or nothing at all; they are published as skipped."""
        for venue in self._venues_of(exchange):
            (venue.freeze if is_complete else venue.stall)(seconds)

    def refuse(self, native_symbol: str, *, is_known: bool = False) -> None:
        """Reject a native symbol at all exchanges, or accept it again."""
        for venue in self.venues.values():
            (venue.refused.discard if is_known else venue.refused.add)(native_symbol)

    def close_with(
        self, exchange: str | None, code: int, reason: str = ""
    ) -> "asyncio.Future[list[None]]":
        """Close all connections with a close code; the result may be awaited."""
        clients = self.connections(exchange)
        closing = [client.venue.run_in_background(client.close(code, reason)) for client in clients]
        return asyncio.gather(*closing)

    def announce_end(self, exchange: str | None = None) -> None:
        """Announce to all clients of Binance that their connections will end soon."""
        for client in self.connections(exchange):
            client.announce_close()

    def limit(self, requests: int) -> None:
        """Answer the next REST requests as over the rate limit."""
        self._limited_requests += requests

    def show(self, trades: int) -> None:
        """Let REST return only the newest trades of each market; 0 is all."""
        self._rest.shown = trades

    def lack(self, answers: int) -> None:
        """Leave three trades out of the middle of the next REST answers."""
        self.incomplete_answers += answers

    def _venues_of(self, exchange: str | None) -> list[Venue]:
        return list(self.venues.values()) if exchange is None else [self.venues[exchange]]

    def _start(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.create_task(work))

    async def _play(self) -> None:
        await self._may_play.wait()
        if self.plan.recording is None:
            await self.player.play()
        else:
            self.replay = Replay(self.plan.recording, self.plan.pace, self.venues)
            await self.replay.play()
        self._has_ended.set()

    async def _send_heartbeats(self) -> None:
        while True:
            await asyncio.sleep(self.plan.limits.heartbeat_s)
            for venue in self.venues.values():
                venue.send_heartbeats()

    def _next_fault(self) -> RestFault:
        """Return the fault of the next REST request."""
        self.rest_requests += 1
        if self._limited_requests:
            self._limited_requests -= 1
            return RestFault.TOO_SOON
        if self.incomplete_answers:
            self.incomplete_answers -= 1
            return RestFault.LACKING
        fault_rates = self.plan.fault_rates
        for chance, fault in (
            (self.fail_rate, RestFault.FAILED),
            (fault_rates.limit, RestFault.TOO_SOON),
        ):
            if chance > 0 and self._rng.random() < chance:
                return fault
        return RestFault.NONE

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        if "Upgrade" in request.headers and exchange_at(request.path):
            return None
        answer = self._rest.answer(request.path, request.headers)
        if answer is None:
            paths = ", ".join(PATHS.values())
            answer = Answer(
                f'{{"error":"nothing here; websockets are at {paths}"}}', HTTPStatus.NOT_FOUND
            )
        response = connection.respond(answer.status, answer.text)
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        for name, value in answer.headers.items():
            response.headers[name] = value
        return _mark_simulated(connection, request, response)

    async def _serve_client(self, connection: ServerConnection) -> None:
        path = connection.request.path if connection.request else ""
        venue = self.venues[exchange_at(path) or ""]
        self._client_count += 1
        client = venue.add_client(connection, self._client_count)
        await venue.wait_until_thawed()
        client.send_greeting()
        client.flush()
        background_tasks = [asyncio.create_task(task) for task in client.background_tasks()]
        try:
            async for message in connection:
                await venue.wait_until_thawed()
                client.handle_message(message if isinstance(message, str) else message.decode())
                client.flush()
        except (ConnectionClosed, UnicodeDecodeError):
            pass
        finally:
            for task in background_tasks:
                task.cancel()
            venue.remove_client(client)


def _mark_simulated(_: ServerConnection, __: Request, response: Response) -> Response:
    """Add the header that says that the data is simulated."""
    response.headers[SIMULATOR_HEADER] = "1"
    return response
